"""detect_anomaly: names the first operation, forward or backward, that makes a NaN or an infinity."""

from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import AutogradError

__all__ = ["detect_anomaly", "set_detect_anomaly"]

_active = {"depth": 0}


def _checked(op: type[Op], kernel: Any) -> Any:
    def run(*arrays: Any, **attrs: Any) -> Any:
        made = kernel(*arrays, **attrs)
        first = made[0] if isinstance(made, tuple) else made
        if first.is_floating and not _finite(first):
            inputs = [a for a in arrays if isinstance(a, _C.Array) and a.is_floating]
            if all(_finite(a) for a in inputs):
                shapes = ", ".join(str(a.shape) for a in inputs)
                raise AutogradError(
                    f"detect_anomaly: {op.__name__} made a value that is not finite from finite inputs ({shapes})"
                )
            raise AutogradError(f"detect_anomaly: {op.__name__} was given a value that is not finite")
        return made

    run.unchecked = kernel  # type: ignore[attr-defined]
    return run


def _finite(a: Any) -> bool:
    return a.data_ptr == 0 or bool(_C.all(_C.isfinite(a)).item())


def _set(active: bool) -> None:
    """Puts a check around every kernel, or takes it off: ops pay nothing while it is off."""
    for op in Op.subclasses:
        kernel = op.__dict__.get("kernel")
        if kernel is None:
            continue
        plain = getattr(kernel, "unchecked", kernel)
        op.kernel = _checked(op, plain) if active else plain


def set_detect_anomaly(mode: bool) -> None:
    """Turns the checks on or off for the whole process."""
    _active["depth"] = int(bool(mode))
    _set(bool(mode))


class detect_anomaly:
    """Context: an operation, forward or backward, whose result is not finite raises AutogradError with its name.

    Every result is read once more, so this is for debugging. It holds for all threads.
    """

    def __enter__(self) -> "detect_anomaly":
        _active["depth"] += 1
        _set(True)
        return self

    def __exit__(self, *exc: object) -> None:
        _active["depth"] -= 1
        if _active["depth"] <= 0:
            _set(False)
