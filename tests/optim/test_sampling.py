"""Langevin dynamics, replica exchange, Entropy-SGD, gradient noise, mirror descent and Hogwild."""

import copy
import math

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, BoundsError, ShapeError


def chains(n, start=0.0):
    return pydl.tensor(np.full(n, start), requires_grad=True)


def descend(o, potential, steps, seen=None, skip=0, every=1):
    def closure():
        o.zero_grad()
        total = potential().sum()
        total.backward()
        return total

    for t in range(steps):
        o.step(closure)
        if seen is not None and t >= skip and t % every == 0:
            seen.append(o.param_groups[0]["params"][0].detach().numpy().copy())


def total_variation(samples, potential, temperature, edges):
    """Between the histogram of samples and exp(-V / T) / Z."""
    fine = np.linspace(edges[0], edges[-1], 20001)
    density = np.exp(-potential(fine) / temperature)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    want = np.diff(np.interp(edges, fine, cumulative / cumulative[-1]))
    got = np.histogram(samples, edges)[0] / len(samples)
    return 0.5 * np.abs(got - want).sum() + 0.5 * (1 - got.sum())


# ---------------------------------------------------------------- SGLD


def test_variance_on_a_quadratic():
    pydl.manual_seed(0)
    k, temperature, rate = 2.0, 0.5, 0.05
    p, seen = chains(20_000), []
    o = optim.SGLD([p], lr=rate, temperature=temperature)
    descend(o, lambda: 0.5 * k * p * p, 400, seen, skip=200, every=10)
    variance = np.concatenate(seen).var()
    assert abs(variance / (temperature / (k * (1 - rate * k / 2))) - 1) < 0.02
    assert abs(variance / (temperature / k) - 1) < 0.08


def test_histogram_of_a_double_well():
    pydl.manual_seed(1)
    p, seen = chains(2000), []
    o = optim.SGLD([p], lr=0.01, temperature=0.5)
    descend(o, lambda: (p * p - 1) ** 2, 2000, seen, skip=1000, every=20)
    edges = np.linspace(-2.2, 2.2, 45)
    assert total_variation(np.concatenate(seen), lambda x: (x * x - 1) ** 2, 0.5, edges) < 0.05


def test_noise_repeats_with_a_generator_and_is_none_at_zero():
    def run(temperature, seed):
        p = chains(5, 1.0)
        o = optim.SGLD([p], lr=0.1, temperature=temperature, generator=pydl.Generator().manual_seed(seed))
        descend(o, lambda: p * p, 10)
        return p.detach().numpy()

    np.testing.assert_array_equal(run(1.0, 3), run(1.0, 3))
    assert (run(1.0, 3) != run(1.0, 4)).all()
    np.testing.assert_allclose(run(0.0, 3), 0.8**10)


@pytest.mark.slow
def test_histogram_of_a_double_well_of_one_chain_in_time():
    """The time average of few chains, as in practice, at the accuracy of the ensemble."""
    pydl.manual_seed(2)
    p, seen = chains(64), []
    o = optim.SGLD([p], lr=0.02, temperature=1.0)
    descend(o, lambda: (p * p - 1) ** 2, 40_000, seen, skip=1000, every=5)
    edges = np.linspace(-2.6, 2.6, 53)
    assert total_variation(np.concatenate(seen), lambda x: (x * x - 1) ** 2, 1.0, edges) < 0.05


# ---------------------------------------------------------------- replica exchange

BARRIER = 8.0  # in units of the cold temperature


def well(x):
    return BARRIER * (x * x - 1) ** 2


def first_passage(o, p, potentials, most=20_000):
    """(n,): the step at which each chain of p is first on the right, most where it never is."""
    when = np.full(p.numel(), most)

    def closure():
        o.zero_grad()
        values = potentials()
        sum(v.sum() for v in values).backward()
        return values

    for t in range(most):
        o.step(closure)
        arrived = (p.detach().numpy() > 0.5) & (when == most)
        when[arrived] = t + 1
        if (when < most).all():
            break
    return when


