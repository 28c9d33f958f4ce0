"""Image networks: parameter counts, torchvision's names and shapes, forward against PyTorch, forms, errors."""

import math

import numpy as np
import pytest

import pydl
from pydl import models, nn
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.nn import init

COUNTS = {  # published, or torchvision's
    "LeNet": 104 + 606 + 19328 + 1290,
    "LeNet5": 61_706,
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 13_004_888,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
}


@pytest.fixture
def bare(monkeypatch):
    """Networks without first values: large ones then cost addresses only, no memory."""
    for name in ("uniform_", "normal_", "kaiming_normal_", "trunc_normal_", "zeros_", "constant_"):
        monkeypatch.setattr(init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, bare):
    assert sum(p.numel() for p in getattr(models, name)().parameters()) == COUNTS[name]


def test_more_parameter_counts(bare):
    def count(model):
        return sum(p.numel() for p in model.parameters())

    assert count(models.GoogLeNet(aux_logits=False)) == 6_624_904
    assert count(models.SmallInception(batch_norm=False)) == 1_649_402  # Zhang et al. 2016, table 1
    assert count(models.CifarResNet(1202)) == 19_421_274  # 19.4 M, He et al. 2015, table 6
    wide = models.ResNet(models.Bottleneck, (3, 4, 6, 3), width_per_group=128)
    assert count(wide) == 68_883_240  # torchvision's wide_resnet50_2
    grouped = models.ResNet(models.Bottleneck, (3, 4, 6, 3), groups=32, width_per_group=4)
    assert count(grouped) == 25_028_904  # torchvision's resnext50_32x4d


# ---------------------------------------------------------------- torchvision's layout


def shapes_of(model):
    return {name: tuple(t.shape) for name, t in model.state_dict().items()}


def conv_bn(conv, bn, out, inside, kernel):
    """Names and shapes of a convolution without bias and its norm."""
    names = {f"{conv}.weight": (out, inside, kernel, kernel)}
    names |= {f"{bn}.{k}": (out,) for k in ("weight", "bias", "running_mean", "running_var")}
    return names | {f"{bn}.num_batches_tracked": ()}


def linear(name, out, inside):
    return {f"{name}.weight": (out, inside), f"{name}.bias": (out,)}


def resnet_layout(depth):
    """What torchvision's state_dict of a ResNet holds."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    wanted, inside, times = conv_bn("conv1", "bn1", 64, 3, 7), 64, 1 if depth < 50 else 4
    for stage, count in enumerate(blocks, 1):
        width = 32 * 2**stage
        for i in range(count):
            at = f"layer{stage}.{i}."
            parts = [(width, inside, 3), (width, width, 3)]
            if times == 4:
                parts = [(width, inside, 1), (width, width, 3), (4 * width, width, 1)]
            for k, (out, into, kernel) in enumerate(parts, 1):
                wanted |= conv_bn(f"{at}conv{k}", f"{at}bn{k}", out, into, kernel)
            if i == 0 and (stage > 1 or times == 4):
                wanted |= conv_bn(f"{at}downsample.0", f"{at}downsample.1", times * width, inside, 1)
            inside = times * width
    return wanted | linear("fc", 1000, inside)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_has_torchvisions_layout(depth, bare):
    assert shapes_of(getattr(models, f"resnet{depth}")()) == resnet_layout(depth)


VGG = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("depth", VGG)
def test_vgg_has_torchvisions_layout(depth, norm, bare):
    wanted, at, inside = {}, 0, 3
    for step in VGG[depth].split():
        if step == "M":
            at += 1
            continue
        out = int(step)
        wanted |= {f"features.{at}.weight": (out, inside, 3, 3), f"features.{at}.bias": (out,)}
        if norm:
            wanted |= {f"features.{at + 1}.{k}": (out,) for k in ("weight", "bias", "running_mean", "running_var")}
            wanted[f"features.{at + 1}.num_batches_tracked"] = ()
        at, inside = at + (3 if norm else 2), out
    wanted |= linear("classifier.0", 4096, 25088) | linear("classifier.3", 4096, 4096)
    wanted |= linear("classifier.6", 1000, 4096)
    assert shapes_of(getattr(models, f"vgg{depth}{'_bn' * norm}")()) == wanted


def test_alexnet_has_torchvisions_layout(bare):
    convolutions = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    wanted = {f"features.{k}.weight": (out, inside, n, n) for k, (out, inside, n) in convolutions.items()}
    wanted |= {f"features.{k}.bias": (out,) for k, (out, _, _) in convolutions.items()}
    wanted |= linear("classifier.1", 4096, 9216) | linear("classifier.4", 4096, 4096)
    assert shapes_of(models.alexnet()) == wanted | linear("classifier.6", 1000, 4096)


def test_googlenet_has_torchvisions_layout(bare):
    table = {
        "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }  # fmt: skip

    def unit(name, out, inside, kernel):
        return conv_bn(f"{name}.conv", f"{name}.bn", out, inside, kernel)

    wanted = unit("conv1", 64, 3, 7) | unit("conv2", 64, 64, 1) | unit("conv3", 192, 64, 3)
    for key, (inside, one, small3, three, small5, five, pooled) in table.items():
        at = f"inception{key}.branch"
        wanted |= unit(f"{at}1", one, inside, 1)
        wanted |= unit(f"{at}2.0", small3, inside, 1) | unit(f"{at}2.1", three, small3, 3)
        wanted |= unit(f"{at}3.0", small5, inside, 1) | unit(f"{at}3.1", five, small5, 3)
        wanted |= unit(f"{at}4.1", pooled, inside, 1)
    for head, inside in (("aux1", 512), ("aux2", 528)):
        wanted |= unit(f"{head}.conv", 128, inside, 1)
        wanted |= linear(f"{head}.fc1", 1024, 2048) | linear(f"{head}.fc2", 1000, 1024)
    assert shapes_of(models.googlenet()) == wanted | linear("fc", 1000, 1024)


# ---------------------------------------------------------------- values


def by_torch(torch, model, x):
    """The forward pass of a ResNet of basic blocks in evaluation mode, in PyTorch's functions on its state_dict."""
    state = {k: torch.from_numpy(v.numpy()) for k, v in model.state_dict().items()}
    f = torch.nn.functional

    def unit(y, conv, bn, stride, pad):
        y = f.conv2d(y, state[f"{conv}.weight"], None, stride, pad)
        mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        return f.batch_norm(y, mean, var, state[f"{bn}.weight"], state[f"{bn}.bias"], False, 0.0, 1e-5)

    y = f.max_pool2d(f.relu(unit(torch.from_numpy(x), "conv1", "bn1", 2, 3)), 3, 2, 1)
    for stage, i in ((s, i) for s in range(1, 5) for i in range(2)):
        at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
        z = f.relu(unit(y, f"{at}.conv1", f"{at}.bn1", stride, 1))
        z = unit(z, f"{at}.conv2", f"{at}.bn2", 1, 1)
        short = unit(y, f"{at}.downsample.0", f"{at}.downsample.1", stride, 0) if stride > 1 else y
        y = f.relu(z + short)
    return f.linear(y.mean((2, 3)), state["fc.weight"], state["fc.bias"]).numpy()


