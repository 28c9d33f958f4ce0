"""Every public operation and every function of pydl.nn.functional, called with whatever comes: it returns, or raises a
PydlError; it never does worse.

The arguments are drawn by parameter name where the name says what is meant (dim, size, p...), so that calls get past
the first check, and from anything at all otherwise.
"""

import inspect
import os
import resource
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pydl
import pydl.nn.functional as F
from pydl import ops
from pydl.errors import PydlError

SHAPES = [(), (1,), (0,), (3,), (2, 3), (3, 3), (1, 4), (0, 3), (2, 1, 3), (1, 1, 2, 3), (1,) * 8]
DTYPES = [pydl.float32, pydl.float64, pydl.bfloat16, pydl.float16, pydl.int64, pydl.int32, pydl.uint8, pydl.bool]
HUGE = [2**62, -(2**63), 2**63, 10**30]  # too large to be had, so that none is
ODD = [None, True, False, "", "a", "mean", b"x", 0.5, -1.5, float("nan"), float("inf"), 1j, (), [], {}, object(),
       slice(1), Ellipsis, np.float32(2), np.zeros(2), range(3), pydl.float32, int]  # fmt: skip
# Functions whose result may be of any size that is asked for, or that wait for nothing random: tested by hand.
SIZED = {
    "full",
    "zeros",
    "ones",
    "empty",
    "rand",
    "randn",
    "randint",
    "randperm",
    "arange",
    "linspace",
    "logspace",
    "eye",
}
FUNCTIONS = {name: getattr(ops, name) for name in sorted(ops.__all__) if inspect.isfunction(getattr(ops, name))}
FUNCTIONS |= {f"F.{name}": getattr(F, name) for name in F.__all__ if getattr(F, name) not in FUNCTIONS.values()}
NAMES = list(FUNCTIONS)

small = st.integers(-5, 5)


@st.composite
def tensors(draw: Any) -> pydl.Tensor:
    """A small tensor of any dtype, sometimes with gradients, sometimes not contiguous."""
    shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 4, shape)
    made = pydl.tensor(values).to(dtype)
    if draw(st.booleans()) and made.ndim > 1:
        made = made.transpose(0, -1)
    return made.requires_grad_(dtype in DTYPES[:4] and draw(st.booleans()))


dims = st.one_of(small, st.lists(small, max_size=3), st.lists(small, max_size=3).map(tuple), st.none())
anything = st.one_of(
    tensors(), small, st.sampled_from(ODD), st.sampled_from(HUGE), st.lists(st.one_of(small, tensors()), max_size=3)
)
BY_NAME = {
    "dim": dims, "dims": dims, "axis": dims, "shape": dims, "size": dims, "sizes": dims, "repeats": dims,
    "tensors": st.lists(tensors(), max_size=3), "p": st.floats(-1, 2), "keepdim": st.booleans(),
    "dtype": st.sampled_from([None, *DTYPES]), "index": st.one_of(tensors(), dims), "equation": st.sampled_from(
        ["ij,jk->ik", "ii->i", "...i->...", "ij", "", "i,j", "->", "ij->ji", "iii", "a-b"]),
}  # fmt: skip


def likely(name: str) -> Any:
    """What an argument of this name usually is."""
    return BY_NAME.get(
        name, tensors() if name in ("input", "other", "x", "tensor", "src", "target", "mask") else anything
    )


@st.composite
def calls(draw: Any, name: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for a function: most of them likely, some of them not."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for p in inspect.signature(FUNCTIONS[name]).parameters.values():
        if p.name in ("out", "generator", "device"):
            continue
        required = p.default is inspect.Parameter.empty
        strategy = likely(p.name) if draw(st.integers(0, 9)) < 8 else anything
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            args += draw(st.lists(strategy, max_size=3))
        elif p.kind is inspect.Parameter.KEYWORD_ONLY:
            if draw(st.integers(0, 3)) == 0:
                kwargs[p.name] = draw(strategy)
        elif p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and (required or draw(st.booleans())):
            if (len(args) + len(kwargs) and kwargs) or (not required and draw(st.booleans())):
                kwargs[p.name] = draw(strategy)
            else:
                args.append(draw(strategy))
    return args, kwargs


def attempt(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Calls, and differentiates what can be."""
    function = FUNCTIONS[name]
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return
    if name in SIZED and any(isinstance(a, int) and abs(a) > 99 for a in [*args, *kwargs.values()]):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # losses warn of shapes that broadcast
            made = function(*args, **kwargs)
        results = [m for m in (made if isinstance(made, (tuple, list)) else [made]) if isinstance(m, pydl.Tensor)]
        for m in [m for m in results if m.requires_grad]:
            m.sum().backward(retain_graph=True)
    except (MemoryError, BufferError):  # too large; not to be shared
        return
    except PydlError as error:
        assert str(error).strip(), "an error without words"


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """What asks for very much memory is refused it, before the machine is short of it; sanitizers reserve terabytes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if "PYDL_SANITIZED" not in os.environ and os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", NAMES)
def test_junk(name: str) -> None:
    """A few dozen calls of each operation; the arguments meet the same code under every instruction set."""

    most = 8 if name.startswith("F.") else 25

    @settings(
        max_examples=most, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(calls(name))
    def run(call: Any) -> None:
        attempt(name, *call)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_junk_long(name: str) -> None:
    """The same, hundreds of times and differently each time."""

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(calls(name))
    def run(call: Any) -> None:
        attempt(name, *call)

    run()
