"""Peak memory: `python -m bench.memory PEER NAME THREADS` prints a workload's, over the imported library, in MB.

Each peer runs in a process of its own that has done nothing else: caches of other workloads would count otherwise.
"""

import subprocess
import sys

from bench import peers
from bench.registry import WORKLOADS

COMPARED = ("pydl", "torch")
STEPS = 5


def _status(key: str) -> float:
    """A line of this process's status, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) * 1024e-6


def measure(name: str, threads: int, chosen: list[str]) -> dict[str, float]:
    """MB by peer; those that fail, or whose system does not tell, are left out."""
    found = {}
    for peer in COMPARED:
        if peer not in chosen:
            continue
        command = [sys.executable, "-m", "bench.memory", peer, name, str(threads)]
        done = subprocess.run(command, env=peers.environment(peer, threads), capture_output=True, text=True)
        if done.returncode == 0:
            found[peer] = float(done.stdout.split()[-1])
    return found


def main(peer: str, name: str, threads: int) -> None:
    lib = peers.load(peer, threads)
    before = _status("VmRSS")
    job = WORKLOADS[name].makers[peers.PEERS[peer].kind](lib)
    for _ in range(STEPS):
        job.run()
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
