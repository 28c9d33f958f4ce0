"""What predictions and targets may look like, for all metrics of classes.

Targets are class numbers (b, ...). Predictions are scores of c classes (b, c, ...), or one score per target, (b, ...)
or (b, 1, ...), or class numbers themselves (b, ...).
"""

import math
from typing import Any

import numpy as np

from pydl._C import bfloat16, float16
from pydl.errors import ArgumentError, BoundsError, ShapeError
from pydl.ops import as_tensor
from pydl.tensor import Tensor

__all__ = ["chosen", "class_scores", "numbers", "score_axis"]

_SMALL = (bfloat16, float16)
Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def numbers(value: Any) -> np.ndarray[Any, Any]:
    """The numbers of a tensor or an array; small floats as float32."""
    tensor = as_tensor(value).detach()
    return (tensor.float() if tensor.dtype in _SMALL else tensor).cpu().numpy()


def score_axis(prediction: Tensor, shape: tuple[int, ...]) -> int | None:
    """c where predictions (b, c, ...) hold c > 1 scores per target of `shape`, None where they hold one."""
    p = tuple(prediction.shape)
    classes = len(p) == len(shape) + 1 and p[:1] == shape[:1] and p[2:] == shape[1:]
    if classes and p[1] > 1:
        return p[1]
    if p == shape or (classes and p[1] == 1):
        return None
    raise ShapeError(f"predictions {p} do not fit targets {shape}: expected (b, c) and (b,)")


def chosen(
    prediction: Any, target: Any, name: str, classes: int | None, threshold: float, ignore: int | None
) -> tuple[Ints, Ints]:
    """The class that each prediction chooses and the target beside it, both (n,), without the ignored ones.

    The largest of several scores is chosen (the first of equal ones); a single score chooses 1 above `threshold`, else
    0; whole numbers stand for themselves. Raises: ShapeError, ArgumentError, BoundsError.
    """
    scores = as_tensor(prediction).detach()
    right = _whole(numbers(target), name)
    c = _axis(scores, right.shape, name, classes)
    if c is not None:
        answers = numbers(scores.argmax(1))
    elif scores.is_floating_point():
        answers = numbers(scores > threshold)
    else:
        answers = numbers(scores)
    found, right = answers.astype(np.int64, copy=False).ravel(), right.ravel()
    if ignore is not None:
        kept = right != ignore
        found, right = found[kept], right[kept]
    limit = c if c is not None else classes
    if limit is not None:
        _check_classes(right, limit, f"{name}: targets")
        if c is None and not scores.is_floating_point():
            _check_classes(found, limit, f"{name}: predictions")
    return found, right


def class_scores(prediction: Any, target: Any, name: str, ignore: int | None) -> tuple[np.ndarray[Any, Any], Ints]:
    """(n, c) scores of classes, or (n,) of class 1 in two, as floats; and the targets (n,) without the ignored ones.

    Raises: ShapeError, ArgumentError for a score that is nan, BoundsError for a target that is no class.
    """
    scores = as_tensor(prediction).detach()
    right = _whole(numbers(target), name)
    c = _axis(scores, right.shape, name, None)
    values = numbers(scores)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    values = values.ravel() if c is None else np.moveaxis(values, 1, -1).reshape(math.prod(right.shape), c)
    right = right.ravel()
    if ignore is not None:
        kept = right != ignore
        values, right = values[kept], right[kept]
    if np.isnan(values).any():
        raise ArgumentError(f"{name}: a prediction is nan")
    _check_classes(right, 2 if c is None else c, f"{name}: targets")
    return values, right


def _axis(scores: Tensor, shape: tuple[int, ...], name: str, classes: int | None) -> int | None:
    try:
        c = score_axis(scores, shape)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}") from None
    if c is not None and classes not in (None, c):
        raise ShapeError(f"{name}: predictions {tuple(scores.shape)} have {c} classes: expected {classes}")
    return c


def _whole(target: np.ndarray[Any, Any], name: str) -> Ints:
    """Class numbers, which may come as floats."""
    if target.dtype.kind == "f" and not (target == np.floor(target)).all():  # nan is not equal either
        raise ArgumentError(f"{name}: targets must be class numbers, got fractions")
    return target.astype(np.int64, copy=False)


def _check_classes(values: Ints, classes: int, what: str) -> None:
    if values.size and values.view(np.uint64).max() >= classes:  # negative numbers are the largest of all
        wrong = values.min() if values.min() < 0 else values.max()
        raise BoundsError(f"{what} hold the class {wrong}: expected 0 to {classes - 1}")
