"""Finds the recipes, and the rows of the course that they cover."""

import importlib
import pkgutil
from functools import cache
from importlib import resources
from types import ModuleType

import pydl.recipes
from pydl.errors import ArgumentError

__all__ = ["find", "recipes", "rows"]


@cache
def recipes() -> dict[str, ModuleType]:
    """The recipe modules by name."""
    found = {}
    for info in pkgutil.walk_packages(pydl.recipes.__path__, "pydl.recipes."):
        module = importlib.import_module(info.name)
        if hasattr(module, "RECIPE"):
            found[module.RECIPE.name] = module
    return dict(sorted(found.items()))


def find(name: str) -> list[ModuleType]:
    """The recipe of that name, or all that cover that row.

    Raises: ArgumentError that says what there is.
    """
    if name in recipes():
        return [recipes()[name]]
    by_row = [m for m in recipes().values() if name.upper() in m.RECIPE.ids]
    if by_row:
        return by_row
    if name.upper() in rows():
        raise ArgumentError(f"{name.upper()} ({rows()[name.upper()]}) is not covered yet")
    raise ArgumentError(f"there is no recipe {name!r}: pydl list shows them")


@cache
def rows() -> dict[str, str]:
    """The course's rows: id and title."""
    text = (resources.files("pydl.recipes") / "rows.txt").read_text(encoding="utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines() if line)
