"""einsum: sums of products by named axes, as a chain of matrix products."""

import math
import re
import string
from collections.abc import Sequence
from typing import Any

from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.arrange import diagonal
from pydl.ops.gemm import matmul
from pydl.ops.reduce import sum
from pydl.ops.shape import expand, permute, reshape
from pydl.tensor import Tensor

__all__ = [
    "einsum",
]

_EQUATION = re.compile(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*(,[A-Za-z]*(\.\.\.)?[A-Za-z]*)*(->[A-Za-z]*(\.\.\.)?[A-Za-z]*)?")
_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # what the labels 0 to 51 of lists are called
_DOTS = "0123456789"  # what the axes of an ellipsis are called, from the last one on


def _parse(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the output, with every ellipsis spelled out."""
    text = equation.replace(" ", "")
    if not _EQUATION.fullmatch(text):
        raise ArgumentError(f"einsum: cannot read the equation {equation!r}")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ArgumentError(f"einsum: {equation!r} names {len(terms)} operands, got {len(ranks)}")
    inputs, widest = [], ""
    for term, rank in zip(terms, ranks, strict=True):
        free = rank - len(term.replace("...", ""))
        if free < 0 or (free and "..." not in term):
            raise ShapeError(f"einsum: {term!r} does not fit an operand of {rank} axes")
        dots = _DOTS[:free][::-1]
        widest = max(widest, dots, key=len)
        inputs.append(term.replace("...", dots))
    if arrow:
        output = right.replace("...", widest)
    else:
        letters = "".join(inputs)
        output = widest + "".join(sorted({c for c in letters if c.isalpha() and letters.count(c) == 1}))
    if len(set(output)) != len(output) or not set(output) <= set("".join(inputs)):
        raise ArgumentError(f"einsum: the output {right!r} repeats a label or has one that no operand has")
    return inputs, output


def _sizes(equation: str, inputs: list[str], tensors: list[Tensor]) -> dict[str, int]:
    """The size of every label; 1 stretches."""
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs, tensors, strict=True):
        for label, n in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if known != n and 1 not in (known, n):
                raise ShapeError(f"einsum: {label!r} of {equation!r} is {known} and {n}: expected equal sizes or 1")
            sizes[label] = n if known == 1 else known
    return sizes


def _without_repeats(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """The diagonals of axes with the same label."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            x = diagonal(x, 0, first, second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return x, labels


def _summed(x: Tensor, labels: str, kept: set[str]) -> tuple[Tensor, str]:
    """x summed over the axes that nothing else names, in its dtype."""
    gone = [i for i, label in enumerate(labels) if label not in kept]
    return (sum(x, gone).to(x.dtype) if gone else x), "".join(c for c in labels if c in kept)


MOST_BATCH = 6  # axes of a batch of matrices


def _blocks(x: Tensor, labels: str, batch: str, groups: Sequence[str], sizes: dict[str, int]) -> Tensor:
    """x with the axes of each group merged into one, after those of the batch: a product reads them as they lie."""
    order = batch + "".join(groups)
    x = permute(x, [labels.index(c) for c in order])
    x = expand(x, [sizes[c] for c in order])
    merged = [math.prod(sizes[c] for c in group) for group in groups]
    lead = [sizes[c] for c in batch]
    return reshape(x, [*(lead if len(lead) <= MOST_BATCH else [math.prod(lead)]), *merged])


def _product(a: Tensor, left: str, b: Tensor, right: str, later: set[str], sizes: dict[str, int]) -> tuple[Tensor, str]:
    """Two operands as one batch of matrix products; later: the labels still needed."""
    a, left = _summed(a, left, later | set(right))
    b, right = _summed(b, right, later | set(left))
    both = [c for c in left if c in right]
    batch, inner = "".join(c for c in both if c in later), "".join(c for c in both if c not in later)
    rows, columns = "".join(c for c in left if c not in both), "".join(c for c in right if c not in both)
    y = matmul(_blocks(a, left, batch, (rows, inner), sizes), _blocks(b, right, batch, (inner, columns), sizes))
    labels = batch + rows + columns
    return reshape(y, [sizes[c] for c in labels]), labels


def _from_lists(operands: list[Any]) -> tuple[str, list[Any]]:
    """The equation and the tensors of einsum(a, [0, 1], b, [1, 2], [0, 2])."""

    def spelled(labels: Any) -> str:
        text = ""
        for label in labels:
            if label is not Ellipsis and (not isinstance(label, int) or not 0 <= label < len(_LETTERS)):
                raise ArgumentError(f"einsum: expected labels from 0 to {len(_LETTERS) - 1} or ..., got {label!r}")
            text += "..." if label is Ellipsis else _LETTERS[label]
        return text

    pairs = list(zip(operands[::2], operands[1::2], strict=False))
    equation = ",".join(spelled(labels) for _, labels in pairs)
    if len(operands) % 2:
        equation += "->" + spelled(operands[-1])
    return equation, [x for x, _ in pairs]


def einsum(equation: str | Tensor, *operands: Tensor | Sequence[Any]) -> Tensor:
    """Sums of products by named axes: einsum('bij,bjk->bik', a, b) is a batch of matrix products.

    Labels are letters, '...' the axes that have none; without '->' the output has the labels that occur once, in the
    order of the alphabet. As lists: einsum(a, [0, 1], b, [1, 2], [0, 2]) with labels from 0 to 51 and Ellipsis.
    Operands are joined from left to right. Cost: that of the matrix products.
    Raises: ArgumentError for an equation that cannot be read, ShapeError, DtypeError.
    """
    if isinstance(equation, Tensor):
        equation, tensors = _from_lists([equation, *operands])
    else:
        first = operands[0] if operands else ()
        tensors = list(first) if len(operands) == 1 and not isinstance(first, Tensor) else list(operands)
    for x in tensors:
        if not isinstance(x, Tensor):
            raise DtypeError(f"einsum: expected tensors, got {type(x).__name__}")
    inputs, output = _parse(equation, [x.ndim for x in tensors])
    sizes = _sizes(equation, inputs, tensors)
    terms = [_without_repeats(x, labels) for x, labels in zip(tensors, inputs, strict=True)]
    y, labels = terms[0]
    for i, (b, right) in enumerate(terms[1:], 2):
        y, labels = _product(y, labels, b, right, set(output).union(*[names for _, names in terms[i:]]), sizes)
    y, labels = _summed(y, labels, set(output))
    return permute(y, [labels.index(c) for c in output])
