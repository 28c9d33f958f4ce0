"""The fused losses: rows for the operations behind pydl.nn.functional's losses."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row, via

import pydl
import pydl.nn.functional as F
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

PAIRS = [((3, 4), (3, 4)), ((7,), (7,)), ((), ()), ((2, 3, 5), (2, 3, 5))]
REDUCTIONS = [{"reduction": "mean"}, {"reduction": "sum"}, {"reduction": "none"}]
COMMON = {
    "kinds": "ff",
    "shapes": PAIRS,
    "kwargs": REDUCTIONS,
    "cases": [(((0, 4), (0, 4)), {"reduction": "none"}), (((0, 4), (0, 4)), {"reduction": "sum"})],
    "tails": lambda n: ((n,), (n,)),
    "large": ((3, 35001), (3, 35001)),
    "sums": True,
    "slack": 4,
}
APART = {"low": (1.1, -2.0), "high": (3.0, 0.9)}  # differences that stay above 0.2


def quiet(function: Any) -> Any:
    """torch's kl_div warns whenever the mean is asked for."""

    def called(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return called


def pair(name: str, **options: Any) -> Any:
    """The row of a loss of a prediction and a target."""
    given = {k: options.pop(k) for k in ("beta", "delta", "log_target") if k in options}
    label = "_".join([name, *map(str, given.values())])
    theirs = quiet(via(f"nn.functional.{name}"))
    return row(partial(getattr(F, name), **given), partial(theirs, **given), name=label, **COMMON | options)


ROWS = [
    pair("mse_loss"),
    pair("l1_loss", **APART),
    pair("smooth_l1_loss", beta=0.15, **APART),
    pair("smooth_l1_loss", beta=9.0, low=-2.0, high=2.0),
    pair("huber_loss", delta=0.15, **APART),
    pair("huber_loss", delta=9.0),
    pair("binary_cross_entropy_with_logits", low=(-4.0, 0.0), high=(4.0, 1.0)),
    pair("binary_cross_entropy", low=0.1, high=0.9, dtypes=("float64", "float32")),
    pair("kl_div", low=(-3.0, 0.1), high=(0.0, 1.0)),
    pair("kl_div", log_target=True, low=-3.0, high=0.0),
    pair("soft_margin_loss"),
    row(
        F.nll_loss,
        via("nn.functional.nll_loss"),
        kinds="fi",
        shapes=[((4, 3), (4,)), ((2, 3, 5), (2, 5)), ((2, 3, 2, 2), (2, 2, 2))],
        kwargs=[*REDUCTIONS, {"ignore_index": 1}],
        cases=[(((0, 3), (0,)), {"reduction": "none"}), (((0, 3), (0,)), {"reduction": "sum"}), (((3,), ()), {})],
        whole=(0, 2),
        sums=True,
        slack=2,
        tails=lambda n: ((n, 3), (n,)),
        large=((700, 301), (700,)),
        errors=[
            ((pydl.ones(2, 3), pydl.tensor([0, 3])), BoundsError, "nll_loss: target 3 is out of range for 3 classes"),
            ((pydl.ones(2, 3), pydl.tensor([0])), ShapeError, "expected (2,)"),
            ((pydl.ones(2, 3), pydl.ones(2)), DtypeError, "int64 or int32 classes"),
            ((pydl.ones(2, 3), pydl.tensor([0, 1]), pydl.ones(2)), ShapeError, "expected (3,)"),
            ((pydl.tensor([[1, 2]]), pydl.tensor([0])), DtypeError, "expected a floating dtype"),
        ],
    ),
    row(
        lambda x, t, w, **k: F.nll_loss(x, t, w, **k),
        lambda x, t, w, **k: via("nn.functional.nll_loss")(x, t, pytest.importorskip("torch").tensor(w.copy()), **k),
        name="weighted_nll_loss",
        kinds="fif",
        shapes=[((4, 3), (4,), (3,)), ((2, 3, 5), (2, 5), (3,))],
        kwargs=[*REDUCTIONS, {"ignore_index": 1}],
        whole=(0, 2),
        low=(-2, 0, 0.2),
        dtypes=("float64", "float32"),
        sums=True,
        slack=4,
    ),
]


pytestmark = pytest.mark.filterwarnings("ignore:.*rarely on purpose")  # the fuzz broadcasts on purpose


class TestRows(RowChecks):
    """Every row."""


LOSSES = {
    "mse": lambda x, t: F.mse_loss(x, t, reduction="none"),
    "l1": lambda x, t: F.l1_loss(x, t, reduction="none"),
    "huber": lambda x, t: F.huber_loss(x, t, "none", 0.7),
    "smooth_l1": lambda x, t: F.smooth_l1_loss(x, t, reduction="none", beta=0.5),
    "kl_div": lambda x, t: F.kl_div(x, t, reduction="none"),
    "log_kl_div": lambda x, t: F.kl_div(x, t, reduction="none", log_target=True),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_fused_and_plain_paths_agree(name: str, dtype: str) -> None:
    """A target of the same shape and dtype takes the fused kernel, another the plain operations."""
    rng = np.random.default_rng(0)
    x, t = pydl.tensor(rng.normal(size=(5, 7))).to(getattr(pydl, dtype)), pydl.tensor(rng.uniform(0.1, 1, (5, 1)))
    t = t.to(x.dtype)
    limit = {"float64": 1e-14, "float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    plain, fused = LOSSES[name](x, t), LOSSES[name](x, t.expand([5, 7]))
    np.testing.assert_allclose(fused.double().numpy(), plain.double().numpy(), rtol=limit, atol=limit)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits",
             "binary_cross_entropy", "kl_div"],
)  # fmt: skip
def test_gradients_of_the_target(name: str, reduction: str) -> None:
    """Beside PyTorch's, over whole vectors and a rest, with differences of 0 and beyond the bend, and targets of 0."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0.05, 0.95, (3, 13)) * (3 if "huber" in name else 1), rng.uniform(0.05, 0.95, (3, 13))
    t[0, :4], t[1, :4] = x[0, :4] % 1, 1.0
    if name == "kl_div":
        t[2, :5] = 0.0
    made = []
    for ns in (torch, pydl):
        a, b = (ns.tensor(v, requires_grad=True) for v in (x, t))
        y = getattr(ns.nn.functional, name)(a, b, reduction=reduction)
        made.append([g.numpy() for g in ns.autograd.grad((y * y).sum(), [a, b])])
    for theirs, ours in zip(*made, strict=True):
        finite = np.isfinite(theirs)  # where t is 0, PyTorch's slope of t log t is not a number
        np.testing.assert_allclose(ours[finite], theirs[finite], rtol=1e-10, atol=1e-13)
        assert np.isfinite(ours).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_are_the_same_for_every_number_of_threads(threads: int) -> None:
    x, t = pydl.randn(3, 400001), pydl.rand(3, 400001)
    before = pydl.get_num_threads()
    found = []
    for n in (1, threads):
        pydl.set_num_threads(n)
        found.append([f(x, t).numpy().tobytes() for f in (F.mse_loss, F.binary_cross_entropy_with_logits, F.kl_div)])
    pydl.set_num_threads(before)
    assert found[0] == found[1]


def test_sums_are_accurate() -> None:
    rng = np.random.default_rng(0)
    x, t = (rng.normal(size=3_000_001).astype(np.float32) for _ in range(2))
    exact = ((x.astype(np.float64) - t) ** 2).mean()
    assert abs(F.mse_loss(pydl.tensor(x), pydl.tensor(t)).item() - exact) < 2e-7 * exact


def test_bad_kinds_are_refused() -> None:
    x = pydl.ones(3).array
    for kind, reduction in ((9, 0), (-1, 0), (0, 3), (0, -1)):
        with pytest.raises(ArgumentError):
            pydl._C.pair_loss(x, x, kind, 0.0, reduction)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("n", [1, 40, 50000])
def test_probabilities_are_checked(value: float, reduction: str, n: int) -> None:
    p = np.full(n, 0.5, np.float32)
    p[n // 2] = value
    with pytest.raises(ArgumentError, match="probabilities in \\[0, 1\\]"):
        F.binary_cross_entropy(pydl.tensor(p), pydl.zeros(n), reduction=reduction)


def test_a_nan_target_is_no_error() -> None:
    y = F.binary_cross_entropy(pydl.tensor([0.5]), pydl.tensor([np.nan]))
    assert np.isnan(y.item())