def test_resnet_forward_against_torch():
    torch = pytest.importorskip("torch")
    pydl.manual_seed(0)
    model = models.resnet18(7, width_mult=0.125).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            init.uniform_(module.running_mean, -0.5, 0.5)
            init.uniform_(module.running_var, 0.5, 2.0)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64))
    with pydl.no_grad():
        np.testing.assert_allclose(model(pydl.from_numpy(x)).numpy(), by_torch(torch, model, x), atol=1e-9)


@pytest.mark.parametrize("variant", ["nyu2017", "lenet5"])
def test_lenet_forward_against_torch(variant):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    model = models.LeNet(variant, image_size=28).double().eval()
    state = [torch.from_numpy(t.numpy()) for t in model.state_dict().values()]
    x = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    act, pool = (f.relu, f.max_pool2d) if variant == "nyu2017" else (torch.tanh, f.avg_pool2d)
    y = pool(act(f.conv2d(f.pad(x, (2, 2, 2, 2)), state[0], state[1])), 2)
    y = pool(act(f.conv2d(y, state[2], state[3])), 2).flatten(1)
    for k in range(4, len(state), 2):
        y = f.linear(y, state[k], state[k + 1])
        y = act(y) if k + 2 < len(state) else y
    got = model(pydl.from_numpy(x.numpy())).detach().numpy()
    np.testing.assert_allclose(got, y.numpy(), atol=1e-12)


SMALL = {
    "LeNet": ((2, 1, 32, 32), {}),
    "LeNet5": ((2, 1, 32, 32), {}),
    "AlexNet": ((2, 3, 32, 32), {"small_images": True, "width_mult": 0.05}),
    "ZFNet": ((2, 3, 53, 53), {"width_mult": 0.05}),
    "OverFeat": ((2, 3, 71, 71), {"width_mult": 0.02}),
    "vgg11": ((2, 3, 32, 32), {"width_mult": 0.05}),
    "vgg16_bn": ((2, 3, 32, 32), {"width_mult": 0.05}),
    "GoogLeNet": ((2, 3, 32, 32), {"width_mult": 0.1, "aux_logits": False}),
    "SmallInception": ((2, 3, 28, 28), {"width_mult": 0.1}),
    "resnet18": ((2, 3, 32, 32), {"width_mult": 0.1, "stem": "cifar", "drop_path": 0.2}),
    "resnet50": ((2, 3, 33, 32), {"width_mult": 0.1}),
    "resnet20": ((2, 3, 32, 32), {"width_mult": 0.5, "shortcut": "B"}),
    "resnet32": ((2, 3, 32, 32), {"width_mult": 0.25, "batch_norm": False, "drop_path": 0.5}),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name):
    pydl.manual_seed(0)
    shape, kwargs = SMALL[name]
    model = getattr(models, name)(num_classes=5, **kwargs)
    x, y = pydl.randn(*shape), pydl.tensor([1, 4])
    scores = model(x)
    assert scores.shape == (2, 5)
    F.cross_entropy(scores, y).backward()
    for path, p in model.named_parameters():
        assert p.grad is not None and np.isfinite(p.grad.numpy()).all(), path
    model.eval()
    with pydl.no_grad():
        np.testing.assert_allclose(model(x).numpy(), model(x).numpy())


