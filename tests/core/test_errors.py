"""Bad arguments raise errors of pydl's own types, and the process goes on."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import (
    ArgumentError,
    AutogradError,
    BoundsError,
    DeviceError,
    DtypeError,
    PydlError,
    ShapeError,
)

HUGE = 1 << 62
X = pydl.ones(2, 3)
ND = np.ones((2, 3), dtype=np.float32)
WHOLE = pydl.zeros(2, dtype=pydl.int64)

CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # what is no tensor
    (lambda: pydl.add("a", 1), DtypeError, "add: expected"),  # type: ignore[arg-type]
    (lambda: pydl.matmul(ND, X.T), DtypeError, "matmul"),  # type: ignore[arg-type]
    (lambda: X @ ND.T, DtypeError, "matmul"),
    (lambda: pydl.exp(ND), DtypeError, "exp: expected a tensor, got ndarray"),  # type: ignore[arg-type]
    (lambda: pydl.relu(None), DtypeError, "relu: expected a tensor, got NoneType"),  # type: ignore[arg-type]
    (lambda: pydl.cat([X, ND]), DtypeError, "cat: expected"),  # type: ignore[list-item]
    (lambda: X + "a", DtypeError, "add: expected a tensor or a number, got str"),
    (lambda: X + None, DtypeError, "got NoneType"),
    (lambda: X ** [1], DtypeError, "pow"),
    (lambda: pydl.tensor("abc"), DtypeError, "expected numbers"),
    (lambda: pydl.tensor([object()]), DtypeError, "expected numbers"),
    (lambda: pydl.tensor(1j), DtypeError, "complex"),
    (lambda: pydl.tensor([[1, 2], [3]]), ArgumentError, "ragged"),
    (lambda: pydl.from_numpy([1]), DtypeError, "got list"),  # type: ignore[arg-type]
    (lambda: pydl.from_dlpack(3), DtypeError, "__dlpack__"),
    # sizes
    (lambda: pydl.zeros(-1), ShapeError, "negative"),
    (lambda: pydl.empty(2, -3), ShapeError, "negative"),
    (lambda: pydl.randn(-1), ShapeError, "negative"),
    (lambda: pydl.zeros(HUGE), ShapeError, "does not fit into memory"),
    (lambda: pydl.zeros(HUGE, 0, HUGE), ShapeError, "does not fit into memory"),
    (lambda: pydl.zeros(HUGE, HUGE), ShapeError, "does not fit into memory"),
    (lambda: pydl.zeros(1 << 70), DtypeError, "integers"),
    (lambda: pydl.zeros([1] * 9), ShapeError, "at most 8 axes"),
    (lambda: pydl.zeros([1] * 8).unsqueeze(0), ShapeError, "at most 8 axes"),
    (lambda: pydl.from_numpy(np.zeros([1] * 9)), ShapeError, "at most 8 axes"),
    (lambda: pydl.zeros("a"), DtypeError, "integers"),
    (lambda: pydl.zeros(2.5), DtypeError, "integers"),
    (lambda: pydl.zeros(None), DtypeError, "integers"),
    (lambda: X.expand(HUGE, 2, 3), ShapeError, "too large"),
    (lambda: pydl.ones(1).expand(1 << 32, 1 << 32), ShapeError, "too large"),
    (lambda: X.reshape(-1, -1), ShapeError, "more than one -1"),
    (lambda: X.reshape(HUGE, HUGE), ShapeError, "too large"),
    (lambda: X.reshape("a"), DtypeError, "integers"),
    (lambda: X.reshape(5), ShapeError, "does not fit"),
    (lambda: X.T.view(6), ShapeError, "without a copy"),
    (lambda: X.expand(5, 3), ShapeError, "does not expand"),
    (lambda: X.repeat(HUGE, 2), ShapeError, "too large"),
    (lambda: X.permute(0, 0), ShapeError, "repeated"),
    # axes
    (lambda: X.sum(dim="a"), DtypeError, "sum"),  # type: ignore[arg-type]
    (lambda: X.sum(2), BoundsError, "dim 2 is out of range"),
    (lambda: X.softmax("a"), DtypeError, "integer"),  # type: ignore[arg-type]
    (lambda: X.transpose("a", 0), DtypeError, "integer"),
    (lambda: X.size(5), BoundsError, "size: dim 5"),
    (lambda: X.stride(-3), BoundsError, "stride: dim -3"),
    (lambda: X["a"], DtypeError, "index"),
    (lambda: X[1.0], DtypeError, "index"),
    (lambda: X[1 << 70], BoundsError, "out of range"),
    (lambda: X[5], BoundsError, "out of range"),
    (lambda: list(pydl.tensor(3)), DtypeError, "without axes"),
    (lambda: len(pydl.tensor(3)), DtypeError, "without axes"),
    # dtypes
    (lambda: pydl.zeros(2, dtype=float), DtypeError, "expected a dtype such as pydl.float32"),  # type: ignore[arg-type]
    (lambda: pydl.zeros(2, dtype="float32"), DtypeError, "expected a dtype"),  # type: ignore[arg-type]
    (lambda: pydl.zeros(2, dtype=np.float32), DtypeError, "expected a dtype"),  # type: ignore[arg-type]
    (lambda: pydl.promote_types("a", pydl.float32), DtypeError, "expected a dtype"),
    (lambda: X.to(int), DtypeError, "expected a dtype, a device or a tensor"),
    (lambda: pydl.set_default_dtype(pydl.int64), DtypeError, "floating"),
    (lambda: pydl.full((2,), "a"), DtypeError, "number"),  # type: ignore[arg-type]
    (lambda: pydl.full((2,), None), DtypeError, "number"),  # type: ignore[arg-type]
    (lambda: pydl.full((2,), 1 << 70, dtype=pydl.int64), PydlError, "fit"),
    (lambda: WHOLE + (1 << 70), PydlError, "fit"),
    (lambda: WHOLE.mean(), DtypeError, "floating"),
    (lambda: WHOLE // 0, ArgumentError, "division by zero"),
    (lambda: pydl.tensor(1.5).__index__(), DtypeError, "integer"),
    # values
    (lambda: X.item(), ArgumentError, "not one number"),
    (lambda: bool(X), ArgumentError, "neither true nor false"),
    (lambda: pydl.set_num_threads(0), ArgumentError, "positive"),
    (lambda: pydl.arange(0, 1, 0), ArgumentError, "step"),
    (lambda: pydl.arange(0, float("inf")), ArgumentError, "finite"),
    (lambda: X.requires_grad_().numpy(), AutogradError, "detach"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_typed_errors(case: int) -> None:
    """The right type, a PydlError, and a message that says what was wrong."""
    call, error, text = CASES[case]
    X.requires_grad_(False)
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, PydlError)
    assert text in str(caught.value)
    assert "incompatible" not in str(caught.value)


def test_built_in_bases() -> None:
    """Who catches Python's own errors catches ours."""
    pairs = [(ShapeError, ValueError), (DtypeError, TypeError), (DeviceError, RuntimeError), (BoundsError, IndexError),
             (ArgumentError, ValueError), (AutogradError, RuntimeError)]  # fmt: skip
    for ours, builtin in pairs:
        assert issubclass(ours, builtin) and issubclass(ours, PydlError)


