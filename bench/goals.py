"""What runs on a GPU reached, in one table: `python -m bench.goals run.json ... [--json results.json]`.

A goal is a share of the measured ceiling, or a ratio to the best peer, for the workloads that a pattern names; what
counts is the worst of them.
"""

import argparse
import fnmatch
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.driver import Row


@dataclass(frozen=True)
class Goal:
    """The worst of the workloads with such names must reach `least`; `peer`: beside that one, not the best."""

    what: str
    patterns: tuple[str, ...]
    kind: str  # ceiling or ratio
    least: float
    peer: str = ""
    ours: str = "pydl"


GOALS = (
    Goal("memory-bound kernels, of the copy bandwidth", (
        "pointwise/add*/fwd*", "pointwise/gelu/fwd*", "pointwise/chain*/fwd", "pointwise/softmax/fwd",
        "norm/layer*/fwd*", "movement/sum*", "movement/cat*",
    ), "ceiling", 0.85),
    Goal("optimizers, of the bandwidth of updates", ("optim/*_1x*/fused",), "ceiling", 0.85),
    Goal("float32 matrix products beside cuBLAS", ("gemm/1024", "gemm/4096"), "ratio", 0.9),
    Goal("bfloat16 matrix products beside cuBLAS", ("gemm/1024/bfloat16", "gemm/4096/bfloat16"), "ratio", 0.5),
    Goal("attention beside torch's best", ("attention/*",), "ratio", 0.5),
    Goal("convolutions beside cuDNN", ("conv/*",), "ratio", 0.5),
    Goal("LSTM of 512 units beside cuDNN", ("rnn/lstm_*512-512_x1/*",), "ratio", 0.8),
    Goal("a small recorded step beside torch's CUDA graph", ("e2e/mlp_4-64-64-2*",), "ratio", 1.0, "graph", "replay"),
)  # fmt: skip


def reached(goal: Goal, row: Row) -> float | None:
    """The share or ratio of one workload; None where it was not measured."""
    if goal.kind == "ceiling":
        return row.get(f"ceiling_{goal.ours}")
    times = {p: r["median"] for p, r in row["peers"].items() if "median" in r and "error" not in r}
    if goal.ours not in times:
        return None
    others = [t for p, t in times.items() if p not in ("pydl", "replay") and goal.peer in ("", p)]
    return min(others) / times[goal.ours] if others else None


def judged(goal: Goal, workloads: dict[str, Row]) -> dict[str, Any]:
    """The worst workload of a goal, how many there are, and how many reach it."""
    names = [n for n in workloads if any(fnmatch.fnmatch(n, p) for p in goal.patterns)]
    found = {n: value for n in names if (value := reached(goal, workloads[n])) is not None}
    worst = min(found, key=lambda n: found[n]) if found else ""
    return {
        "goal": goal.what,
        "least": goal.least,
        "worst": worst,
        "value": found.get(worst),
        "met": sum(v >= goal.least for v in found.values()),
        "of": len(found),
    }


def render(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'goal':54}{'least':>6}{'worst':>8}{'met':>9}  at"]
    for r in rows:
        value = f"{r['value']:8.2f}" if r["value"] is not None else "       -"
        lines.append(
            f"{r['goal']:54}{r['least']:6.2f}{value}{r['met']:>5} of {r['of']:<2} {r['worst'] or 'not measured'}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.goals", description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="what python -m bench --json wrote")
    parser.add_argument("--json", type=Path, help="all runs and goals in one file")
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.run]
    workloads = {name: row for run in runs for name, row in run["workloads"].items()}
    rows = [judged(goal, workloads) for goal in GOALS]
    print(render(rows))
    if options.json:
        merged = {"facts": runs[-1]["facts"], "ceilings": runs[-1]["ceilings"], "workloads": workloads, "goals": rows}
        options.json.write_text(json.dumps(merged, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
