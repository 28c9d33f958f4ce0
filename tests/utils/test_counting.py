"""Multiply-adds against their formulas, forward and backward."""

from typing import Any

import pytest

import pydl
from pydl import nn
from pydl.nn import functional as F
from pydl.utils.counting import MultiplyAdds

L, D, H = 12, 8, 5


def count(call: Any) -> MultiplyAdds:
    with MultiplyAdds() as counted:
        call()
    return counted


def x(*shape: int) -> pydl.Tensor:
    return pydl.randn(*shape).requires_grad_()


@pytest.mark.parametrize(
    ("call", "forward", "backward"),
    [
        (lambda: x(3, 4) @ x(4, 5), 3 * 4 * 5, 2 * 3 * 4 * 5),
        (lambda: pydl.einsum("bij,bjk->bik", x(2, 3, 4), x(2, 4, 5)), 2 * 3 * 4 * 5, 4 * 3 * 4 * 5),
        (lambda: F.linear(x(2, 3, 4), x(5, 4), x(5)), 6 * 20, 12 * 20),
        (lambda: pydl.addmm(x(3, 5), x(3, 4), x(4, 5)), 60, 120),
        (lambda: F.conv1d(x(2, 3, 10), x(4, 3, 3), padding=1), 2 * 4 * 10 * 9, 2 * 2 * 4 * 10 * 9),
        (lambda: F.conv2d(x(1, 4, 6, 6), x(8, 2, 3, 3), groups=2), 8 * 16 * 18, 2 * 8 * 16 * 18),
        (lambda: F.conv_transpose1d(x(2, 3, 5), x(3, 4, 2)), 2 * 3 * 5 * 8, 2 * 2 * 3 * 5 * 8),
        (lambda: nn.LSTM(D, H)(x(L, 2, D))[0], L * 2 * 4 * H * (D + H), 2 * L * 2 * 4 * H * (D + H) - 2 * 4 * H * H),
        (lambda: F.scaled_dot_product_attention(x(2, 3, L, D), x(2, 3, 7, D), x(2, 3, 7, H)), 6 * L * 7 * (D + H),
         6 * L * 7 * (3 * D + 2 * H)),
        (lambda: F.scaled_dot_product_attention(x(1, 1, L, D), x(1, 1, L, D), x(1, 1, L, D), is_causal=True),
         L * (L + 1) // 2 * 2 * D, L * (L + 1) // 2 * 5 * D),
        (lambda: F.scaled_dot_product_attention(x(2, 1, 3, D), x(2, 1, 7, D), x(2, 1, 7, D),
                                                key_lengths=pydl.tensor([7, 2])), 3 * 9 * 2 * D, 3 * 9 * 5 * D),
    ],
)  # fmt: skip
def test_formulas(call: Any, forward: int, backward: int) -> None:
    with MultiplyAdds() as counted:
        y = call()
    assert counted.total == forward
    assert count(y.sum().backward).total == backward
    with pydl.no_grad():
        assert count(call).total == forward


def test_it_ends_with_its_block() -> None:
    """Also where the block raises; blocks may be nested."""
    with MultiplyAdds() as outer:
        x(2, 2) @ x(2, 2)
        with pytest.raises(RuntimeError, match="stop"), MultiplyAdds() as inner:
            x(2, 2) @ x(2, 2)
            raise RuntimeError("stop")
        x(2, 2) @ x(2, 2)
    x(2, 2) @ x(2, 2)
    assert (outer.total, inner.total) == (24, 8) and dict(outer.by_kernel) == {"matmul": 24}
    assert not hasattr(pydl._C.matmul, "__wrapped__") and type(pydl._C.matmul).__name__ != "function"


def test_multihead_attention() -> None:
    """The packed path: one projection, attention and the last map."""
    net, z = nn.MultiheadAttention(D, 2, batch_first=True), x(1, L, D)
    counted = count(lambda: net(z, z, z, need_weights=False))
    assert counted.by_kernel["attention_packed"] == 2 * L * L * D and counted.total == 4 * L * D * D + 2 * L * L * D