@pytest.mark.slow
def test_exchange_crosses_barriers_ten_times_faster_and_keeps_both_laws():
    pydl.manual_seed(0)
    rate, n = 2e-3, 300
    alone = chains(n, -1.0)
    o = optim.SGLD([alone], lr=rate, temperature=1.0)
    slow = first_passage(o, alone, lambda: [well(alone)], most=60_000).mean()  # a bound from below where cut off
    cold, hot = chains(n, -1.0), chains(n, -1.0)
    both = optim.ReplicaExchangeLangevin([[cold], [hot]], lr=rate, temps=(1.0, 8.0), a=1.0)
    fast = first_passage(both, cold, lambda: [well(cold), well(hot)]).mean()
    assert slow >= 10 * fast and both.swaps[0] > 0
    seen = [[], []]

    def closure():
        both.zero_grad()
        values = [well(cold), well(hot)]
        (values[0].sum() + values[1].sum()).backward()
        return values

    for t in range(8000):
        both.step(closure)
        if t > 2000 and t % 10 == 0:
            seen[0].append(cold.detach().numpy().copy())
            seen[1].append(hot.detach().numpy().copy())
    edges = np.linspace(-2.2, 2.2, 45)
    for samples, temperature in zip(seen, (1.0, 8.0), strict=True):
        assert total_variation(np.concatenate(samples), well, temperature, edges) < 0.05


@pytest.mark.slow
def test_escape_time_grows_as_the_exponential_of_the_barrier():
    pydl.manual_seed(0)
    inverse = np.array([0.4, 0.5, 0.6, 0.7])  # 1 / T with the barrier 8: time grows tenfold
    times = []
    for beta in inverse:
        p = chains(300, -1.0)
        o = optim.SGLD([p], lr=2e-3, temperature=1 / beta)
        times.append(first_passage(o, p, lambda p=p: [well(p)], most=200_000).mean())
    slope = np.polyfit(inverse, np.log(times), 1)[0]
    assert abs(slope / BARRIER - 1) < 0.15


def test_exchange_by_its_probability():
    pydl.manual_seed(0)
    n = 20_000
    a, b = pydl.zeros(n, dtype=pydl.float64, requires_grad=True), pydl.ones(n, dtype=pydl.float64, requires_grad=True)
    o = optim.ReplicaExchangeLangevin([[a], [b]], lr=0.0, temps=(1.0, 2.0), a=0.8)

    def closure():
        o.zero_grad()
        values = [pydl.zeros(n, dtype=pydl.float64) + 0 * a, pydl.ones(n, dtype=pydl.float64) * 0.6 + 0 * b]
        (values[0] + values[1]).sum().backward()
        return values

    o.step(closure)
    moved = a.detach().numpy()
    assert set(np.unique(moved)) == {0.0, 1.0} and (moved + b.detach().numpy() == 1).all()
    chance = 0.8 * math.exp((1 / 1.0 - 1 / 2.0) * (0.0 - 0.6))
    assert abs(moved.mean() - chance) < 4 * math.sqrt(chance / n) and o.swaps == [int(moved.sum())]


def test_whole_models_trade_places():
    hot, cold = ([pydl.tensor([[x, x]], requires_grad=True), pydl.tensor(x, requires_grad=True)] for x in (1.0, 5.0))
    o = optim.ReplicaExchangeLangevin([cold, hot], lr=0.0, temps=(1.0, 100.0))

    def closure():
        o.zero_grad()
        values = [sum((p * p).sum() for p in chain) for chain in (cold, hot)]
        sum(values).backward()
        return values

    o.step(closure)  # the cold one has the higher potential: certain
    assert cold[0].tolist() == [[1, 1]] and hot[1].item() == 5 and cold[1].grad.item() == 2
    twin = copy.deepcopy(o)
    assert twin.swaps == [1] and twin.a == 1.0


# ---------------------------------------------------------------- Entropy-SGD


def test_gradient_of_the_local_entropy_of_a_quadratic():
    """gamma H (H + gamma I)^-1 x, within the error of the sampling."""
    pydl.manual_seed(0)
    h, gamma, n = np.array([0.5, 1.0, 4.0]), 2.0, 4000
    x = np.tile([1.0, -2.0, 0.5], (n, 1))
    p = pydl.tensor(x.copy(), requires_grad=True)
    weights = pydl.tensor(h)
    o = optim.EntropySGD([p], lr=0.0, L=60, gamma0=gamma, gamma1=0.0, noise=math.sqrt(2), inner_lr=0.05, ema=0.9)

    def closure():
        o.zero_grad()
        loss = (0.5 * weights * p * p).sum()
        loss.backward()
        return loss

    loss = o.step(closure)
    assert loss.item() == pytest.approx((0.5 * h * x * x).sum())
    np.testing.assert_array_equal(p.detach().numpy(), x)
    got, want = p.grad.numpy(), gamma * h / (h + gamma) * x[0]
    spread = got.std(0) / math.sqrt(n)
    assert (np.abs(got.mean(0) - want) < 4 * spread + 0.02 * np.abs(want)).all()


