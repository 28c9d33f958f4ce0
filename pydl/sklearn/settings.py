"""Settings of estimators: stored as they are given, checked when they are used, as scikit-learn does it."""

import math
from numbers import Integral, Real
from typing import Any

from pydl.errors import ArgumentError

__all__ = ["boolean", "choice", "number", "store"]


def choice(estimator: Any, name: str, *allowed: Any) -> Any:
    """The setting, if it is one of these. Raises: ArgumentError."""
    value = getattr(estimator, name)
    if not any(value is option or (isinstance(value, str) and value == option) for option in allowed):
        raise _wrong(estimator, name, value, "one of " + ", ".join(map(repr, allowed)))
    return value


def boolean(estimator: Any, name: str) -> bool:
    """The setting, if it is True or False. Raises: ArgumentError."""
    value = getattr(estimator, name)
    if value not in (True, False) or isinstance(value, str):
        raise _wrong(estimator, name, value, "True or False")
    return bool(value)


def number(
    estimator: Any, name: str, low: float, high: float = math.inf, *, above: bool = False, below: bool = False,
    whole: bool = False,
) -> Any:  # fmt: skip
    """The setting, if it lies in [low, high], or with `above` and `below` strictly between. Raises: ArgumentError."""
    value = getattr(estimator, name)
    kind = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not kind or not (value > low if above else value >= low) or not (value < high if below else value <= high):
        bounds = f"{'(' if above else '['}{low}, {high}{')' if below else ']'}"
        raise _wrong(estimator, name, value, f"{'a whole number' if whole else 'a number'} in {bounds}")
    return value


def _wrong(estimator: Any, name: str, value: Any, wanted: str) -> ArgumentError:
    return ArgumentError(f"{type(estimator).__name__}: {name} must be {wanted}, got {value!r}")


def store(estimator: Any, given: dict[str, Any]) -> None:
    """Puts the arguments of a constructor, as locals() gives them, into attributes of their names."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)
