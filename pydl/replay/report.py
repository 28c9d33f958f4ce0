"""A table of launches, those of one kernel and op code together."""

from collections.abc import Iterable


def table(rows: Iterable[tuple[str, str, int, int]]) -> str:
    """rows: of each launch its kernel, op code, nanoseconds and bytes. The slowest first, and a line for the sum."""
    groups: dict[str, list[int]] = {}
    for name, label, ns, moved in rows:
        group = groups.setdefault(f"{name} {label}".strip(), [0, 0, 0])
        for i, amount in enumerate((1, ns, moved)):
            group[i] += amount
    total = [sum(g[i] for g in groups.values()) for i in range(3)]
    lines = [f"{'launch':28} {'calls':>7} {'ms':>10} {'MB':>10}"]
    ordered = sorted(groups.items(), key=lambda item: -item[1][1])
    for name, (calls, ns, moved) in [*ordered, ("all", total)]:
        lines.append(f"{name:28} {calls:7d} {ns / 1e6:10.4f} {moved / 1e6:10.3f}")
    return "\n".join(lines)
