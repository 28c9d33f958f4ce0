"""Whether float32 may be rounded to TF32 (10 bits behind the point) for the tensor cores of a GPU."""

from pydl import _C
from pydl.errors import ArgumentError

__all__ = ["Rounding", "get_float32_matmul_precision", "set_float32_matmul_precision"]

_PRECISIONS = ("highest", "high", "medium")
_asked = "highest"  # of _PRECISIONS, as it was said last


class Rounding:
    """A switch: `allow_tf32`, False unless it is set.

    Where it is True, CUDA rounds the factors of float32 products to TF32, a relative error of 2^-11 each, and adds them
    in float32. It counts for all kernels that are launched from then on, replays of captured plans among them.
    """

    __slots__ = ("_place",)

    def __init__(self, place: int) -> None:
        self._place = place

    @property
    def allow_tf32(self) -> bool:
        """Whether float32 may be rounded."""
        return _C.allowed_tf32()[self._place]

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        if not isinstance(allowed, bool):
            raise ArgumentError(f"allow_tf32: expected True or False, got {allowed!r}")
        switches = list(_C.allowed_tf32())
        switches[self._place] = allowed
        _C.allow_tf32(*switches)
        if self is matmul:
            _note("high" if allowed else "highest")


matmul, convolution = Rounding(0), Rounding(1)


def _note(precision: str) -> None:
    global _asked
    _asked = precision


def set_float32_matmul_precision(precision: str) -> None:
    """How exact products of float32 matrices are on CUDA.

    Args: precision: "highest": float32 throughout. "high", "medium": factors may be rounded to TF32; PyTorch's
        "medium" may round them to bfloat16, which this library does not.
    Raises: ArgumentError for another one.
    """
    if precision not in _PRECISIONS:
        raise ArgumentError(f"set_float32_matmul_precision: expected highest, high or medium, got {precision!r}")
    matmul.allow_tf32 = precision != "highest"
    _note(precision)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` or `pydl.backends.cuda.matmul.allow_tf32` has said."""
    return _asked