def test_genuine_type_errors_stay() -> None:
    """A wrong number of arguments is Python's TypeError, not ours."""
    with pytest.raises(TypeError) as caught:
        pydl.exp()  # type: ignore[call-arg]
    assert not isinstance(caught.value, PydlError)


def test_allocation_failure_leaves_the_process_whole() -> None:
    """More than there is: MemoryError, and everything still works."""
    before = pydl.memory_stats()["active"]
    for _ in range(3):
        with pytest.raises(MemoryError):
            pydl.empty(1 << 44)
        with pytest.raises(MemoryError):
            pydl.ones(1).expand(1 << 44).clone()
    assert pydl.memory_stats()["active"] == before
    assert pydl.ones(3).sum().item() == 3.0


def test_failing_allocation_in_an_operation() -> None:
    """Under a limit on the address space an operation raises MemoryError; after it the program goes on."""
    code = """
import resource, pydl
x = pydl.ones(1 << 20)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), used + (400 << 20)))
held = []
try:
    while True:
        held.append(x.repeat(8) * 2.0)
except MemoryError:
    count = len(held)
    held.clear()
    assert count > 3 and (x * 2).sum().item() == 2 << 20
    print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "went on\n", done.stderr


# ---------------------------------------------------------------- devices


def test_cuda_says_why_not() -> None:
    if pydl.cuda.is_available():
        pytest.skip("a CUDA device is there")
    for call in (
        lambda: pydl.device("cuda"),
        lambda: pydl.device("cuda:1"),
        lambda: pydl.device(1),
        lambda: pydl.device("cuda", 1),
        lambda: pydl.device(type="cuda", index=np.int64(0)),
        lambda: X.to(1),
        lambda: X.cuda(1),
        lambda: pydl.zeros(2, device=0),
        lambda: pydl.nn.Linear(2, 2).cuda(0),
        lambda: X.to("cuda"),
        lambda: X.cuda(),
        lambda: pydl.zeros(2, device="cuda"),
        lambda: pydl.tensor([1.0], device="cuda"),
    ):
        with pytest.raises(DeviceError, match=r"cuda is not available: .+"):
            call()
    assert pydl.cuda.reason() and pydl.cuda.device_count() == 0


@pytest.mark.parametrize(
    ("args", "error", "said"),
    [
        ((-1,), ArgumentError, "-1 is not the number of a device"),
        ((1000,), ArgumentError, "1000 is not the number of a device"),
        ((1 << 70,), ArgumentError, "is not the number of a device"),
        (("cuda", -2), ArgumentError, "-2 is not the number of a device"),
        (("cuda:1", 1), ArgumentError, "'cuda:1' has a number: expected a type without one"),
        (("cpu", 3), ArgumentError, "'cpu:3' is not a device"),
        (("tpu", 0), ArgumentError, "'tpu:0' is not a device"),
        ((True,), DtypeError, "expected 'cpu', 'cuda', 'cuda:N' or N, got True"),
        ((1.0,), DtypeError, "got 1.0"),
        ((None,), DtypeError, "got None"),
        (("cuda", True), DtypeError, "expected an int as index, got True"),
        (("cuda", "1"), DtypeError, "expected an int as index, got '1'"),
        ((pydl.device("cpu"), 0), DtypeError, "got device"),
    ],
)
def test_what_is_no_device(args: tuple[object, ...], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        pydl.device(*args)


def test_the_cpu_by_its_names() -> None:
    here = pydl.device("cpu")
    assert here == pydl.device("cpu:0") == pydl.device("cpu", 0) == pydl.device(here) == pydl.device(device="cpu")
    assert here == pydl.device(type="cpu") == pydl.device("cpu", None) and here.index is None
    with pytest.raises(ArgumentError, match="cuda: expected a CUDA device, got 'cpu'"):
        pydl.zeros(2).cuda("cpu")


@pytest.mark.parametrize(
    ("given", "error"),
    [("gpu", ArgumentError), ("cpu:1", ArgumentError), ("cuda:x", ArgumentError), ("", ArgumentError),
     ("cuda:", ArgumentError), ("cuda:99999999999", ArgumentError), (-3, ArgumentError), (None, DtypeError),
     (1.5, DtypeError), (b"cpu", DtypeError)],
)  # fmt: skip
def test_bad_devices(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="device: "):
        pydl.device(given)


def test_cpu_device() -> None:
    cpu = pydl.device("cpu")
    assert cpu == pydl.device("cpu:0") == pydl.device(cpu) == X.device
    assert str(cpu) == "cpu" and cpu.type == "cpu" and cpu.index is None and hash(cpu) == hash(pydl.device("cpu"))
    assert X.to("cpu") is X and X.cpu() is X and X.to(cpu) is X
