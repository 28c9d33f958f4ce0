"""Multiply-adds, counted while they are done: products of matrices, convolutions, recurrent layers and attention."""

import math
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.op import Op

__all__ = ["MultiplyAdds"]


def _product(y: Any, a: Any, b: Any, *rest: Any, **options: Any) -> int:
    return int(math.prod(y.shape) * a.shape[-1])


def _addmm(y: Any, input: Any, a: Any, b: Any, **options: Any) -> int:
    return int(math.prod(y.shape) * a.shape[-1])


def _conv(y: Any, x: Any, w: Any, *rest: Any, **options: Any) -> int:
    return int(math.prod(y.shape) * math.prod(w.shape[1:]))


def _conv_input_grad(x: Any, y: Any, w: Any, *rest: Any, **options: Any) -> int:
    return int(math.prod(y.shape) * math.prod(w.shape[1:]))


def _conv_weight_grad(w: Any, x: Any, y: Any, **options: Any) -> int:
    return int(math.prod(y.shape) * math.prod(w.shape[1:]))


def _recurrent(made: Any, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any,
               *rest: Any, **options: Any) -> int:  # fmt: skip
    """The products with the input and, at every step, with the state."""
    return int(math.prod(x.shape[:-1]) * sum(math.prod(w.shape) for w in (w_ih, w_hh, w_hr) if w is not None))


def _recurrent_grad(made: Any, gy: Any, ghn: Any, gcn: Any, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, w_hr: Any,
                    *rest: Any, **options: Any) -> int:  # fmt: skip
    return int(math.prod(x.shape[:-1]) * sum(math.prod(w.shape) for w in (w_hh, w_hr) if w is not None))


def _pairs(t: int, s: int, lengths: Any, below: int, above: int, b: int) -> int:
    """Queries and keys that see each other by place, over the batch. A mask skips nothing."""
    i = np.arange(t)
    first = np.maximum(i - below, 0)
    ends = np.full(b, s) if lengths is None else _C.to_numpy(lengths)
    last = np.minimum(i + above + 1, ends[:, None])
    return int(np.maximum(last - first, 0).sum())


def _attention(made: Any, q: Any, k: Any, v: Any, mask: Any, lengths: Any, rng: Any, scale: float, below: int,
               above: int, dropout: float) -> int:  # fmt: skip
    (b, h, t, d), s, e = q.shape, k.shape[2], v.shape[3]
    return int(h * _pairs(t, s, lengths, below, above, b) * (d + e))


def _attention_grad(made: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, lengths: Any, rng: Any, y: Any, lse: Any,
                    scale: float, below: int, above: int, dropout: float) -> int:  # fmt: skip
    """Five products, one of which makes the weights again."""
    (b, h, t, d), s, e = q.shape, k.shape[2], v.shape[3]
    return int(h * _pairs(t, s, lengths, below, above, b) * (3 * d + 2 * e))


def _packed(made: Any, x: Any, mask: Any, lengths: Any, rng: Any, scale: float, below: int, above: int,
            dropout: float) -> int:  # fmt: skip
    b, t, _, h, d = x.shape
    return int(h * _pairs(t, t, lengths, below, above, b) * 2 * d)


def _packed_grad(made: Any, g: Any, x: Any, mask: Any, lengths: Any, rng: Any, y: Any, lse: Any, scale: float,
                 below: int, above: int, dropout: float) -> int:  # fmt: skip
    b, t, _, h, d = x.shape
    return int(h * _pairs(t, t, lengths, below, above, b) * 5 * d)


# By name of the function in pydl._C: from what it made and was given to multiply-adds.
_RULES: dict[str, Callable[..., int]] = {
    "matmul": _product,
    "linear": _product,
    "addmm": _addmm,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "recurrent": _recurrent,
    "recurrent_grad": _recurrent_grad,
    "attention": _attention,
    "attention_grad": _attention_grad,
    "attention_packed": _packed,
    "attention_packed_grad": _packed_grad,
}


class MultiplyAdds:
    """Counts what runs inside a `with` block, forward and backward, by shapes: a product of (m, k) and (k, n) is m n k.

    Convolutions count their padding, attention the pairs of query and key that see each other by place, whether a mask
    hides them or not; a recurrent layer all its products. Sums, activations and decompositions are not counted.
    While the block runs, operations of all threads are counted, and are a little slower.

        with MultiplyAdds() as count:
            loss = model(x).sum()
            loss.backward()
        print(count.total, count.by_kernel)

    Attributes: by_kernel: a Counter of multiply-adds by kernel.   total: their sum.
    """

    def __init__(self) -> None:
        self.by_kernel: Counter[str] = Counter()
        self._restore: list[tuple[Any, str, Any]] = []

    @property
    def total(self) -> int:
        """Of all kernels."""
        return self.by_kernel.total()

    def __enter__(self) -> "MultiplyAdds":
        for name, rule in _RULES.items():
            kernel = getattr(_C, name)
            counted = self._counted(name, kernel, rule)
            places = [(op, "kernel") for op in Op.subclasses if vars(op).get("kernel") is kernel]
            for owner, attribute in [(_C, name), *places]:
                self._restore.append((owner, attribute, kernel))
                setattr(owner, attribute, counted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._restore:
            owner, attribute, kernel = self._restore.pop()
            setattr(owner, attribute, kernel)

    def _counted(self, name: str, kernel: Callable[..., Any], rule: Callable[..., int]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            made = kernel(*args, **options)
            self.by_kernel[name] += rule(made, *args, **options)
            return made

        return run
