"""How tensors are written: NumPy's layout of numbers, a summary of what is large, and the facts that it hides."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError

if TYPE_CHECKING:
    from pydl.tensor import Tensor

__all__ = ["get_printoptions", "set_printoptions"]


@dataclass(frozen=True)
class Options:
    """What set_printoptions sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {"default": Options(), "short": Options(precision=2, edgeitems=2), "full": Options(threshold=math.inf)}
_current = {"options": Options()}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed; what is left out stays, except that sci_mode goes back to automatic.

    Args:
        precision: digits after the point (4).
        threshold: more elements than this are summed up (1000).
        edgeitems: how many a summary shows at each end of an axis (3).
        linewidth: characters of a line (80).
        profile: 'default', 'short' or 'full' (no summaries); the other arguments are set after it.
        sci_mode: always or never powers of ten; None: where numbers would be too long or vanish.
    """
    if profile is not None and profile not in PROFILES:
        raise ArgumentError(f"set_printoptions: profile must be 'default', 'short' or 'full', got {profile!r}")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
            raise ArgumentError(f"set_printoptions: {name} must be a number that is not negative, got {value!r}")
    base = _current["options"] if profile is None else PROFILES[profile]
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _current["options"] = replace(base, **known, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The settings of `set_printoptions`, by name."""
    return dict(vars(_current["options"]))


def _corners(a: _C.Array, edge: int) -> np.ndarray:
    """The first and last `edge` elements of every axis and one between, for which a summary has dots."""
    view = _C.to_numpy(a) if a.dtype is not _C.bfloat16 else None
    picked = [np.r_[: edge + 1, n - edge : n] if n > 2 * edge + 1 else np.arange(n) for n in a.shape]
    if view is not None:
        return np.asarray(view[np.ix_(*picked)])
    for axis, places in enumerate(picked):  # NumPy may lack bfloat16; float32 holds it
        a = _C.index_select(a, axis, _C.from_numpy(places))
    return _C.to_numpy(_C.cast(a, _C.float32))


def _plain(values: np.ndarray) -> bool:
    """Whether the numbers can be written without powers of ten."""
    size = np.abs(values[np.isfinite(values) & (values != 0)], dtype=np.float64)
    return not size.size or 1e-3 <= float(size.max()) < 1e8


def _numbers(a: _C.Array, options: Options, summed_up: bool) -> str:
    """The elements in brackets."""
    shown = _corners(a, options.edgeitems) if summed_up else _corners(a, 1 << 40)
    layout: dict[str, Any] = {"precision": options.precision, "linewidth": options.linewidth}
    layout |= {"threshold": 0 if summed_up else shown.size + 1, "edgeitems": options.edgeitems}
    if shown.dtype.kind == "f":
        layout["suppress"] = _plain(shown)
        if options.sci_mode is not None:
            form = f".{options.precision}{'e' if options.sci_mode else 'f'}"
            layout["formatter"] = {"float_kind": lambda v: format(v, form)}
    with np.printoptions(**layout):
        return np.array2string(shown, separator=", ", prefix="tensor(")


def text_of(x: "Tensor") -> str:
    """What repr gives: the numbers; the shape where they do not show it; dtype, device and place in the graph."""
    a, options = x.detach().to("cpu").array, _current["options"]  # type: ignore[attr-defined]
    if not isinstance(a, _C.Array):
        return f"tensor({a!r})"
    summed_up = a.size > options.threshold
    facts = [_numbers(a, options, summed_up) if a.size else "[]"]
    if summed_up or not a.size:
        facts.append(f"shape={a.shape}")
    if a.dtype not in (_C.float32, _C.int64, _C.bool):
        facts.append(f"dtype={a.dtype}")
    if x.device.type != "cpu":
        facts.append(f"device='{x.device}'")
    if x.node is not None:
        facts.append(f"grad_fn={x.node}")
    elif x.requires_grad:
        facts.append("requires_grad=True")
    return f"tensor({', '.join(facts)})"
