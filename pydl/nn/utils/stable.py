"""Recurrent networks that forget: projection onto those whose step is a contraction."""

import numpy as np

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError
from pydl.nn.rnn import RNN

__all__ = ["project_stable"]

SLOPES = {"tanh": 1.0, "relu": 1.0, "identity": 1.0, "sigmoid": 0.25}


def project_stable(rnn: RNN, lam: float) -> RNN:
    """Cuts the singular values of the recurrent weights so that a step contracts by lam: |h' - g'| <= lam |h - g|.

    Args: rnn: an nn.RNN, changed in place.   lam: between 0 and 1.
    Source: Miller & Hardt 2019 (arXiv:1805.10369), which projects so after each step of the optimizer.
    """
    if not isinstance(rnn, RNN):
        raise DtypeError(f"project_stable: expected an nn.RNN, got {type(rnn).__name__}")
    if not 0 < lam < 1:
        raise ArgumentError(f"project_stable: lam must be between 0 and 1, got {lam!r}")
    most = lam / SLOPES[rnn.nonlinearity]
    with no_grad():
        for own in rnn.all_weights:
            u, s, vh = np.linalg.svd(own[1].detach().numpy().astype(np.float64), full_matrices=False)
            if s[0] > most:
                own[1][:] = ops.from_numpy((u * np.minimum(s, most)) @ vh).to(own[1].dtype)
    return rnn
