"""Start-up: wall time and memory of importing each library, and its size on disk."""

import importlib.util
import re
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "pydl", "onnxruntime", "jax", "torch")
TARGET_SECONDS, TARGET_MB = 0.1, 20.0  # of `import pydl`, over `import numpy`
_REPORT_RSS = "\nprint([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')][0])"


def _import(library: str) -> tuple[float, float]:
    """Seconds and resident MB of a process that imports the library and ends; raises if the import fails."""
    start = time.perf_counter()
    command = [sys.executable, "-c", f"import {library}{_REPORT_RSS}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout) * 1024e-6


def _installed(library: str) -> tuple[float, float]:
    """MB of the distribution's files, alone and with all that it requires."""
    sizes: dict[str, float] = {}
    waiting = [library]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in sizes:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        files = (Path(str(f.locate())) for f in distribution.files or [])
        sizes[name] = sum(p.stat().st_size for p in files if p.is_file()) * 1e-6
        plain = (r for r in distribution.requires or [] if "extra ==" not in r)
        waiting += [re.split(r"[ ;<>=!~\[(]", r)[0] for r in plain]
    spec = importlib.util.find_spec(library)
    folders = spec.submodule_search_locations or [] if spec else []  # all there is of a package that is run in place
    package = sum(p.stat().st_size for folder in folders for p in Path(folder).rglob("*") if p.is_file()) * 1e-6
    return max(package, sizes.get(library, 0.0)), max(package, sum(sizes.values()))


def measure(repeats: int) -> dict[str, dict[str, Any]]:
    """Medians by library, imported in turn; a library that is not installed is left out."""
    present = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in present}
    for _ in range(repeats):
        for name in present:
            runs[name].append(_import(name))
    table = {}
    for name, got in runs.items():
        own, whole = _installed(name)
        seconds, memory = (statistics.median(column) for column in zip(*got, strict=True))
        table[name] = {"seconds": seconds, "rss_mb": memory, "installed_mb": own, "with_dependencies_mb": whole}
    return table


def render(table: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'library':12} {'import ms':>10} {'over numpy':>11} {'RSS MB':>8} {'over numpy':>11} {'size MB':>8}"]
    base = table["numpy"]
    for name, row in table.items():
        lines.append(
            f"{name:12} {row['seconds'] * 1e3:10.1f} {(row['seconds'] - base['seconds']) * 1e3:+11.1f}"
            f" {row['rss_mb']:8.1f} {row['rss_mb'] - base['rss_mb']:+11.1f} {row['installed_mb']:8.1f}"
        )
    if "pydl" in table:
        late = table["pydl"]["seconds"] - base["seconds"] >= TARGET_SECONDS
        large = table["pydl"]["rss_mb"] - base["rss_mb"] >= TARGET_MB
        lines.append(f"targets of pydl over numpy: {TARGET_SECONDS * 1e3:.0f} ms {'missed' if late else 'met'}, ")
        lines[-1] += f"{TARGET_MB:.0f} MB {'missed' if large else 'met'}"
    return "\n".join(lines)
