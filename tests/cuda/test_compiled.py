"""What nvcc makes of the kernels: no spilled registers but those listed here, and the instructions that the kernels are
written for. Compiles all of cuda/ for two architectures, so it takes minutes; build/cuda_compiled keeps
what it made.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "cuda_compiled"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc")]

ARCHITECTURES = ("80", "90a")
FLAGS = [
    "-O3", "-DNDEBUG", "-std=c++17", "--expt-relaxed-constexpr", "-Werror=all-warnings", "-diag-suppress=186",
    "-Xcompiler=-Wall,-fvisibility=hidden,-fPIC", "-Xptxas=-v", f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'cuda'}",
    *(f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES),
]  # fmt: skip

# Bytes that a kernel may spill, and accesses to them that may lie in its innermost loops, by file, a part of its
# mangled name and the architecture. None may be added and none may grow: lower the numbers when they shrink.
SPILLS: dict[tuple[str, str, str], tuple[int, int]] = {
    ("attention", "attention_kernelIf", "80"): (8, 0),
    ("attention", "attention_kernelIf", "90a"): (16, 0),
    ("attention_grad", "keys_kernelId", "80"): (128, 2),
    ("attention_grad", "keys_kernelId", "90a"): (152, 0),
    ("binary", "NextAfterId", "90a"): (8, 0),
    ("conv", "wide_kernelIf", "80"): (8, 0),
    ("gemm", "wide_kernelIf", "80"): (12, 2),
    ("gemm", "wide_kernelIf", "90a"): (28, 4),
}

# What kernels are written for, by file and a part of the mangled name: tensor cores of halves and of float64, matrices
# and asynchronous copies to shared memory.
INSTRUCTIONS = {
    ("gemm", "half_kernel"): {"HMMA", "LDSM", "LDGSTS"},
    ("gemm", "wide_kernelId"): {"DMMA"},
    ("conv", "half_kernel"): {"HMMA", "LDSM", "LDGSTS"},
    ("conv", "wide_kernelId"): {"DMMA"},
    ("conv_weight", "half_kernel"): {"HMMA", "LDSM"},
    ("conv_weight", "wide_kernelId"): {"DMMA"},
    ("attention", "attention_kernelINS_"): {"HMMA", "LDSM", "LDGSTS"},
    ("attention", "attention_kernelIf"): {"FFMA", "LDGSTS"},
    ("attention_grad", "queries_kernelINS_"): {"HMMA", "LDSM", "LDGSTS"},
    ("attention_grad", "keys_kernelINS_"): {"HMMA", "LDSM", "LDGSTS"},
}


@dataclass
class Kernel:
    """A kernel's machine code: its instructions in order, by address, and where its jumps back go."""

    code: dict[int, str] = field(default_factory=dict)
    loops: list[tuple[int, int]] = field(default_factory=list)

    def innermost(self) -> list[tuple[int, int]]:
        """Loops that hold no other."""
        return [(a, b) for a, b in self.loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in self.loops)]

    def spills_within(self) -> int:
        """Accesses to spilled registers in innermost loops."""
        return sum(
            name in ("LDL", "STL") and any(a <= at <= b for a, b in self.innermost()) for at, name in self.code.items()
        )


def sources() -> list[str]:
    return sorted(p.stem for p in (ROOT / "cuda").glob("*.cu"))


def compile_one(name: str) -> str:
    """The compiler's report of a file, from an earlier run where nothing has changed since."""
    made, report = OUT / f"{name}.o", OUT / f"{name}.log"
    parts = [*(ROOT / "cuda").iterdir(), *(ROOT / "csrc").rglob("*.h")]
    if made.exists() and report.exists() and made.stat().st_mtime > max(p.stat().st_mtime for p in parts):
        return report.read_text()
    own = ["-fmad=false"] if name == "random" else []
    command = ["nvcc", *FLAGS, *own, "-c", str(ROOT / "cuda" / f"{name}.cu"), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    report.write_text(done.stderr)
    return done.stderr


@pytest.fixture(scope="module")
def reports() -> dict[str, str]:
    OUT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(sources(), pool.map(compile_one, sources()), strict=True))


def spilled(report: str) -> dict[tuple[str, str], int]:
    """Bytes by kernel and architecture, of those that spill."""
    found: dict[tuple[str, str], int] = {}
    kernel = ("", "")
    for line in report.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for 'sm_(\w+)'", line):
            kernel = entry[1], entry[2]
        elif (bytes_ := re.search(r"(\d+) bytes spill stores", line)) and int(bytes_[1]):
            found[kernel] = int(bytes_[1])
    return found


def disassembler() -> str | None:
    """cuobjdump of the toolkit, or the one that Triton brings."""
    beside = [p / "triton/backends/nvidia/bin" for p in map(Path, sys.path)]
    return shutil.which("cuobjdump", path=os.pathsep.join([os.environ["PATH"], *map(str, beside)]))


def kernels(name: str, architecture: str) -> dict[str, Kernel]:
    """The machine code of a file by mangled name."""
    tool = disassembler()
    assert tool
    command = [tool, "-sass", "-arch", f"sm_{architecture}", str(OUT / f"{name}.o")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Kernel] = {}
    here = Kernel()
    for line in text.splitlines():
        if function := re.search(r"Function : (\S+)", line):
            here = found[function[1]] = Kernel()
        elif code := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_]+)", line):
            at = int(code[1], 16)
            here.code[at] = code[2]
            to = re.search(r"BRA(?:\.\S+)? .*?0x([0-9a-f]+)", line)
            if to and int(to[1], 16) < at:
                here.loops.append((int(to[1], 16), at))
    return found


def allowed(file: str, kernel: str, architecture: str) -> tuple[int, int]:
    found = [v for (n, part, a), v in SPILLS.items() if n == file and a == architecture and part in kernel]
    return found[0] if found else (0, 0)


def test_spills(reports: dict[str, str]) -> None:
    """Registers fit, but for the exceptions."""
    found = {(n, k, a): b for n, report in reports.items() for (k, a), b in spilled(report).items()}
    grown = [f"{key}: {b} bytes" for key, b in found.items() if b > allowed(*key)[0]]
    assert not grown, "\n".join(grown)


@pytest.mark.skipif(not disassembler(), reason="no cuobjdump")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loops(reports: dict[str, str], architecture: str) -> None:
    """No innermost loop reads or writes a spilled register, but for the exceptions."""
    bad = [
        f"{name}: {kernel}: {code.spills_within()} accesses"
        for name, report in reports.items()
        if any(a == architecture for _, a in spilled(report))
        for kernel, code in kernels(name, architecture).items()
        if code.spills_within() > allowed(name, kernel, architecture)[1]
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.skipif(not disassembler(), reason="no cuobjdump")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", sorted({name for name, _ in INSTRUCTIONS}))
def test_instructions(reports: dict[str, str], file: str, architecture: str) -> None:
    """Every kernel of the names has the instructions that it is written for."""
    made = kernels(file, architecture)
    for (name, part), wanted in INSTRUCTIONS.items():
        if name != file:
            continue
        chosen = {k: set(code.code.values()) for k, code in made.items() if part in k}
        assert chosen, f"{file} has no kernel {part}"
        for kernel, names in chosen.items():
            assert wanted <= names, f"{kernel} lacks {wanted - names}"
