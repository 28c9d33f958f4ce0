"""Tensors taken apart along an axis: views of their parts."""

import itertools
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.shape import narrow, select, wrap
from pydl.tensor import Tensor

__all__ = ["chunk", "dsplit", "hsplit", "split", "split_with_sizes", "tensor_split", "unbind", "vsplit"]

_MOST_SECTIONS = 1 << 20  # beyond the size of the axis: each empty one costs memory too


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size (the last may be smaller) or of the given sizes; views."""
    if not tensor.ndim:
        raise ShapeError("split: a tensor without axes has no parts")
    size = tensor.shape[wrap(dim, tensor.ndim, "split")]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0 and size > 0:
            raise ArgumentError(f"split: expected a positive size, got {step}")
        sections = [min(step, size - at) for at in range(0, size, step)] if size else [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size:
            raise ShapeError(f"split: sizes {tuple(sections)} do not add up to {size}, the size of dim {dim}")
    starts = [sum(sections[:i]) for i in range(len(sections))]
    return tuple(narrow(tensor, dim, at, length) for at, length in zip(starts, sections, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size (the last may be smaller); views."""
    if chunks <= 0:
        raise ArgumentError(f"chunk: expected a positive number, got {chunks}")
    size = input.shape[wrap(dim, input.ndim, "chunk")] if input.ndim else 1
    return split(input, -(-size // chunks) if size else [0] * chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The elements along dim, each without that axis; views."""
    at = wrap(dim, input.ndim, "unbind")
    if not input.ndim:
        raise ShapeError("unbind: a tensor without axes has no parts")
    return tuple(select(input, at, i) for i in range(input.shape[at]))


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of these sizes along dim; views."""
    return split(input, list(split_sizes), dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Nearly equal pieces (the first ones larger by one), or the pieces between the given places; views."""
    if not input.ndim:
        raise ShapeError("tensor_split: a tensor without axes has no parts")
    at = wrap(dim, input.ndim, "tensor_split")
    size = input.shape[at]
    given = _whole("tensor_split", indices_or_sections)
    if isinstance(given, int):
        if given < 1:
            raise ArgumentError(f"tensor_split: expected at least one section, got {given}")
        if given > max(size, _MOST_SECTIONS):
            raise ArgumentError(
                f"tensor_split: {given} sections of an axis of size {size}: expected at most {_MOST_SECTIONS}"
            )
        each, more = divmod(size, given)
        return split(input, [each + (i < more) for i in range(given)], at)
    cuts = [0, *[slice(None, c).indices(size)[1] for c in given], size]
    return tuple(narrow(input, at, a, max(b - a, 0)) for a, b in itertools.pairwise(cuts))


def _whole(op: str, given: Any) -> int | list[int]:
    """A number, or numbers, of a tensor or of Python. Raises: DtypeError."""
    plain = given.tolist() if isinstance(given, Tensor) else given
    try:
        return [index(v) for v in plain] if isinstance(plain, Iterable) else index(plain)
    except TypeError:
        raise DtypeError(f"{op}: expected an integer or integers, got {given!r}") from None


def _split_along(op: str, x: Tensor, given: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    parts = _whole(op, given)
    if x.ndim < least:
        raise ShapeError(f"{op}: expected at least {least} axes, got shape {x.shape}")
    if isinstance(parts, int) and (parts < 1 or x.shape[dim] % parts):
        raise ArgumentError(f"{op}: size {x.shape[dim]} of dim {dim} does not split into {parts} equal parts")
    return tensor_split(x, parts, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal parts, or the parts between places, along axis 1; of a vector along its only axis."""
    return _split_along("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal parts, or the parts between places, along axis 0."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal parts, or the parts between places, along axis 2."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)
