"""The readable table, the geometric means, and the facts of the machine."""

import datetime
import math
import os
import platform
import subprocess
from typing import Any

from bench.driver import ENOUGH, Row
from bench.peers import OURS
from bench.registry import WORKLOADS


def milliseconds(row: Row | None) -> str:
    """The median, starred when too few samples were undisturbed."""
    if not row or "error" in row:
        return "" if not row else "-" if row["lacks"] else "ERROR"
    t = row["median"] * 1e3
    digits = 1 if t >= 100 else 2 if t >= 10 else 3 if t >= 1 else 4
    return f"{t:.{digits}f}" + ("*" if row["clean"] < ENOUGH else "")


def judge(result: Row) -> Row:
    """Adds the best peer, the ratio of its time to pydl's, and pydl's share of the ceiling, where there are such.

    A row is doubtful if a disturbed figure is pydl's, or of a peer that undisturbed might have been the best.
    """
    rows = {p: row for p, row in result["peers"].items() if "median" in row and "error" not in row}
    timed = {p: row["median"] for p, row in rows.items()}
    others = {p: t for p, t in timed.items() if p not in OURS}
    if others:
        result["best"] = min(others, key=lambda p: others[p])
        shaky = [p for p, row in rows.items() if row["clean"] < ENOUGH]
        result["doubtful"] = any(p in OURS or rows[p]["min"] <= others[result["best"]] for p in shaky)
    for ours in OURS:
        if ours in timed:
            if others:
                result[f"ratio_{ours}"] = others[result["best"]] / timed[ours]
            if result["floor"]:
                result[f"ceiling_{ours}"] = result["floor"] / timed[ours]
    return result


def errors(name: str, result: Row) -> list[str]:
    """One line per peer that failed; pydl's lacking the function is not a failure."""
    rows = result["peers"].items()
    return [f"{name}: {p}: {row['error']}" for p, row in rows if "error" in row and not row["lacks"]]


def header(names: list[str]) -> str:
    columns = "".join(f"{p:>11}" for p in names)
    return f"{'workload (ms)':34}{columns}{'min':>10}{'spread':>8}{'clean':>7}{'ceiling':>9}  {'best':11}{'ratio':>6}"


def line(name: str, result: Row, names: list[str]) -> str:
    """One row: medians of all peers; then pydl's minimum, p90/min, undisturbed samples, share of the ceiling, ratio."""
    rows = result["peers"]
    text = f"{name:34}" + "".join(f"{milliseconds(rows.get(p)):>11}" for p in names)
    ours = rows.get("pydl", {})
    if "median" not in ours or "error" in ours:
        return text + (f"  pydl lacks it: {ours['error']}" if ours.get("lacks") else "")
    text += f"{ours['min'] * 1e3:10.4g}{ours['p90'] / ours['min']:7.2f}x{ours['clean']:4}/{ours['samples']:<2}"
    text += f"{result['ceiling_pydl']:9.1%}" if "ceiling_pydl" in result else " " * 9
    if "best" in result:
        text += f"  {result['best']:11}{result['ratio_pydl']:5.2f}x{'*' * result['doubtful']}"
    return text + (f"  {ours['note']}" if ours.get("note") else "")


def memory_line(megabytes: dict[str, float]) -> str:
    """The peak memory of a step over that of the imported library."""
    return "  peak memory (MB): " + ", ".join(f"{peer} {found:.0f}" for peer, found in megabytes.items())


def geometric_means(results: dict[str, Row]) -> dict[str, Row]:
    """By family: mean of best peer / pydl, of best peer / replay, and of the share of the ceiling; no doubtful rows."""
    means: dict[str, Row] = {}
    for family in dict.fromkeys(WORKLOADS[name].family for name in results):
        members = [r for name, r in results.items() if WORKLOADS[name].family == family]
        rows = [r for r in members if "ratio_pydl" in r and not r["doubtful"]]
        means[family] = {"rows": len(rows), "of": len(members)}
        for key in (*(f"ratio_{p}" for p in OURS), "ceiling_pydl"):
            values = [math.log(r[key]) for r in rows if key in r]
            if values:
                means[family][key] = math.exp(sum(values) / len(values))
    return means


def render_means(means: dict[str, Row]) -> str:
    lines = [f"{'geometric mean':34}{'best/pydl':>11}{'best/replay':>12}{'ceiling':>9}  rows that count"]
    for family, m in means.items():
        ratio, replay, share = (m.get(k) for k in ("ratio_pydl", "ratio_replay", "ceiling_pydl"))
        cells = (f"{ratio:10.2f}x" if ratio else " " * 11, f"{replay:11.2f}x" if replay else " " * 12)
        lines.append(f"{family:34}{''.join(cells)}{f'{share:9.1%}' if share else ' ' * 9}  {m['rows']} of {m['of']}")
    return "\n".join(lines)


def facts(threads: int, libraries: dict[str, Row]) -> dict[str, Any]:
    """What a reader needs to know of the machine, the versions and the state of the repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()

    try:
        with open("/proc/cpuinfo") as file:
            cpu = next((row.split(": ")[1].strip() for row in file if row.startswith("model name")), "")
    except OSError:
        cpu = ""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else ""),
        "cpu": cpu or platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "threads": threads,
        "isa": libraries.get("pydl", {}).get("isa", ""),
        "device": libraries.get("pydl", {}).get("device", ""),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: row["version"] for name, row in libraries.items()},
    }