def test_entropy_sgd_is_its_algorithm_without_noise():
    h = np.geomspace(0.1, 2, 4)
    start = np.random.default_rng(0).standard_normal(4)
    p, weights = pydl.tensor(start, requires_grad=True), pydl.tensor(h)
    o = optim.EntropySGD([p], lr=3.0, L=7, gamma0=0.3, gamma1=0.02, noise=0.0, inner_lr=0.2, ema=0.6, momentum=0.5)

    def closure():
        o.zero_grad()
        loss = (0.5 * weights * p * p).sum()
        loss.backward()
        return loss

    x, v = start.copy(), 0.0
    for t in range(100):
        o.step(closure)
        gamma, y, mean = 0.3 * 1.02**t, x.copy(), x.copy()
        for _ in range(7):
            y = y - 0.2 * (h * y - gamma * (x - y))
            mean = 0.6 * mean + 0.4 * y
        v = 0.5 * v + gamma * (x - mean)
        x = x - 3.0 * v
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-8, atol=1e-12)
    q = p.detach().clone().requires_grad_()
    assert o.gamma(o.param_groups[0]) == pytest.approx(0.3 * 1.02**100)
    twin = optim.EntropySGD([q], lr=1.0, L=7)
    twin.load_state_dict(o.state_dict())
    assert twin.gamma(twin.param_groups[0]) == o.gamma(o.param_groups[0])


# ---------------------------------------------------------------- gradient noise


def test_variance_of_gradient_noise():
    pydl.manual_seed(0)
    p = pydl.zeros(100_000, dtype=pydl.float64, requires_grad=True)
    o, noise = optim.SGD([p], lr=1.0), optim.noise.GaussianGradNoise(eta=0.3, gamma=0.55)
    handle = noise.attach(o)
    for t in (0, 10, 1000):
        noise.t = t
        p.grad = pydl.zeros(100_000, dtype=pydl.float64)
        before = p.detach().numpy().copy()
        o.step()
        assert abs((p.detach().numpy() - before).var() / (0.3 / (1 + t) ** 0.55) - 1) < 0.03
        assert noise.state_dict() == {"t": t + 1}
    handle.remove()
    p.grad = pydl.zeros(100_000, dtype=pydl.float64)
    before = p.detach().numpy().copy()
    o.step()
    np.testing.assert_array_equal(p.detach().numpy(), before)


def test_gradient_noise_comes_after_a_closure():
    p = pydl.zeros(1000, requires_grad=True)
    o = optim.SGD([p], lr=1.0)
    optim.noise.GaussianGradNoise(1.0, generator=pydl.Generator().manual_seed(0)).attach(o)

    def closure():
        o.zero_grad()
        loss = (p * 0).sum() + 7
        loss.backward()
        return loss

    assert o.step(closure).item() == 7
    assert 0.9 < p.detach().numpy().std() < 1.1


# ---------------------------------------------------------------- projected and mirror descent


def test_entropy_on_the_simplex_is_multiplicative_weights():
    rng = np.random.default_rng(0)
    losses, rate = rng.uniform(0, 1, (50, 6)), 0.3
    p = pydl.tensor(np.full(6, 1 / 6), requires_grad=True)
    o = optim.MirrorDescent([p], lr=rate, mirror="entropy", set="simplex")
    w = np.ones(6)
    for t, g in enumerate(losses):
        p.grad = pydl.tensor(g)
        o.step()
        w *= np.exp(-rate * g)
        np.testing.assert_allclose(p.detach().numpy(), w / w.sum(), rtol=1e-12)
        leader = np.exp(-rate * losses[: t + 1].sum(0))  # follow the leader, regularised by entropy
        np.testing.assert_allclose(p.detach().numpy(), leader / leader.sum(), rtol=1e-12)


