"""The loss of all alignments (CTC) on a CUDA device (or the emulation of one) against that of the CPU."""

import numpy as np
import pytest

import pydl
from pydl.errors import BoundsError
from pydl.nn import functional

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("shape", [(12, 3, 6, 4), (40, 2, 9, 15), (5, 2, 4, 0), (150, 1, 5, 70)])
def test_losses_and_gradients(shape: tuple[int, int, int, int]) -> None:
    """Steps, sequences, classes, labels; more states than a block has threads, and sequences without labels."""
    t, n, c, longest = shape
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((t, n, c)), rng.integers(1, c, (n, longest))
    steps, counts = rng.integers(t - 3, t + 1, n), rng.integers(longest // 2, longest + 1, n)
    made = []
    for device in ("cuda", "cpu"):
        scores = pydl.tensor(x, device=device, requires_grad=True)
        given = [pydl.tensor(a, device=device) for a in (targets, steps, counts)]
        y = functional.ctc_loss(functional.log_softmax(scores, -1), *given, reduction="none")
        y.sum().backward()
        assert y.device.type == device and scores.grad is not None
        made.append((y.detach().cpu().numpy(), scores.grad.cpu().numpy()))
    for mine, other in zip(*made, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-12)


def test_wrong_targets() -> None:
    """Labels on the device are looked at before anything is computed."""
    x = functional.log_softmax(pydl.zeros(4, 1, 3, device="cuda"), -1)
    with pytest.raises(BoundsError, match="targets must be classes from 0 to 2, got 7"):
        functional.ctc_loss(x, *(pydl.tensor(a, device="cuda") for a in ([[7]], [4], [1])))
