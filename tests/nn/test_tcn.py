"""Temporal convolutional networks: what each output reads, and the plain formula."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError


@pytest.mark.parametrize(("convs", "field"), [(1, 15), (2, 29)])
def test_receptive_field_and_causality(convs: int, field: int) -> None:
    """Three levels, kernel 3: an output depends on exactly the last 15 (29) inputs, and on none after it."""
    net = nn.TCN(1, [4, 4, 4], 3, convs=convs, dtype=pydl.float64)
    assert net.receptive_field == field
    with pydl.no_grad():
        for p in net.parameters():
            p[:] = p.abs() + 0.1  # nothing cancels, no relu is off
    x = (pydl.rand(1, 1, 40, dtype=pydl.float64) + 0.1).requires_grad_()
    net(x)[0, :, 30].sum().backward()
    read = np.flatnonzero(x.grad.numpy()[0, 0])
    assert read[0] == 30 - field + 1 and read[-1] == 30 and len(read) == field


def test_block_against_its_formula() -> None:
    torch = pytest.importorskip("torch")
    block = nn.TemporalBlock(3, 5, 3, dilation=4, dtype=pydl.float64).eval()
    x = pydl.randn(2, 3, 20, dtype=pydl.float64)
    convs = [m for m in block.modules() if isinstance(m, nn.Conv1d)]
    path, shortcut = convs[:2], convs[2]
    h = torch.tensor(x.numpy())
    for conv in path:
        w, b = (torch.tensor(p.detach().numpy()) for p in (conv.weight, conv.bias))
        h = torch.relu(torch.conv1d(torch.nn.functional.pad(h, (8, 0)), w, b, dilation=4))
    w, b = (torch.tensor(p.detach().numpy()) for p in (shortcut.weight, shortcut.bias))
    expected = torch.relu(h + torch.conv1d(torch.tensor(x.numpy()), w, b))
    np.testing.assert_allclose(block(x).detach().numpy(), expected.numpy(), atol=1e-12)


def test_widths_and_errors() -> None:
    assert nn.TemporalBlock(4, 4).shortcut is None
    assert nn.TCN(2, [3, 5])(pydl.ones(1, 2, 6)).shape == (1, 5, 6)
    plain = nn.TemporalBlock(2, 2, weight_norm=False)
    assert sum(p.numel() for p in plain.parameters()) == 2 * (2 * 2 * 3 + 2)
    with pytest.raises(ArgumentError, match="must be a positive integer"):
        nn.TemporalBlock(1, 1, 0)
    with pytest.raises(ArgumentError, match="channels is empty"):
        nn.TCN(1, [])
