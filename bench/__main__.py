"""Times pydl and its peers, interleaved, against the measured ceilings of this machine. See bench/README.md."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench import coverage, device, driver, memory, peers, report, startup
from bench.registry import WORKLOADS, select


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("pattern", nargs="*", help="words or globs on workload names; default: all")
    parser.add_argument("--json", metavar="FILE", help="also write everything there")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--smoke", action="store_true", help="with --device cuda: tiny sizes, to see that all of it runs"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no workload later than that")
    parser.add_argument("--peers", default=",".join(peers.PEERS), help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=15, help="rounds per workload; default: %(default)s")
    parser.add_argument("--list", action="store_true", help="list the workloads, and the operations without one")
    parser.add_argument("--startup", action="store_true", help="measure import time, memory and size instead")
    return parser.parse_args()


def show_list(names: list[str]) -> None:
    for name in names:
        print(f"{name:40} {WORKLOADS[name].op:16} {' '.join(WORKLOADS[name].makers)}")
    try:
        print("operations without a workload:", " ".join(coverage.missing()) or "none")
    except ImportError as error:
        print(f"pydl cannot be imported, so its operations are not compared: {error}")


def run(names: list[str], chosen: list[str], options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Measures and prints; returns everything measured, and the errors."""
    results: dict[str, Any] = {}
    failures: list[str] = []
    threads, end = options.threads, time.monotonic() + options.seconds
    with driver.Bench(chosen, threads, options.repeats, options.device) as bench:
        facts = report.facts(threads, bench.facts)
        print("\n".join(f"{key}: {value}" for key, value in facts.items()))
        cpu = options.device == "cpu"
        ceilings = dict(driver.machine(bench.ceilings, threads) if cpu else device.machine(bench.ceilings.ask))
        print("\n".join(f"{label:24}" + "".join(f"{v:10.4g}" for v in row) for label, row in ceilings.items()))
        print("\n".join(f"without {peer}: {why}" for peer, why in bench.missing.items()))
        failures += [f"pydl: {bench.missing['pydl']}"] if "pydl" in bench.missing else []
        shown = list(bench.children)
        print(report.header(shown), flush=True)
        for name in names:
            if time.monotonic() > end:
                print("no time is left for", *names[names.index(name) :])
                break
            results[name] = report.judge(bench.measure(name))
            failures += report.errors(name, results[name])
            print(report.line(name, results[name], shown), flush=True)
            if WORKLOADS[name].memory and cpu:
                results[name]["memory"] = memory.measure(name, threads, shown)
                print(report.memory_line(results[name]["memory"]), flush=True)
    means = report.geometric_means(results)
    print("\n" + report.render_means(means))
    return {"facts": facts, "ceilings": ceilings, "workloads": results, "geometric_means": means}, failures


def main() -> int:
    options = arguments()
    if options.smoke and not device.small():  # the list of workloads depends on it
        os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], {**os.environ, device.SMALL: "1"})
    names = select(options.pattern, options.device)
    unknown = set(options.peers.split(",")) - set(peers.PEERS)
    if unknown or not names:
        print(f"unknown peers: {' '.join(unknown)}" if unknown else "no workload matches", file=sys.stderr)
        return 2
    failures: list[str] = []
    if options.list:
        show_list(names)
        return 0
    if options.json:
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    if options.startup:
        measured: dict[str, Any] = {"startup": startup.measure(options.repeats)}
        print(startup.render(measured["startup"]))
    else:
        chosen = [p for p in peers.available(options.device) if p in options.peers.split(",")]
        measured, failures = run(names, chosen, options)
    if options.json:
        Path(options.json).write_text(json.dumps(measured, indent=1))
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
