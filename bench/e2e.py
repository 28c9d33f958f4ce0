"""Whole steps: forward, loss, backward, optimizer. The answer is the losses of the first three steps."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from bench.workload import Array, Job, Library, Maker, Workload, seeded


def _weights(sizes: tuple[int, ...], rng: np.random.Generator) -> list[Array]:
    """weight (n, m) and bias (n) of each layer of an MLP, in the order of its parameters."""
    shapes = [s for m, n in pairwise(sizes) for s in ((n, m), (n,))]
    return [rng.standard_normal(s, dtype=np.float32) / np.float32(s[-1] ** 0.5) for s in shapes]


def _fill(lib: Library, net: Any, arrays: list[Array]) -> Any:
    with lib.ns.no_grad():
        for p, a in zip(net.to(lib.device).parameters(), arrays, strict=True):
            p.copy_(lib.tensor(a))
    return net


def _mlp(lib: Library, sizes: tuple[int, ...], rng: np.random.Generator) -> Any:
    nn, layers = lib.ns.nn, []
    for m, n in pairwise(sizes):
        layers += [nn.Linear(m, n), nn.ReLU()]
    return _fill(lib, nn.Sequential(*layers[:-1]), _weights(sizes, rng))


def _linear_flop(batch: int, *layers: tuple[int, int], train: bool = True) -> float:
    """Flop of a pass through these (m, n) layers; training adds both gradients, save that of the input."""
    forward = [2.0 * batch * m * n for m, n in layers]
    return 3 * sum(forward) - forward[0] if train else sum(forward)


def _mlp_flop(batch: int, sizes: tuple[int, ...], train: bool = True) -> float:
    return _linear_flop(batch, *pairwise(sizes), train=train)


def plain_step(lib: Library, loss: Callable[[], Any], optimizer: Any) -> Callable[[], Any]:
    """A training step that is not recorded: zero the gradients, loss, backward, optimizer."""
    loss, optimizer = lib.fuse(loss), lib.ready(optimizer)

    def step() -> Any:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value

    return step


def _step(lib: Library, loss: Callable[[], Any], optimizer: Any) -> Callable[[], Any]:
    return lib.capture(plain_step(lib, loss, optimizer))  # type: ignore[no-any-return]


def _job(step: Callable[[], Any]) -> Job:
    return Job(step, lambda: [step().item() for _ in range(3)])


def step_job(lib: Library, loss: Callable[[], Any], optimizer: Any) -> Job:
    """`plain_step`, recorded by the peers that record."""
    return _job(_step(lib, loss, optimizer))


def _classifier(batch: int, sizes: tuple[int, ...]) -> Workload:
    def data(rng: np.random.Generator) -> list[Array]:
        x = rng.standard_normal((batch, sizes[0]), dtype=np.float32)
        return [x, rng.integers(0, sizes[-1], batch)]

    def make(lib: Library) -> Job:
        rng = seeded()
        net = _mlp(lib, sizes, rng)
        x, y = (lib.tensor(a) for a in data(rng))
        optimizer = lib.ns.optim.Adam(net.parameters(), lr=1e-3)
        return _job(_step(lib, lambda: lib.ns.nn.functional.cross_entropy(net(x), y), optimizer))

    def make_jax(lib: Library) -> Job:
        jax, rng = lib.ns, seeded()
        parameters = [jax.numpy.array(a.T) for a in _weights(sizes, rng)]
        x, y = (jax.numpy.array(a) for a in data(rng))

        def loss(parameters: list[Any], x: Any, y: Any) -> Any:
            for i in range(0, len(parameters), 2):
                x = (jax.nn.relu(x) if i else x) @ parameters[i] + parameters[i + 1]
            return -jax.numpy.take_along_axis(jax.nn.log_softmax(x), y[:, None], -1).mean()

        return _job(_jax_adam(jax, loss, parameters, x, y))

    name = "-".join(map(str, sizes))
    return _workload(f"mlp_{name}_b{batch}_adam", make, _mlp_flop(batch, sizes), jax=make_jax)


def _jax_adam(jax: Any, loss: Callable[..., Any], parameters: list[Any], *batch: Any) -> Callable[[], Any]:
    """A jitted Adam step whose state is updated in place (donated)."""
    jnp = jax.numpy

    def update(state: Any, *batch: Any) -> Any:
        ps, ms, vs, t = state
        value, gs = jax.value_and_grad(loss)(ps, *batch)
        t = t + 1
        ms = [0.9 * m + 0.1 * g for m, g in zip(ms, gs, strict=True)]
        vs = [0.999 * v + 0.001 * g * g for v, g in zip(vs, gs, strict=True)]
        rate, scale = 1e-3 / (1 - 0.9**t), 1 / (1 - 0.999**t)
        ps = [p - rate * m / (jnp.sqrt(v * scale) + 1e-8) for p, m, v in zip(ps, ms, vs, strict=True)]
        return (ps, ms, vs, t), value

    update = jax.jit(update, donate_argnums=0)
    state = (parameters, [jnp.zeros_like(p) for p in parameters], [jnp.zeros_like(p) for p in parameters], 0.0)

    def step() -> Any:
        nonlocal state
        state, value = update(state, *batch)
        jax.block_until_ready(state)
        return value

    return step


def _dqn(lib: Library) -> Job:
    ns, rng, sizes = lib.ns, seeded(), _Q
    q, target = _mlp(lib, sizes, rng), _mlp(lib, sizes, rng)
    s, s2 = (lib.tensor(rng.standard_normal((64, 4), dtype=np.float32)) for _ in range(2))
    a, r = lib.tensor(rng.integers(0, 2, (64, 1))), lib.tensor(rng.standard_normal(64, dtype=np.float32))
    live = lib.tensor(np.ones(64, np.float32))

    def loss() -> Any:
        with ns.no_grad():
            y = r + 0.99 * live * target(s2).max(1).values
        return ns.nn.functional.smooth_l1_loss(q(s).gather(1, a).squeeze(1), y)

    return _job(_step(lib, loss, ns.optim.Adam(q.parameters(), lr=1e-3)))


def _policy(lib: Library) -> Job:
    rng = seeded()
    f = lib.fuse(_mlp(lib, (4, 128, 128, 2), rng))
    s = lib.tensor(rng.standard_normal((1, 4), dtype=np.float32))

    def act() -> int:
        with lib.ns.no_grad():
            return int(f(s).argmax(1))

    return Job(act, act)


_VAE = ((784, 400), (400, 20), (400, 20), (20, 400), (400, 784))  # encoder, mean, log variance, decoder, output


def _vae(lib: Library) -> Job:
    ns, rng = lib.ns, seeded()
    net = ns.nn.ModuleList([ns.nn.Linear(m, n) for m, n in _VAE])
    _fill(lib, net, [a for layer in _VAE for a in _weights(layer, rng)])
    encode, mean, log_variance, decode, output = net
    x = lib.tensor(rng.random((128, 784), dtype=np.float32))

    def loss() -> Any:
        h = ns.relu(encode(x))
        m, v = mean(h), log_variance(h)
        z = m + ns.randn_like(m) * ns.exp(0.5 * v)
        y = ns.sigmoid(output(ns.relu(decode(z))))
        likelihood = ns.nn.functional.binary_cross_entropy(y, x, reduction="sum")
        return likelihood - 0.5 * (1 + v - m * m - v.exp()).sum()

    return _job(_step(lib, loss, ns.optim.Adam(net.parameters(), lr=1e-3)))


def _wgan(lib: Library) -> Job:
    """One critic update with gradient penalty, one generator update."""
    ns, rng = lib.ns, seeded()
    generator, critic = _mlp(lib, (2, 512, 512, 512, 2), rng), _mlp(lib, (2, 512, 512, 512, 1), rng)
    tune_g = ns.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    tune_c = ns.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.9))
    real = lib.tensor(rng.standard_normal((256, 2), dtype=np.float32))

    def update(noise: Any, mix: Any, more_noise: Any) -> Any:
        with ns.no_grad():
            fake = generator(noise)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (slope,) = ns.autograd.grad(critic(between).sum(), between, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((slope.norm(2, 1) - 1) ** 2).mean()
        tune_c.zero_grad()
        loss.backward()
        tune_c.step()
        tune_g.zero_grad()
        (-critic(generator(more_noise)).mean()).backward()
        tune_g.step()
        return loss

    draws = [rng.standard_normal((256, 2)), rng.random((256, 1)), rng.standard_normal((256, 2))]
    fixed = [lib.tensor(d.astype(np.float32)) for d in draws]
    step = lib.capture(lambda: update(ns.randn(256, 2), ns.rand(256, 1), ns.randn(256, 2)))
    return Job(step, lambda: [update(*fixed).item() for _ in range(3)])


def _workload(
    label: str, make: Maker, flop: float, jax: Maker | None = None, compiled: bool = True, rtol: float = 1e-3
) -> Workload:
    makers = {"torch": make, "replay": make}
    if compiled:
        makers["compile"] = make
    if jax:
        makers["jax"] = jax
    return Workload(name=f"e2e/{label}", flop=flop, rtol=rtol, makers=makers)


_Q = (4, 128, 128, 2)
_G, _C = (2, 512, 512, 512, 2), (2, 512, 512, 512, 1)
# the critic: 5 forward passes, 8 backward with those of the gradient; the generator: 2 forward, 2 backward
_WGAN_FLOP = 13 * _mlp_flop(256, _C, train=False) + 4 * _mlp_flop(256, _G, train=False)

WORKLOADS = [
    _classifier(128, (784, 512, 512, 10)),
    _classifier(32, (4, 64, 64, 2)),
    _workload("dqn_4-128-128-2_b64", _dqn, _mlp_flop(64, _Q) + _mlp_flop(64, _Q, train=False)),
    _workload("dqn_policy_inference_b1", _policy, _mlp_flop(1, _Q, train=False)),
    # the noise of the three steps differs from library to library: their losses agree to a few parts in a thousand
    _workload("vae_784-400-20_b128_adam", _vae, _linear_flop(128, *_VAE), rtol=2e-2),
    _workload("wgangp_3x512_b256", _wgan, _WGAN_FLOP, compiled=False),
]
