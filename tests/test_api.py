"""The public surface grows on purpose: every public name stands in api.txt.

`python tests/test_api.py` writes the file anew.
"""

import importlib
from itertools import pairwise
from pathlib import Path

NAMES = """autograd backends backends.cuda cuda data data.datasets data.text errors linalg linear_model
models nn nn.functional nn.init nn.utils ops optim optim.lr_scheduler optim.swa_utils preprocessing runtime
serialize signal theory train utils vision xp xp.linalg"""
MODULES = ["pydl", *(f"pydl.{name}" for name in NAMES.split())]
FILE = Path(__file__).parent / "api.txt"


def public_names() -> list[str]:
    """module.name of every name in __all__."""
    names = []
    for module in MODULES:
        loaded = importlib.import_module(module)
        own = [n for n, v in vars(loaded).items() if n[0] != "_" and getattr(v, "__module__", "") == module]
        names += [f"{module}.{name}" for name in getattr(loaded, "__all__", own)]
    return sorted(names)


def test_public_names() -> None:
    assert public_names() == FILE.read_text().split(), "public names changed: python tests/test_api.py"


def test_each_public_name_is_listed_once() -> None:
    """A second operation of a name would hide the first one."""
    names = public_names()
    assert [name for name, after in pairwise(names) if name == after] == []


def test_public_names_exist_and_are_documented() -> None:
    for full in public_names():
        module, name = full.rsplit(".", 1)
        value = getattr(importlib.import_module(module), name)
        if callable(value) and getattr(value, "__module__", "").startswith("pydl"):
            assert value.__doc__, f"{full} has no docstring"


if __name__ == "__main__":
    FILE.write_text("\n".join(public_names()) + "\n")
