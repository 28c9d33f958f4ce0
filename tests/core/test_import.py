"""What `import pydl` loads, and that the rest is there when it is named."""

import subprocess
import sys

import pydl

LATER = "nn optim amp func linalg special serialize replay data train models recipes xp"


def child(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_loads_the_core_alone() -> None:
    """Each package costs milliseconds; numpy.random and what it imports are no lighter."""
    loaded = child("import pydl, sys; print(*sys.modules)").split()
    assert [name for name in LATER.split() if f"pydl.{name}" in loaded] == []
    assert "numpy.random" not in loaded


def test_what_is_loaded_later_is_there_when_it_is_named() -> None:
    code = """
import pydl
names = sorted(pydl._LATER)
assert set(names) <= set(dir(pydl))
found = {name: getattr(pydl, name) for name in names}
assert all(vars(pydl)[name] is value for name, value in found.items())  # looked up once
from pydl import autocast, capture, load, nn, optim, save
assert (nn, optim, load) == (found['nn'], found['optim'], found['load'])
exec('from pydl import *')
print(nn.Linear(2, 3)(pydl.ones(1, 2)).shape, optim.SGD.__name__, save.__name__, autocast.__name__, capture.__name__)
"""
    assert child(code).split("\n")[0] == "(1, 3) SGD save autocast capture"


def test_no_other_name() -> None:
    assert not hasattr(pydl, "no_such_name")
    assert child("import pydl\ntry: pydl.no_such_name\nexcept AttributeError as e: print(e)").strip() == (
        "module 'pydl' has no attribute 'no_such_name'"
    )