def test_regret_is_below_its_bound():
    experts, steps = 10, 2000
    rate = math.sqrt(2 * math.log(experts) / steps)
    rng = np.random.default_rng(0)
    for kind in range(3):
        p = pydl.tensor(np.full(experts, 1 / experts), requires_grad=True)
        o = optim.MirrorDescent([p], lr=rate, mirror="entropy", set="simplex")
        paid, total = 0.0, np.zeros(experts)
        for t in range(steps):
            x = p.detach().numpy()
            if kind == 0:
                g = (x == x.max()).astype(float)  # against what is trusted most
            elif kind == 1:
                g = np.eye(experts)[t % experts]
            else:
                g = rng.integers(0, 2, experts).astype(float)
            paid += x @ g
            total += g
            p.grad = pydl.tensor(g)
            o.step()
        assert paid - total.min() <= math.sqrt(2 * steps * math.log(experts))


def test_projections():
    from pydl.optim.mirror_descent import on_simplex

    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4)) * 2
    got = on_simplex(pydl.tensor(x)).numpy()
    for row, near in zip(x, got, strict=True):
        want = optimize.minimize(
            lambda v, r=row: ((v - r) ** 2).sum(), np.full(4, 0.25), bounds=[(0, None)] * 4,
            constraints={"type": "eq", "fun": lambda v: v.sum() - 1}, method="SLSQP", tol=1e-12,
        ).x  # fmt: skip
        np.testing.assert_allclose(near, want, atol=1e-6)
    assert (got >= 0).all() and np.allclose(got.sum(1), 1)
    p = pydl.tensor([0.5, 0.5], requires_grad=True)
    for mirror in ("l2", "entropy"):
        o = optim.MirrorDescent([p], lr=10.0, mirror=mirror, set="box", low=0.1, high=0.9)
        p.grad = pydl.tensor([1.0, -1.0])
        o.step()
        np.testing.assert_allclose(p.detach().numpy(), [0.1, 0.9], rtol=1e-6)
    o = optim.MirrorDescent([p], lr=0.5, mirror="entropy", maximize=True)
    before = p.detach().numpy().copy()
    o.step()
    np.testing.assert_allclose(p.detach().numpy(), before * np.exp([0.5, -0.5]), rtol=1e-6)
    o = optim.MirrorDescent([p], lr=0.5, set="simplex")
    o.step()
    assert p.detach().numpy().sum() == pytest.approx(1)


# ---------------------------------------------------------------- Hogwild


def sparse_problem(n=4000, d=1000, density=0.01, seed=0):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((n, d)) < density, rng.standard_normal((n, d)), 0.0)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * x @ rng.standard_normal(d)))).astype(float)
    return x, y


def test_one_worker_is_sgd():
    x, y = sparse_problem(50, 8, 0.4)
    w = pydl.zeros(8, dtype=pydl.float64)
    got = optim.hogwild(x, y, w, lr=0.2, weight_decay=0.01, epochs=2, workers=1, seed=3)
    v, rng = np.zeros(8), np.random.default_rng(3)
    for _ in range(2):
        for i in rng.permutation(50):
            slope = 1 / (1 + np.exp(-x[i] @ v)) - y[i]
            v -= 0.2 * np.where(x[i] != 0, slope * x[i] + 0.01 * v, 0.0)
    np.testing.assert_allclose(w.numpy(), v, rtol=1e-12)
    margin = x @ v
    assert got.losses[-1] == pytest.approx(np.mean(np.logaddexp(0, margin) - y * margin))
    assert got.overwrites == 0 and got.written == 2 * np.count_nonzero(x)


def test_two_workers_lose_nothing_on_sparse_rows():
    x, y = sparse_problem()
    serial, shared = (pydl.zeros(1000, dtype=pydl.float64) for _ in range(2))
    one = optim.hogwild(x, y, serial, lr=0.1, epochs=5, workers=1)
    two = optim.hogwild(x, y, shared, lr=0.1, epochs=5, workers=2)
    assert abs(two.losses[-1] / one.losses[-1] - 1) < 0.02
    assert one.losses[-1] < 0.8 * np.log(2)


