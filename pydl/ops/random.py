"""Random tensors, by a counter-based generator: the same seed gives the same numbers for any number of threads."""

import secrets
from collections.abc import Sequence
from typing import Any, SupportsIndex

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, CheckpointError, DtypeError
from pydl.ops.create import DeviceLike, as_device, default_dtype, leaf
from pydl.ops.scalar import require
from pydl.ops.shape import sizes_of
from pydl.tensor import Tensor

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "dropout",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]


class Generator:
    """A stream of random numbers: Philox4x32-10 with a seed and an offset into its sequence.

    Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3.
    """

    def __init__(self, device: DeviceLike = None) -> None:
        self.device = as_device(device)
        self.array = _C.full((2,), 0, _C.int64, as_device(None))  # launches on any device read and advance it there
        self.seed()

    def manual_seed(self, seed: int) -> "Generator":
        """Starts the stream of this seed; returns itself."""
        low = int(seed) & 0xFFFFFFFFFFFFFFFF
        self._set(low - (1 << 64) if low >> 63 else low, 0)
        return self

    def seed(self) -> int:
        """Starts a stream that nobody can foretell; returns its seed."""
        seed = secrets.randbits(63)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(_C.to_numpy(self.array)[0]) & 0xFFFFFFFFFFFFFFFF

    def get_state(self) -> Tensor:
        """(2,) int64: seed and offset."""
        return Tensor(_C.clone(self.array))

    def set_state(self, state: Tensor) -> None:
        """Goes on from a state of `get_state`."""
        if not isinstance(state, Tensor) or state.dtype is not _C.int64 or state.shape != (2,):
            raise CheckpointError("set_state: expected the two int64 of get_state")
        self._set(*state.tolist())

    def clone_state(self) -> "Generator":
        """A generator that goes on from the same place."""
        made = Generator(self.device)
        made.set_state(self.get_state())
        return made

    @property
    def offset(self) -> int:
        """How far into its sequence the stream is."""
        return int(_C.to_numpy(self.array)[1])

    def _set(self, seed: int, offset: int) -> None:
        _C.to_numpy(self.array)[:] = (seed, offset)

    def __getstate__(self) -> tuple[int, int]:
        seed, offset = _C.to_numpy(self.array).tolist()
        return seed, offset

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.device = as_device(None)
        self.array = _C.full((2,), 0, _C.int64, self.device)
        self._set(*state)


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seeds the generator that is used where none is given; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator with a number that nobody can foretell; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Puts the default generator into a state of `get_rng_state`."""
    default_generator.set_state(state)


def _state(generator: Generator | None) -> _C.Array:
    return (default_generator if generator is None else generator).array


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1)."""
    made = _C.uniform(0.0, 1.0, _state(generator), sizes_of(size), dtype or default_dtype(), as_device(device))
    return leaf(made, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and standard deviation 1."""
    made = _C.normal(0.0, 1.0, _state(generator), sizes_of(size), dtype or default_dtype(), as_device(device))
    return leaf(made, requires_grad)


def randint(
    *args: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: _C.dtype = _C.int64,
    device: DeviceLike = None,
) -> Tensor:
    """randint([low,] high, size): integers in [low, high), low = 0 where left out; also by name."""
    given = list(args)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if given:
        low = given.pop()
    if given or high is None or size is None:
        raise ArgumentError(f"randint: expected ([low,] high, size), got {len(args)} arguments")
    if not isinstance(low, SupportsIndex) or not isinstance(high, SupportsIndex):
        raise DtypeError(f"randint: expected integers low and high, got {low!r} and {high!r}")
    return Tensor(_C.randint(low, high, _state(generator), sizes_of((size,)), dtype, as_device(device)))


def rand_like(
    input: Tensor, *, generator: Generator | None = None, dtype: _C.dtype | None = None, requires_grad: bool = False
) -> Tensor:
    """Uniform in [0, 1), in the shape and dtype of input."""
    return rand(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=input.device,
        requires_grad=requires_grad,
    )


def randn_like(
    input: Tensor, *, generator: Generator | None = None, dtype: _C.dtype | None = None, requires_grad: bool = False
) -> Tensor:
    """Normal with mean 0 and standard deviation 1, in the shape and dtype of input."""
    return randn(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=input.device,
        requires_grad=requires_grad,
    )


def randint_like(
    input: Tensor, *args: int, generator: Generator | None = None, dtype: _C.dtype | None = None
) -> Tensor:
    """randint_like(input, [low,] high): integers in [low, high), in the shape and dtype of input."""
    return randint(*args, size=input.shape, generator=generator, dtype=dtype or input.dtype, device=input.device)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: _C.dtype = _C.int64, device: DeviceLike = None
) -> Tensor:
    """The numbers 0..n-1 in random order, (n,)."""
    return Tensor(_C.cast(_C.randperm(_state(generator), n, as_device(device)), dtype))


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
) -> Tensor:
    """Normal numbers; mean and std are numbers (size is needed) or tensors that broadcast."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise ArgumentError("normal: give size, or mean or std as a tensor")
        if std < 0:
            raise ArgumentError(f"normal: std must not be negative, got {std}")
        made = _C.normal(mean, std, _state(generator), list(size), dtype or default_dtype(), as_device(device))
        return Tensor(made)
    like = mean + std * 0 if isinstance(mean, Tensor) else std * 0 + mean
    return randn(like.shape, generator=generator, dtype=like.dtype, device=like.device) * std + mean


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability given by each element (or p), else 0, in the dtype of input."""
    if p is not None:
        return Tensor(_C.bernoulli(p, 0.0, _state(generator), input.shape, input.dtype, input.device))
    if not input.array.is_floating:
        raise DtypeError(f"bernoulli: expected floating probabilities, got {input.dtype}")
    plain = input.detach()
    if plain.numel():
        require((plain >= 0) & (plain <= 1), "bernoulli: probabilities must be in [0, 1]")
    drawn = rand(input.shape, generator=generator, dtype=input.dtype, device=input.device)
    return (drawn < plain).to(input.dtype)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """num_samples indices drawn by the weights in the rows of input, (c,) or (n, c); int64.

    Without replacement by the largest of u^(1/w). Source: Efraimidis & Spirakis 2006.
    """
    w = input.detach().to(_C.float64)
    if input.ndim not in (1, 2) or num_samples < 1:
        raise ArgumentError(f"multinomial: expected (c,) or (n, c) weights and num_samples >= 1, got {input.shape}")
    fit = (w >= 0).all() & w.isfinite().all() & (w.sum(-1) > 0).all()
    require(fit, "multinomial: weights must be finite, not negative and not all 0")
    if replacement:
        edges = w.cumsum(-1)
        drawn = rand([*w.shape[:-1], num_samples, 1], generator=generator, dtype=_C.float64, device=w.device)
        u = drawn * edges[..., -1:].unsqueeze(-1)
        return (u >= edges.unsqueeze(-2)).to(_C.int64).sum(-1).clamp(max=w.shape[-1] - 1)
    enough = (w > 0).to(_C.int64).sum(-1) >= num_samples
    require(enough, f"multinomial: cannot draw {num_samples} without replacement: too few weights are above 0")
    keys = (1.0 - rand(w.shape, generator=generator, dtype=_C.float64, device=w.device)).log() / w
    keys = keys.masked_fill(w == 0, float("-inf"))
    picks = []
    for _ in range(num_samples):
        at = keys.argmax(-1, keepdim=True)
        picks.append(at)
        keys = keys.masked_fill(at == Tensor(_C.arange(0, w.shape[-1], 1, _C.int64, w.device)), float("-inf"))
    from pydl.ops.shape import cat

    return cat(picks, -1)


class Dropout(Op):
    """Returns the output and the mask of what was kept."""

    uses = ()

    def kernel(x, p, state):
        return _C.dropout(x, p, state)

    def vjp(g, x, mask, p, state):
        return (g * (mask.to(g.dtype) * (0.0 if p == 1 else 1 / (1 - p))),)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None) -> Tensor:
    """Each element is 0 with probability p, else divided by 1 - p. Source: Srivastava et al. 2014.

    p is the probability of dropping; papers also write the probability of keeping as p or q.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must be in [0, 1], got {p}")
    if not training or p == 0.0:
        return input
    return Dropout.apply(input, p=float(p), state=_state(generator))
