"""Rules of operations that have a batch of their own: linear algebra, attention; and dropout, whose draws belong to the
examples. pydl/func/rules.py says what a rule is."""

from typing import Any

from pydl import _C
from pydl.func.batch import compute, level_at_work
from pydl.func.rules import RULES, Rule, aligned, by_example, folded_rule, per_example, repeated, reshaped
from pydl.ops import decompose, solve
from pydl.ops.arithmetic import Mul
from pydl.ops.attention import Attention, PackedAttention
from pydl.ops.compare import Where
from pydl.ops.random import Dropout, default_generator
from pydl.ops.shape import Expand

__all__: list[str] = []


def matrices_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Matrices in the last two axes, any batch in front that broadcasts."""
    ndim = max(per_example(a, h) for a, h in zip(arrays, has, strict=True))
    return compute(op, [aligned(a, h, ndim) for a, h in zip(arrays, has, strict=True)], attrs)


def least_squares_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """The same where both inputs have one batch."""
    return compute(op, [repeated(a, h, n) for a, h in zip(arrays, has, strict=True)], attrs)


def attention_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """All examples in one batch: (n, b, ...) to (n b, ...). Dropout draws by the shape of one example: the definition
    does that."""
    *tensors, mask, lengths, rng = arrays
    *have, mask_has, lengths_have, _ = has
    if rng is not None:
        return by_example(op, arrays, has, attrs, n)
    b = tensors[0].shape[1 if have[0] else 0]
    if mask is not None:
        mask = aligned(mask, True, 4) if mask_has else mask
        lead = 4 - per_example(mask, mask_has)
        mask = mask if mask_has else reshaped(mask, [*[1] * lead, *mask.shape])
        shared = not mask_has and mask.shape[0] == 1
        mask = mask if shared else _whole_batch(repeated(mask, mask_has, n), b)
        mask_has = not shared
    if lengths is not None:
        lengths, lengths_have = repeated(lengths, lengths_have, n), True
    ready = [repeated(a, h, n) for a, h in zip(tensors, have, strict=True)]
    flags = [True] * len(ready) + [mask_has, lengths_have, False]
    return folded_rule(op, [*ready, mask, lengths, None], flags, attrs, n)


def _whole_batch(mask: Any, b: int) -> Any:
    """(n, 1 or b, ...) as (n, b, ...)."""
    sizes = list(mask.shape)
    return mask if sizes[1] == b else compute(Expand, [mask], {"shape": [sizes[0], b, *sizes[2:]]})


def dropout_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Under 'same' one mask, of the shape of one example; else each element of each example draws for itself."""
    (x,), level = arrays, level_at_work()
    if attrs["state"] is not default_generator.array:  # what the loop does with it is for the loop to do
        return by_example(op, arrays, has, attrs, n)
    if level.randomness == "same":
        one = _C.full(tuple(x.shape[1:]), 1, x.dtype, x.device)
        factors, kept = op.kernel(one, **attrs)
        zero = _C.scalar(0, x.dtype, x.device)
        return compute(Where, [kept, compute(Mul, [x, factors], {}), zero], {}), repeated(kept, False, n)
    before = default_generator.offset
    made = compute(op, [x], attrs)
    level.drawn += default_generator.offset - before
    return made


_BATCHED: tuple[Any, ...] = (
    solve.Inv,
    solve.Solve,
    solve.SolveTriangular,
    solve.Adjugate,
    solve.Det,
    solve.Slogdet,
    solve.Pinv,
    decompose.Cholesky,
    decompose.QR,
    decompose.Eigh,
    decompose.Eig,
    decompose.SVD,
)
_RULES: dict[Any, Rule] = {
    **dict.fromkeys(_BATCHED, matrices_rule),
    solve.Lstsq: least_squares_rule,
    Attention: attention_rule,
    PackedAttention: attention_rule,
    Dropout: dropout_rule,
}
RULES.update(_RULES)
