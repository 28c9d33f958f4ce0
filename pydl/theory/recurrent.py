"""How gradients travel through depth and time, measured against their bounds.

The Jacobian of a simple recurrent network from step t back to step k is a product of t - k factors diag(f'(a)) W: its
norm is at most (|W| g)^(t - k), where g is the largest slope of f: 1 for tanh, relu and the identity, 1/4 for the
sigmoid. Sources: Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pydl import nn
from pydl.autograd import grad
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.nn.utils.stable import SLOPES, check_lstm, lstm_rates
from pydl.ops import ones_like
from pydl.tensor import Tensor

__all__ = [
    "SLOPES",
    "gradient_profile",
    "jacobian_bounds",
    "rnn_jacobian_norms",
    "stability_constant",
    "stability_norm",
]

Floats = npt.NDArray[np.float64]


def _slope(kind: str, y: Floats) -> Floats:
    """f' where f gave y."""
    if kind == "identity":
        return np.ones_like(y)
    return 1 - y * y if kind == "tanh" else y * (1 - y) if kind == "sigmoid" else (y > 0).astype(np.float64)


def _simple(rnn: nn.RNN, name: str) -> Floats:
    """The recurrent weight of a network that the theory is about, in float64."""
    if not isinstance(rnn, nn.RNN) or rnn.num_layers != 1 or rnn.bidirectional or rnn.form != "elman":
        raise ArgumentError(f"{name}: expected an nn.RNN of one layer and one direction, of form 'elman'")
    return np.asarray(rnn.all_weights[0][1].detach().numpy(), dtype=np.float64)


def rnn_jacobian_norms(rnn: nn.RNN, x: Tensor, h0: Tensor | None = None) -> Floats:
    """The spectral norms of d h_t / d h_(t - gap) for gap 0 to t, where t is the last step.

    Args: rnn: of one layer.   x: (t, i).   h0: (1, h), zeros where left out.
    Returns: (t + 1,), the first 1, the last with respect to h0.
    """
    weight = _simple(rnn, "rnn_jacobian_norms")
    if x.ndim != 2:
        raise ShapeError(f"rnn_jacobian_norms: x {x.shape}: expected (time, features)")
    with no_grad():
        states = rnn(x, h0)[0].numpy().astype(np.float64)
    product, norms = np.eye(len(weight)), [1.0]
    for y in states[::-1]:
        product = product @ (_slope(rnn.nonlinearity, y)[:, None] * weight)
        norms.append(float(np.linalg.norm(product, 2)))
    return np.array(norms)


def jacobian_bounds(rnn: nn.RNN, gaps: int) -> Floats:
    """(|W| g)^gap for gap 0 to gaps: above `rnn_jacobian_norms`, whatever the input."""
    return np.asarray(stability_constant(rnn) ** np.arange(gaps + 1, dtype=np.float64))


def stability_constant(rnn: nn.RNN | nn.LSTM, input_bound: float = 1.0) -> float:
    """How much the step contracts, at least: |f(s, x) - f(s', x)| <= constant |s - s'|. Below 1 the network is stable.

    For an RNN in the Euclidean norm of its state. For an LSTM in that of `stability_norm` on its states with |h| <= 1
    and |c| <= 1 / (1 - f), f the largest value of a forget gate, which no step leaves, and for inputs within
    input_bound; infinite where a forget gate may be 1.
    Args: rnn: of one layer and direction.   input_bound: the largest absolute value in the LSTM's inputs.
    Source: Miller & Hardt 2019 (arXiv:1805.10369). See `nn.utils.project_stable`.
    """
    if isinstance(rnn, nn.LSTM):
        rates = _rates("stability_constant", rnn, input_bound)
        return float(np.abs(np.linalg.eigvals(rates)).max()) if np.isfinite(rates).all() else float("inf")
    return float(np.linalg.norm(_simple(rnn, "stability_constant"), 2)) * SLOPES[rnn.nonlinearity]


def stability_norm(lstm: nn.LSTM, input_bound: float = 1.0) -> tuple[float, float]:
    """u and v, with u + v = 1, of the norm max(|c| / u, |h| / v), largest entries, in which the LSTM's step contracts.

    Raises: ArgumentError where a forget gate may be 1.
    """
    rates = _rates("stability_norm", lstm, input_bound)
    if not np.isfinite(rates).all():
        raise ArgumentError("stability_norm: a forget gate may be 1: there is no such norm")
    values, vectors = np.linalg.eig(rates)
    u, v = np.abs(vectors[:, np.argmax(np.abs(values))].real)
    return float(u / (u + v)), float(v / (u + v))


def _rates(name: str, lstm: nn.LSTM, input_bound: float) -> Floats:
    if not isinstance(lstm, nn.LSTM) or lstm.num_layers != 1 or lstm.bidirectional:
        raise ArgumentError(f"{name}: expected an nn.LSTM of one layer and one direction")
    check_lstm(name, lstm, input_bound)
    return lstm_rates(lstm.all_weights[0], input_bound)


def gradient_profile(model: Iterable[nn.Module], batch: Tensor, seed: Tensor | None = None) -> Floats:
    """The norm of the gradient with respect to the output of each of a row of modules, first to last.

    Args: model: modules that run one after the other, as an nn.Sequential.   batch: the input of the first.
        seed: the gradient of the last output; ones where left out.
    """
    outputs = []
    for module in model:
        batch = module(batch)
        outputs.append(batch)
    if not outputs or not batch.requires_grad:
        raise ArgumentError("gradient_profile: expected modules with parameters that require gradients")
    inner = [y for y in outputs[:-1] if y.requires_grad]
    last = ones_like(batch) if seed is None else seed
    found = grad([batch], inner, [last.detach()]) if inner else ()
    norms = iter([*(float(np.linalg.norm(g.numpy())) for g in found if g is not None)])
    profile = [next(norms) if y.requires_grad else 0.0 for y in outputs[:-1]]
    return np.array([*profile, float(np.linalg.norm(last.numpy()))])
