"""The passes over a recorded plan; each leaves every bit of its results as it was."""

from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError

# Smaller chains fit into the caches anyway; a tile's buffers fit into the first two.
FUSED_FROM = 16384
TILE = 8192
# Nanoseconds. Of shorter launches a second thread gains less than it costs to wake it and to bring it what they read;
# longer ones use threads themselves.
MERGED = 35_000, 60_000
BOUND_FROM = 65536  # bytes; what is smaller is copied faster than an array is made

ALL = ("dead", "epilogue", "fuse", "merge", "reuse", "bind")


def checked(passes: Sequence[str]) -> tuple[str, ...]:
    """The names of passes. Raises: ArgumentError for one that does not exist."""
    for name in passes:
        if name not in ALL:
            raise ArgumentError(f"capture: there is no pass {name!r}: expected some of {', '.join(ALL)}")
    return tuple(passes)


def optimise(plan: Any, passes: Sequence[str], kept: list[Any] | None, fixed: list[Any]) -> dict[str, int]:
    """Runs passes over a plan; how many launches each has removed, joined or moved, or arrays bound.

    Args:
        kept: the plan's arrays that are read after a replay; None for all that there are.
        fixed: those that somebody holds.
    """
    bound = BOUND_FROM if "bind" in passes else None
    dead, epilogue, fuse, merge, reuse = (name in passes for name in ALL[:5])
    counts = _C.optimise(plan, kept, fixed, dead, epilogue, fuse, merge, reuse, FUSED_FROM, TILE, MERGED, bound)
    return {name: count for name, count in zip(ALL, counts, strict=True) if name in passes}
