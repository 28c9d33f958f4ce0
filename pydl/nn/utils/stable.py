"""Recurrent networks that forget: projection onto those whose step is a contraction.

A simple network contracts by |W|_2 times the largest slope of its nonlinearity. For an LSTM, let f be the largest value
of a forget gate and |W| the largest sum of a row's absolute values. With |h| <= 1 and |c| <= 1 / (1 - f), differences
of two states become, in the largest entry,

    dc' <= f dc + a dh,   a = |W_g| + |W_i| / 4 + |W_f| / (4 (1 - f))
    dh' <= dc' + b dh,    b = |W_o| / 4

so that the step contracts, in the norm max(|c| / u, |h| / v), by the largest eigenvalue of [[f, a], [f, a + b]], whose
eigenvector is (u, v). Miller & Hardt's conditions (|W_i|, |W_o| < 1 - f, |W_g| <= (1 - f) / 4, |W_f| < (1 - f)^2) make
it less than 1 for every f.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError
from pydl.nn.rnn import LSTM, RNN
from pydl.nn.rnn_base import RNNBase
from pydl.tensor import Tensor

__all__ = ["project_stable"]

Floats = npt.NDArray[np.float64]
SLOPES = {"tanh": 1.0, "relu": 1.0, "identity": 1.0, "sigmoid": 0.25}
FORGET = 0.64  # the share of lam that a projected forget gate may take; the paper's bound for a lam of 1


def project_stable(rnn: RNNBase, lam: float, input_bound: float = 1.0) -> RNNBase:
    """Changes the weights of all layers so that each step contracts by lam.

    An RNN's singular values are cut: |h' - g'| <= lam |h - g|. An LSTM's rows are shortened to the conditions of Miller
    & Hardt, scaled to lam, and the biases of its forget gates lowered as far as needed; the norm in which it contracts
    is that of `theory.stability_norm`. What holds already stays as it is.

    Args:
        rnn: an nn.RNN, or an nn.LSTM with forget gates and biases and without projection; changed in place.
        lam: between 0 and 1.
        input_bound: the largest absolute value in the LSTM's inputs.
    Raises: DtypeError, ArgumentError.
    Source: Miller & Hardt 2019 (arXiv:1805.10369), which projects so after each step of the optimizer.
    """
    if not isinstance(rnn, (RNN, LSTM)):
        raise DtypeError(f"project_stable: expected an nn.RNN or nn.LSTM, got {type(rnn).__name__}")
    if not 0 < lam < 1:
        raise ArgumentError(f"project_stable: lam must be between 0 and 1, got {lam!r}")
    if isinstance(rnn, LSTM):
        check_lstm("project_stable", rnn, input_bound)
    with no_grad():
        for i, own in enumerate(rnn.all_weights):
            if isinstance(rnn, RNN):
                _cut_singular_values(own[1], lam / SLOPES[rnn.nonlinearity])
            else:
                first = i < (2 if rnn.bidirectional else 1)
                _project_lstm(own, lam, input_bound if first else 1.0)  # of later layers: outputs, within 1
    return rnn


def _write(p: Tensor, values: Floats) -> None:
    p[:] = ops.from_numpy(values).to(p.dtype)


def _read(p: Tensor) -> Floats:
    return np.asarray(p.detach().numpy(), dtype=np.float64)


def _cut_singular_values(weight: Tensor, most: float) -> None:
    u, s, vh = np.linalg.svd(_read(weight), full_matrices=False)
    if s[0] > most:
        _write(weight, (u * np.minimum(s, most)) @ vh)


# ---------------------------------------------------------------- the LSTM


def check_lstm(op: str, lstm: LSTM, input_bound: float) -> None:
    """Raises ArgumentError for a network that the bound is not about."""
    if not lstm.forget_gate or not lstm.bias or lstm.proj_size:
        raise ArgumentError(f"{op}: expected an LSTM with forget gates and biases and without projection")
    if not (math.isfinite(input_bound) and input_bound >= 0):
        raise ArgumentError(f"{op}: input_bound must be a finite number that is not negative, got {input_bound!r}")


def _rows(w: Floats) -> Floats:
    return np.asarray(np.abs(w).sum(1))


def _forget_scores(w_ih: Floats, w_hh: Floats, bias: Floats, input_bound: float) -> Floats:
    """The largest scores of the forget gates, where |x| <= input_bound and |h| <= 1."""
    return np.asarray(_rows(w_ih) * input_bound + _rows(w_hh) + bias)


def lstm_rates(own: Sequence[Tensor], input_bound: float) -> Floats:
    """[[f, a], [f, a + b]] of one layer and direction: how differences of (c, h) pass on."""
    w_ih, w_hh, b_ih, b_hh = (_read(p) for p in own)
    units = w_hh.shape[1]
    gate = slice(units, 2 * units)
    scores = _forget_scores(w_ih[gate], w_hh[gate], (b_ih + b_hh)[gate], input_bound)
    f = float(1 / (1 + np.exp(-scores.max())))
    i_, f_, g_, o_ = (float(_rows(part).max()) for part in np.split(w_hh, 4))
    a = g_ + i_ / 4 + (f_ / (4 * (1 - f)) if f < 1 else math.inf)
    return np.array([[f, a], [f, a + o_ / 4]])


def _project_lstm(own: Sequence[Tensor], lam: float, input_bound: float) -> None:
    """Where f = 0.64 lam and |W_i|, |W_o|, 4 |W_g|, |W_f| / (1 - f) <= 4 s, a = 3 s and b = s: lam is an eigenvalue of
    the rates at s = lam (lam - f) / (4 lam - f)."""
    f = FORGET * lam
    s = lam * (lam - f) / (4 * lam - f)
    w_ih, w_hh, b_ih, b_hh = (_read(p) for p in own)
    units = w_hh.shape[1]
    limits = np.repeat([4 * s, 4 * s * (1 - f), s, 4 * s], units)
    w_hh = w_hh * np.minimum(1, limits / np.maximum(_rows(w_hh), 1e-300))[:, None]
    _write(own[1], w_hh)
    gate = slice(units, 2 * units)
    over = _forget_scores(w_ih[gate], w_hh[gate], (b_ih + b_hh)[gate], input_bound) - math.log(f / (1 - f))
    b_ih[gate] -= np.maximum(over, 0)
    _write(own[2], b_ih)
