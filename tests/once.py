"""A mark for tests of what is the same code whatever instructions the kernels use: one run of the suite has them."""

import os

import pytest

FEWER = os.environ.get("PYDL_ISA") in ("avx2", "base")  # a further run of the suite
ONCE = pytest.mark.skipif(FEWER, reason="nothing here depends on PYDL_ISA: avx512 and runs without it have this test")