def test_auxiliary_heads():
    model = models.GoogLeNet(4, width_mult=0.1, large_kernel=5, batch_norm=False)
    x, y = pydl.randn(2, 3, 64, 64), pydl.tensor([0, 3])
    made = model(x)
    assert isinstance(made, models.GoogLeNetOutputs) and all(t.shape == (2, 4) for t in made)
    parts = [F.cross_entropy(t, y).item() for t in made]
    loss = models.auxiliary_loss(made, y)
    assert math.isclose(loss.item(), parts[0] + 0.3 * (parts[1] + parts[2]), rel_tol=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    assert math.isclose(models.auxiliary_loss(model(x), y).item(), F.cross_entropy(model(x), y).item())


def test_blocks_begin_as_identities():
    x = pydl.rand(2, 8, 9, 9)
    for zeroed in (models.resnet18(3, zero_init_residual=True, width_mult=0.125),
                   models.resnet20(3, batch_norm=False, width_mult=0.5)):  # fmt: skip
        np.testing.assert_allclose(zeroed.layer1(x).detach().numpy(), x.numpy(), rtol=1e-6)


def test_first_weights():
    pydl.manual_seed(0)
    alex = models.alexnet(10, 0.2)
    layers = [m for m in alex.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert [float(m.bias.detach().numpy()[0]) for m in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert abs(layers[1].weight.detach().numpy().std() - 0.01) < 5e-4
    weight = models.resnet18(stem="cifar").layer2[0].conv1.weight.detach().numpy()
    assert abs(weight.std() / math.sqrt(2 / (128 * 9)) - 1) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AlexNet", "vgg11", "vgg16_bn", "GoogLeNet"])
def test_a_tenth_of_the_width_fits_64_images(name):
    pydl.manual_seed(0)
    kwargs = {"AlexNet": {"small_images": True, "paper_init": False}, "GoogLeNet": {"aux_logits": False}}.get(name, {})
    model = getattr(models, name)(num_classes=10, width_mult=0.1, dropout=0.0, **kwargs)
    x, y = pydl.randn(64, 3, 32, 32), pydl.randint(0, 10, (64,))
    optimizer = pydl.optim.Adam(model.parameters(), 1e-3)
    for _ in range(400):
        optimizer.zero_grad()
        scores = model(x)
        if bool((scores.argmax(1) == y).all()):
            return
        F.cross_entropy(scores, y).backward()
        optimizer.step()
    pytest.fail("not all 64 images are fitted")


BAD = [
    (lambda: models.LeNet("lenet1"), "variant must be one of"),
    (lambda: models.LeNet(image_size=8), "image_size must be even and from 22 to 32"),
    (lambda: models.LeNet(pool="mean"), "pool must be 'max' or 'avg'"),
    (lambda: models.LeNet(activation="swish"), "activation must be"),
    (lambda: models.LeNet(num_classes=0), "num_classes must be a positive number"),
    (lambda: models.alexnet(width_mult=0), "width_mult must be > 0"),
    (lambda: models.CifarResNet(21), "depth must be 6 n"),
    (lambda: models.CifarResNet(20, shortcut="C"), "shortcut must be 'A' or 'B'"),
    (lambda: models.GoogLeNet(large_kernel=4), "large_kernel must be 3 or 5"),
    (lambda: models.resnet18(stem="small"), "stem must be"),
    (lambda: models.ResNet(models.BasicBlock, (1, 1)), "layers must be 4 numbers"),
    (lambda: models.resnet18(groups=2), "BasicBlock"),
    (lambda: models.resnet50(replace_stride_with_dilation=(True,)), "3 switches"),
]


@pytest.mark.parametrize(("act", "text"), BAD)
def test_errors(act, text):
    with pytest.raises(ArgumentError, match=text):
        act()


def test_dilated_stages_keep_the_size():
    model = models.resnet50(3, width_mult=0.05, replace_stride_with_dilation=(False, True, True)).eval()
    x = pydl.rand(1, 3, 64, 64)
    y = model.layer4(model.layer3(model.layer2(model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x))))))))
    assert y.shape[2:] == (8, 8)
    assert model.layer4[2].conv2.dilation == (4, 4)
