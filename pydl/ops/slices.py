"""Slices and what joins them: each is the gradient of the other.

A tensor that is sliced many times gets its gradient in pieces, which are put together once.
"""

from functools import reduce
from operator import add

from pydl import _C
from pydl.autograd.leaves import Pieces
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.autograd.views import ViewOp
from pydl.tensor import Tensor

__all__: list[str] = []


class Slice(ViewOp):
    kernel = _C.slice

    def vjp(g, x, starts, sizes, steps):
        return (Pieces(_unsliced, [(g, {"shape": x.shape, "starts": starts, "steps": steps})]),)


class SliceGrad(Op):
    kernel = _C.slice_grad
    uses = ()

    def vjp(gg, g, shape, starts, steps):
        return (Slice.apply(gg, starts=starts, sizes=g.shape, steps=steps),)


class Cat(Op):
    uses = ()

    def kernel(*parts, dim):
        return _C.cat(list(parts), dim)

    def vjp(g, *parts, dim):
        at, out = 0, []
        for part in parts:
            size = part.shape[dim]
            out.append(lambda at=at, size=size: _span(g, dim, at, size))
            at += size
        return out


def _span(x, dim, start, size):
    """size elements from start on along dim."""
    starts, sizes = [0] * x.ndim, list(x.shape)
    starts[dim], sizes[dim] = start, size
    return Slice.apply(x, starts=starts, sizes=sizes, steps=[1] * x.ndim)


def _unsliced(pieces):
    """The gradient of a tensor from those of its slices."""
    if len(pieces) > 1:
        dim = _tiled(pieces)
        if dim is not None:
            return Cat.apply(*[g for g, _ in sorted(pieces, key=lambda p: p[1]["starts"][dim])], dim=dim)
        if not mode.enabled and all(isinstance(g.array, _C.Array) for g, _ in pieces):
            return _added_slices(pieces)
    return reduce(add, [SliceGrad.apply(g, **attrs) for g, attrs in pieces])


def _tiled(pieces):
    """The axis along which slices lie one behind the other and are all of the tensor; None if they do not."""
    shape = pieces[0][1]["shape"]
    cut = [a for a, n in enumerate(pieces[0][0].shape) if n != shape[a]]
    if len(cut) != 1:
        return None
    dim, spans = cut[0], []
    for g, attrs in pieces:
        sizes, starts = g.shape, attrs["starts"]
        for a, n in enumerate(shape):
            if attrs["steps"][a] != 1 or (a != dim and sizes[a] != n):
                return None
        spans.append((starts[dim], starts[dim] + sizes[dim]))
    spans.sort()
    ends = [0, *[end for _, end in spans]]
    return dim if ends[-1] == shape[dim] and all(s[0] == end for s, end in zip(spans, ends, strict=False)) else None


def _added_slices(pieces):
    """Their sum, each added to its place; outside the graph."""
    g, attrs = pieces[0]
    y = _C.full(attrs["shape"], 0, g.dtype, g.device)
    for g, attrs in pieces:
        part = _C.slice(y, attrs["starts"], g.shape, attrs["steps"])
        _C.copy_into(_C.add(part, g.array), part, "slice_grad")
    return Tensor(y)