@pytest.mark.slow
def test_dense_rows_are_overwritten_ten_times_as_often():
    """Counted while two threads really run at once: on a busy machine several tries may be needed."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((1000, 1000))
    x, y = sparse_problem(20_000, 1000, 0.01)
    sparse = optim.hogwild(x, y, pydl.zeros(1000, dtype=pydl.float64), lr=1e-3, epochs=10)
    most = 0.0
    for _ in range(5):
        got = optim.hogwild(dense, y[:1000], pydl.zeros(1000, dtype=pydl.float64), lr=1e-3, epochs=5)
        most = max(most, got.overwrite_rate)
    if most == 0:
        pytest.skip("the threads never ran at once")
    assert most >= 10 * sparse.overwrite_rate


def test_sparse_matrices_of_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    x, y = sparse_problem(100, 30, 0.1)
    a, b = (pydl.zeros(30, dtype=pydl.float64) for _ in range(2))
    optim.hogwild(x, y, a, workers=1)
    optim.hogwild(sparse.csr_matrix(x), pydl.tensor(y), b, workers=1)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"y": np.zeros(4)}, ShapeError, "does not match"),
        ({"weights": pydl.zeros(4, dtype=pydl.float64)}, ShapeError, "does not match"),
        ({"weights": pydl.zeros(3)}, ArgumentError, "dense vector of"),
        ({"y": np.full(5, 2.0)}, ArgumentError, "must be 0 and 1"),
        ({"workers": 0}, ArgumentError, "0 workers"),
        ({"lr": float("nan")}, ArgumentError, "lr nan"),
        ({"x": np.zeros(3)}, ShapeError, "expected a matrix"),
    ],
)
def test_hogwild_errors(change, error, text):
    given = {"x": np.ones((5, 3)), "y": np.zeros(5), "weights": pydl.zeros(3, dtype=pydl.float64), **change}
    with pytest.raises(error, match=text):
        optim.hogwild(**given)


def test_hogwild_checks_what_the_kernel_trusts():
    def arrays(**change):
        given = {
            "starts": np.array([0, 2, 3]), "columns": np.array([0, 1, 2]), "values": np.ones(3), "y": np.zeros(2),
            "order": np.array([0, 1]), "w": np.zeros(3),
        }  # fmt: skip
        return [pydl._C.from_numpy(v) for v in {**given, **change}.values()]

    pydl._C.hogwild(*arrays(), 0.1, 0.0)
    for change in ({"columns": np.array([0, 1, 3])}, {"order": np.array([0, 2])}, {"columns": np.array([0, -1, 2])}):
        with pytest.raises(BoundsError, match="has the index"):
            pydl._C.hogwild(*arrays(**change), 0.1, 0.0)
    for change in ({"starts": np.array([0, 4, 3])}, {"starts": np.array([-1, 2, 3])}, {"values": np.ones(2)}):
        with pytest.raises(ArgumentError):
            pydl._C.hogwild(*arrays(**change), 0.1, 0.0)


# ---------------------------------------------------------------- errors


def leaf(n=2):
    return pydl.ones(n, requires_grad=True)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optim.SGLD([leaf()], temperature=-1), ArgumentError, "temperature must be >= 0"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()]], temps=(1.0,)), ArgumentError, "1 chains"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()]] * 2, temps=(2.0, 1.0)), ArgumentError, "rise"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf(3)]]), ShapeError, "different shapes"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]], a=2), ArgumentError, "a must be between"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]]).step(), ArgumentError, "needs a closure"),
        (
            lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]]).step(lambda: [pydl.ones(())]),
            ShapeError,
            "expected 2 potentials, got 1",
        ),
        (lambda: optim.EntropySGD([leaf()]).step(), ArgumentError, "needs a closure"),
        (lambda: optim.EntropySGD([leaf()], L=0), ArgumentError, "L must be"),
        (lambda: optim.EntropySGD([leaf()], ema=1.0), ArgumentError, "ema must be"),
        (lambda: optim.EntropySGD([leaf()], gamma0=-1), ArgumentError, "gamma0 must be >= 0"),
        (lambda: optim.noise.GaussianGradNoise(-1), ArgumentError, "must be >= 0"),
        (lambda: optim.MirrorDescent([leaf()], mirror="kl"), ArgumentError, "got 'kl'"),
        (lambda: optim.MirrorDescent([leaf()], low=2, set="box"), ArgumentError, "low 2 is above high"),
        (lambda: optim.MirrorDescent([pydl.zeros(2)], mirror="entropy"), ArgumentError, "positive at the start"),
        (lambda: optim.MirrorDescent([pydl.ones(())], set="simplex"), ArgumentError, "no simplex"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
