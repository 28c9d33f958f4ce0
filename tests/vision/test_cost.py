"""Costs of layers against PyTorch's counter and formulas; the two rules."""

import numpy as np
import pytest

import pydl
from pydl import nn, vision
from pydl.errors import ArgumentError
from pydl.models import LeNet, googlenet, resnet18
from pydl.utils.counting import MultiplyAdds


@pytest.mark.slow  # torch's counter takes seconds to import
def test_against_torch() -> None:
    """A convolution with strides and groups, a transposed one, a linear layer on the last axis."""
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter")

    def layers(n):  # the same in both libraries
        return n.Sequential(
            n.Conv2d(4, 6, 3, 2, 1), n.ReLU(), n.Conv2d(6, 6, 3, 1, 2, 2, groups=3), n.ConvTranspose2d(6, 2, 4, 2, 1),
            n.Linear(12, 5),
        )  # fmt: skip

    with counter.FlopCounterMode(display=False) as counted, torch.no_grad():
        layers(torch.nn).eval()(torch.zeros(1, 4, 12, 12))
    assert vision.flops(layers(nn), (4, 12, 12)) == counted.get_total_flops()


def test_kinds_of_layers() -> None:
    """Each kernel element meets each place: of the output, or of a transposed convolution's input."""
    for layer, shape, wanted in (
        (nn.Conv2d(4, 6, 3, 2, 1), (4, 12, 12), 6 * 36 * 4 * 9),
        (nn.Conv2d(6, 6, 3, 1, 2, 2, groups=3), (6, 6, 6), 6 * 36 * 2 * 9),
        (nn.ConvTranspose2d(6, 2, 4, 2, 1), (6, 5, 5), 6 * 25 * 2 * 16),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 3 * 27 * 2 * 8),
        (nn.Linear(12, 5), (7, 12), 7 * 12 * 5),
        (nn.MaxPool1d(2), (3, 8), 0),
    ):
        (cost,) = vision.layer_costs(nn.Sequential(layer), shape)
        assert cost.multiply_adds == wanted and vision.flops(nn.Sequential(layer), shape) == 2 * wanted


def test_layers_of_lenet_and_of_a_deep_network() -> None:
    model = LeNet().train()
    costs = vision.layer_costs(model, (1, 32, 32))
    assert [c.multiply_adds for c in costs if c.multiply_adds] == [78400, 60000, 19200, 1280]
    assert sum(c.parameters for c in costs) == 21328 and costs[0].activations == 4 * 28 * 28
    assert costs[0].name == "features.0" and costs[0].kind == "Conv2d" and costs[-1].shape == (10,)
    assert model.training and model.classifier[0].training
    with pydl.nn.utils.no_init_weights():
        deep = resnet18()
    assert vision.flops(deep, (3, 224, 224)) == 2 * 1_814_073_344  # 1.8 G multiply-adds, He et al. 2015, table 1
    norm = deep.bn1.running_mean
    assert not norm.numpy().any() and not any(len(m._hooks.forward) for m in deep.modules() if m._hooks)


def test_against_what_kernels_are_given() -> None:
    """The multiply-adds by the layers' formulas are those of the kernels that run."""
    for model, shape in (
        (resnet18(10, width_mult=0.1, stem="cifar"), (3, 16, 16)),
        (googlenet(10, aux_logits=False, width_mult=0.1), (3, 48, 48)),
    ):
        with MultiplyAdds() as counted, pydl.no_grad():
            model.eval()(pydl.zeros(1, *shape))
        assert vision.flops(model, shape) == 2 * counted.total > 0


def test_filters_and_rules() -> None:
    assert vision.suggest_filters(4, [784, 100]) == [4, 31]
    assert vision.suggest_filters(8, [100, 1000]) == [8, 1]
    shrinking = vision.layer_costs(nn.Sequential(nn.Conv1d(1, 4, 3), nn.Conv1d(4, 1, 3)), (1, 20))
    lines = vision.broken_rules(shrinking)
    assert lines == [
        "1: 16 activations after 72: the work is uneven",
        "1: 16 activations after 72: information is lost",
    ]
    even = vision.layer_costs(nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 5, 3)), (1, 20))
    assert vision.broken_rules(even) == [] and len(vision.broken_rules(even, 0.1)) == 1
    for first, positions in ((0, [1]), (1, []), (1, [0])):
        with pytest.raises(ArgumentError, match="suggest_filters: expected positive numbers"):
            vision.suggest_filters(first, positions)


def test_equivariance() -> None:
    x = pydl.randn(1, 2, 5, 5)
    group = vision.translations(5, 5)
    assert len(group) == 25 and len(vision.quarter_turns()) == 4
    assert np.array_equal(group[7](x).numpy(), np.roll(x.numpy(), (1, 2), (-2, -1)))
    assert np.array_equal(vision.quarter_turns()[1](x).numpy(), np.rot90(x.numpy(), 1, (-2, -1)))
    circular = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
    assert vision.equivariance_error(circular, x, group) < 1e-6
    assert vision.invariance_error(circular, x, group) > 0.1
    assert vision.invariance_error(lambda v: v.mean((2, 3)), x, group) < 1e-5
    doubled = [lambda v: 2 * v]
    assert vision.invariance_error(lambda v: v, x, doubled) == pytest.approx(1.0)
    assert vision.equivariance_error(lambda v: 0 * v, x, group) == 0.0
    first_pixel = pydl.zeros(1, 2, 5, 5)
    first_pixel[..., 0, 0] = 1.0
    assert vision.equivariance_error(lambda v: v * first_pixel, pydl.ones(1, 2, 5, 5), group) == 1.0
    with pytest.raises(ArgumentError, match="translations: expected a height and a width"):
        vision.translations(0, 3)
