"""Tables of launches: what they cost, by kernel and by module."""

from collections.abc import Iterable
from typing import NamedTuple


class Cost(NamedTuple):
    """One launch. op: its op code, or ""; module: whose it is, such as "Sequential.0", or ""."""

    kernel: str
    op: str
    module: str
    nanoseconds: int
    bytes: int
    flops: int


def table(costs: Iterable[Cost]) -> str:
    """Calls, milliseconds, megabytes and megaflops by kernel and op code, then by module where there are any; the
    slowest first, and a line for the sum."""
    costs = list(costs)
    parts = [_table("launch", [(f"{c.kernel} {c.op}".strip(), c) for c in costs])]
    if any(c.module for c in costs):
        parts.append(_table("module", [(c.module or "(none)", c) for c in costs]))
    return "\n\n".join(parts)


def _table(head: str, rows: list[tuple[str, Cost]]) -> str:
    groups: dict[str, list[int]] = {}
    for name, cost in rows:
        group = groups.setdefault(name, [0, 0, 0, 0])
        for i, amount in enumerate((1, cost.nanoseconds, cost.bytes, cost.flops)):
            group[i] += amount
    total = [sum(g[i] for g in groups.values()) for i in range(4)]
    lines = [f"{head:28} {'calls':>7} {'ms':>10} {'MB':>10} {'Mflop':>10}"]
    ordered = sorted(groups.items(), key=lambda item: -item[1][1])
    for name, (calls, ns, moved, flops) in [*ordered, ("all", total)]:
        lines.append(f"{name:28} {calls:7d} {ns / 1e6:10.4f} {moved / 1e6:10.3f} {flops / 1e6:10.3f}")
    return "\n".join(lines)
