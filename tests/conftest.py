"""What all tests share: each row of a module's ROWS becomes the fixture `row`; every test starts from the same seed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pydl

sys.path.insert(0, str(Path(__file__).parent))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per row; `@only(condition)` leaves out the rows that a test has nothing to say about."""
    if "row" in metafunc.fixturenames:
        wanted = getattr(metafunc.function, "only", lambda row: True)
        rows = [row for row in metafunc.module.ROWS if wanted(row)]
        metafunc.parametrize("row", rows, ids=[row.name for row in rows])


@pytest.fixture(autouse=True)
def _start() -> Iterator[None]:
    """The same random numbers for every test; the number of threads is put back."""
    pydl.manual_seed(0)
    threads = pydl.get_num_threads()
    yield
    pydl.set_num_threads(threads)
