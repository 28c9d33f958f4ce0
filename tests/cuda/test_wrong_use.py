"""Wrong use of CUDA devices ends in an error of pydl's, and the next operation goes well."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pydl
from pydl.errors import ArgumentError, BoundsError, DeviceError, DtypeError, PydlError
from pydl.nn import functional as F

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

HUGE = 1 << 45


@pytest.mark.parametrize(
    "name", ["cuda:", "cuda:x", "cuda:-1", "CUDA", "cuda :0", "cuda:99999999999", "cuda:1 ", "gpu"]
)
def test_names(name: str) -> None:
    """What is no device is said to be none, wherever a device is asked for."""
    for use in (lambda: pydl.zeros(2, device=name), lambda: pydl.ones(2).to(name), lambda: pydl.cuda.set_device(name)):
        with pytest.raises(ArgumentError, match="is not a device: expected 'cpu', 'cuda', 'cuda:N' or N"):
            use()


NUMBERS: list[tuple[Any, type[PydlError], str]] = [
    (-1, ArgumentError, "-1 is not the number of a device"),
    (1 << 70, ArgumentError, f"{1 << 70} is not the number of a device"),
    (63, DeviceError, "cuda:63 is not there: this machine has"),
    (1.0, DtypeError, "expected 'cpu', 'cuda', 'cuda:N' or N, got 1.0"),
    ([0], DtypeError, r"expected 'cpu', 'cuda', 'cuda:N' or N, got \[0\]"),
]


@pytest.mark.parametrize(("number", "error", "said"), NUMBERS)
def test_numbers(number: Any, error: type[PydlError], said: str) -> None:
    """The same of numbers, and of what is neither."""
    x, net = pydl.ones(2), pydl.nn.Linear(2, 2)
    uses: list[Callable[[Any], Any]] = [pydl.device, lambda d: pydl.zeros(2, device=d), x.cuda, net.cuda]
    uses += [] if error is DtypeError else [x.to, net.to]
    for use in uses:
        with pytest.raises(error, match=said):
            use(number)


@pytest.mark.parametrize("name", [f"cuda:{pydl.cuda.device_count()}", "cuda:63"])
def test_devices_that_are_not_there(name: str) -> None:
    for use in (pydl.cuda.set_device, pydl.cuda.synchronize, pydl.cuda.mem_get_info, pydl.cuda.Stream, pydl.ones(2).to):
        with pytest.raises(DeviceError, match=f"{name} is not there: this machine has"):
            use(name)


X, Y, I = (pydl.ones(3, 3), pydl.zeros(3, 3), pydl.tensor([0, 1]))
MIXED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda a, b, i: a + b,
    "matmul": lambda a, b, i: a @ b,
    "cat": lambda a, b, i: pydl.cat([a, b]),
    "where": lambda a, b, i: pydl.where(a > 0, b, a),
    "index": lambda a, b, i: b[i.to(a.device)],
    "setitem": lambda a, b, i: b.__setitem__(i.to(a.device), 1.0),
    "embedding": lambda a, b, i: F.embedding(i.to(a.device), b),
    "conv2d": lambda a, b, i: F.conv2d(a.reshape(1, 1, 3, 3), b.reshape(1, 1, 3, 3)),
    "linear": lambda a, b, i: F.linear(a, a, b[0]),
    "layer_norm": lambda a, b, i: F.layer_norm(a, (3,), b[0]),
    "attention": lambda a, b, i: F.scaled_dot_product_attention(a[None], b[None], a[None]),
    "cross_entropy": lambda a, b, i: F.cross_entropy(a, pydl.tensor([0, 1, 2], device=b.device)),
    "gather": lambda a, b, i: pydl.gather(b, 0, i.reshape(1, 2).to(a.device)),
    "lstm": lambda a, b, i: pydl.nn.LSTM(3, 2).to(a.device)(b[None]),
    "batch_norm": lambda a, b, i: pydl.nn.BatchNorm1d(3).to(a.device)(b),
    "backward": lambda a, b, i: (a.detach().requires_grad_() * 2).backward(b),
}


@pytest.mark.parametrize("name", list(MIXED))
def test_tensors_of_two_devices(name: str) -> None:
    """Either way round, and on two GPUs."""
    places = [("cuda", "cpu"), ("cpu", "cuda"), *([("cuda:0", "cuda:1")] if pydl.cuda.device_count() > 1 else [])]
    for here, there in places:
        with pytest.raises(DeviceError, match="expected all tensors on one device"):
            MIXED[name](X.to(here), Y.to(there), I)
    assert (X.cuda() * 2).sum().item() == 18


def test_indices() -> None:
    """Out of bounds: the operation and the value are named, and the device lives on."""
    x, far = X.cuda(), pydl.tensor([7], device="cuda")
    for use in (
        lambda: x[far],
        lambda: F.embedding(far, x),
        lambda: pydl.index_add(x, 0, far, x[:1]),
        lambda: pydl.gather(x, 0, far.reshape(1, 1)),
    ):
        with pytest.raises(BoundsError, match="7 is out of range for size 3"):
            use()
        assert (x + 1).sum().item() == 18


def test_memory_that_is_not_there() -> None:
    """What was freed is reused after an operation that asked for too much."""
    x = pydl.ones(1000, device="cuda")
    for use in (lambda: pydl.empty(HUGE, device="cuda"), lambda: x.expand(1 << 35, 1000).contiguous()):
        with pytest.raises(DeviceError, match="is out of memory: asked for"):
            use()
        assert (x + x).sum().item() == 2000


def test_forked_process() -> None:
    """A process that is forked off after CUDA was used says what to do, and can work on the CPU."""
    x = pydl.ones(3, device="cuda")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = "no error"
            try:
                x + 1
            except PydlError as error:
                said = f"{type(error).__name__}: {error}; {pydl.ones(3).sum().item()}"
            os.write(write, said.encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    told = os.read(read, 1000).decode()
    os.close(read)
    assert told == "DeviceError: cuda was in use before this process was forked off: start it by 'spawn' instead; 3.0"
    assert (x + 1).sum().item() == 6


def test_threads_with_streams() -> None:
    """Threads on streams of their own, whose errors are their own."""
    made: dict[int, float] = {}
    failed: list[int] = []

    def work(k: int) -> None:
        with pydl.cuda.stream(pydl.cuda.Stream(k % pydl.cuda.device_count())):
            x = pydl.full((50,), float(k), device="cuda")
            for _ in range(5):
                x = x * 2 + 1
                try:
                    pydl.empty(HUGE, device="cuda")
                except DeviceError:
                    failed.append(k)
            made[k] = x.sum().item()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert made == {k: 50.0 * (32 * k + 31) for k in range(6)}
    assert sorted(failed) == sorted(list(range(6)) * 5)
