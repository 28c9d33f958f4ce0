"""What a workload is, and the makers that turn one definition into a job for each library.

A workload is one public thing to time, e.g. `gemm/1024`. It has one maker per kind of library; a maker builds the
inputs (the same numbers everywhere, seeded in numpy) and returns a Job: what to time, and the answer that must agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Inputs = Callable[[np.random.Generator], list[Array]]  # floating-point arrays first: gradients are taken for them


@dataclass(frozen=True)
class Job:
    """One workload in one library, ready to run."""

    run: Callable[[], Any]  # what is timed
    answer: Callable[[], Any]  # arrays or numbers (or a sequence of them) to compare; called before the timing


@dataclass(frozen=True)
class Library:
    """A library as one peer uses it."""

    ns: Any  # the imported module
    threads: int
    fuse: Callable[[Any], Any] = lambda f: f  # compiles a function of tensors
    capture: Callable[[Any], Any] = lambda f: f  # records a whole step
    channels_last: bool = False
    device: str = "cpu"
    dtype: str = ""  # of floating-point tensors, if not that of their array
    capturable: bool = False  # whether an optimizer must keep its counts on the device

    def tensor(self, array: Array, grad: bool = False) -> Any:
        """A copy of `array`, in the library's own memory, on the device."""
        made = self.ns.tensor(array, device=self.device)
        if self.dtype and array.dtype.kind == "f":
            made = made.to(getattr(self.ns, self.dtype))
        return made.requires_grad_(True) if grad else made

    def ready(self, optimizer: Any) -> Any:
        """The optimizer, as this peer records it."""
        for group in optimizer.param_groups if self.capturable else ():
            group |= {"capturable": True} if "capturable" in group else {}
        return optimizer


@dataclass(frozen=True)
class ChannelsLast(Library):
    """torch with images and kernels in channels_last memory, the faster layout for many convolutions."""

    def tensor(self, array: Array, grad: bool = False) -> Any:
        made = super().tensor(array)
        made = made.contiguous(memory_format=self.ns.channels_last) if made.ndim == 4 else made
        return made.requires_grad_(True) if grad else made


Maker = Callable[[Library], Job]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A name, the least work that one call has to do, and the makers by kind of library (see bench/peers.py)."""

    name: str
    makers: Mapping[str, Maker]
    op: str = ""  # the public operation it belongs to; empty for whole steps
    flop: float = 0.0
    moved: float = 0.0  # bytes that one call must read and write
    held: float = 0.0  # distinct bytes touched, where that differs from `moved`
    traffic: str = "copy"  # read, copy, triad or update: the ceiling that fits
    unit: str = "f32"  # whose rate of multiply-adds is the ceiling; f16, bf16 and tf32 are those of tensor cores
    rtol: float = 1e-4  # allowed difference between answers, relative to the largest value
    memory: bool = False  # whether the peak memory of pydl and torch is measured too (bench/memory.py)
    note: Callable[[], str] | None = None  # what pydl says of its way, e.g. the path that a convolution takes

    @property
    def family(self) -> str:
        return self.name.split("/")[0]


def seeded() -> np.random.Generator:
    return np.random.default_rng(0)


def normals(*shapes: tuple[int, ...]) -> Inputs:
    """Standard normal float32 arrays of these shapes."""
    return lambda rng: [rng.standard_normal(s, dtype=np.float32) for s in shapes]


def floats(arrays: Sequence[Array]) -> int:
    return sum(a.dtype.kind == "f" for a in arrays)


def to_numpy(x: Any) -> Array:
    if not hasattr(x, "detach"):
        return np.asarray(x)
    x = x.detach().cpu()
    return np.asarray((x.float() if str(x.dtype).endswith("float16") else x).numpy())


def torch_function(function: Callable[[Any], Callable[..., Any]], inputs: Inputs, train: bool) -> Maker:
    """For torch and pydl: `function(ns)` is a function of tensors; `train` adds the gradients of all float inputs."""

    def make(lib: Library) -> Job:
        ns, rng = lib.ns, seeded()
        arrays = inputs(rng)
        n = floats(arrays)
        xs = [lib.tensor(a, train and i < n) for i, a in enumerate(arrays)]
        f = lib.fuse(function(ns))
        if train:
            seed = lib.tensor(np.asarray(rng.standard_normal(tuple(f(*xs).shape), dtype=np.float32)))
            gradients = lib.capture(lambda: ns.autograd.grad(f(*xs), xs[:n], seed))
            return Job(gradients, gradients)

        run = lib.capture(lambda: f(*xs))
        return Job(run, run)

    return make


def jax_function(function: Callable[[Any], Callable[..., Any]], inputs: Inputs, train: bool) -> Maker:
    """The same for jax, jitted; with gradients it returns the result too, so that the forward pass is not dropped."""

    def make(lib: Library) -> Job:
        jax, rng = lib.ns, seeded()
        arrays = inputs(rng)
        n = floats(arrays)
        xs = [jax.numpy.array(a) for a in arrays]
        f = function(jax)
        if not train:
            forward = jax.jit(f)
            return Job(lambda: jax.block_until_ready(forward(*xs)), lambda: forward(*xs))
        seed = jax.numpy.array(rng.standard_normal(jax.eval_shape(f, *xs).shape, dtype=np.float32))

        @jax.jit  # type: ignore[untyped-decorator]
        def both(seed: Any, *xs: Any) -> Any:
            y, pull = jax.vjp(lambda *a: f(*a, *xs[n:]), *xs[:n])
            return y, pull(seed)

        return Job(lambda: jax.block_until_ready(both(seed, *xs)), lambda: both(seed, *xs)[1])

    return make


def numpy_function(function: Callable[..., Callable[..., Any]], inputs: Inputs) -> Maker:
    """For numpy: `function(np, *arrays)` returns the function of those arrays."""

    def make(lib: Library) -> Job:
        arrays = inputs(seeded())
        f = function(lib.ns, *arrays)
        return Job(lambda: f(*arrays), lambda: f(*arrays))

    return make


def onnx_node(kind: str, inputs: Inputs, constants: int = 0, **attributes: Any) -> Maker:
    """For onnxruntime: a graph of one node; the last `constants` inputs are weights, which it packs ahead of time."""

    def make(lib: Library) -> Job:
        from onnx import TensorProto, helper, numpy_helper

        arrays = {f"x{i}": a for i, a in enumerate(inputs(seeded()))}
        fed = dict(list(arrays.items())[: len(arrays) - constants])
        weights = [numpy_helper.from_array(a, k) for k, a in arrays.items() if k not in fed]
        values = [helper.make_tensor_value_info(k, TensorProto.FLOAT, a.shape) for k, a in fed.items()]
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        node = helper.make_node(kind, list(arrays), ["y"], **attributes)
        graph = helper.make_graph([node], "one", values, [result], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        options = lib.ns.SessionOptions()
        options.intra_op_num_threads = lib.threads
        session = lib.ns.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return Job(lambda: session.run(None, fed), lambda: session.run(None, fed))

    return make
