"""Fine-tuning: what is frozen stays, heads, two step sizes."""

import numpy as np
import pytest

import pydl
from pydl import models, nn, optim
from pydl.errors import ArgumentError
from pydl.nn import functional as F


def small():
    pydl.manual_seed(0)
    return models.CifarResNet(8, 10, width_mult=0.25)


def steps(model, optimizer, count=3):
    x, y = pydl.randn(8, 3, 16, 16), pydl.randint(0, 4, (8,))
    for _ in range(count):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_frozen_weights_stay_to_the_bit():
    model = models.transfer(small(), 4)
    before = {k: p.detach().numpy().copy() for k, p in model.named_parameters()}
    assert model.fc.weight.shape == (4, 16)
    steps(model, optim.AdamW(model.parameters(), 0.1))
    for name, p in model.named_parameters():
        assert np.array_equal(p.detach().numpy(), before[name]) == (not name.startswith("fc.")), name
    assert models.unfreeze(model, "layer3") == [n for n, _ in model.named_parameters() if n.startswith("layer3.")]
    steps(model, optim.AdamW(model.parameters(), 0.1))
    changed = {
        n.split(".")[0] for n, p in model.named_parameters() if not np.array_equal(p.detach().numpy(), before[n])
    }
    assert changed == {"layer3", "fc"}


def test_prefixes_are_whole_names():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    assert models.freeze(model, "1") == ["1.weight", "1.bias"]  # neither 10 nor 11
    assert models.freeze(model, "10.bias", "11.") == ["10.bias", "11.weight", "11.bias"]
    assert sum(p.requires_grad for p in model.parameters()) == 24 - 5
    with pytest.raises(ArgumentError, match=r"no parameter is below 'layer9': the parts are 0, 1, 2"):
        models.freeze(model, "0", "layer9")


def test_heads():
    model = models.vgg11(num_classes=7, width_mult=0.02)
    assert models.head_name(model) == "classifier.6"
    head = models.replace_head(model.eval(), 3)
    assert model.classifier[6] is head and head.weight.shape == (3, 82) and not head.training
    assert model(pydl.rand(1, 3, 32, 32)).shape == (1, 3)
    custom = nn.Sequential(nn.Linear(82, 5), nn.ReLU(), nn.Linear(5, 2, bias=False))
    assert models.replace_head(model, custom) is custom
    assert model(pydl.rand(1, 3, 32, 32)).shape == (1, 2)
    assert models.replace_head(model, 9).bias is None and models.head_name(model) == "classifier.6.2"
    double = small().double()
    assert models.replace_head(double, 3).weight.dtype == pydl.float64
    for act, text in (
        (lambda: models.replace_head(model, 0), "positive number of classes"),
        (lambda: models.replace_head(model, 3, "features.0"), "is a Conv2d: give a module"),
        (lambda: models.head_name(nn.Linear(2, 2)), "no linear layer within"),
    ):
        with pytest.raises(ArgumentError, match=text):
            act()


def test_two_step_sizes():
    model = small()
    groups = models.param_groups(model, 0.0, 0.5)
    assert [g["lr"] for g in groups] == [0.0, 0.5] and len(groups[1]["params"]) == 2
    assert len(groups[0]["params"]) + 2 == len(list(model.parameters()))
    before = {k: p.detach().numpy().copy() for k, p in model.named_parameters()}
    steps(model, optim.SGD(groups, 0.1))
    for name, p in model.named_parameters():
        assert np.array_equal(p.detach().numpy(), before[name]) == (not name.startswith("fc."))
    models.freeze(model)
    models.unfreeze(model, "fc")
    assert [g["lr"] for g in models.param_groups(model, 0.1, 0.2)] == [0.2]
    assert len(models.param_groups(small(), 0.1, 0.2, "layer3")[1]["params"]) == 6
