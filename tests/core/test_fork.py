"""fork: children compute with threads and end, in whatever order threads and forks come."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("program", "children"),
    [
        ("after_use", 3),
        ("from_another_thread", 2),
        ("while_computing", 5),
        ("child_of_a_child", 1),
        ("pool", 4),
        ("captured", 2),
    ],
)
def test_children_compute(program: str, children: int) -> None:
    script = str(Path(__file__).with_name("forking.py"))
    done = subprocess.run([sys.executable, script, program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([0] * children)
