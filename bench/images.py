"""Training steps of convolutional networks. The answer is the losses of the first three steps."""

from typing import Any

import numpy as np

from bench.e2e import step_job
from bench.workload import Job, Library, Workload, seeded


def _drawn(lib: Library, net: Any, rng: np.random.Generator) -> Any:
    """Weights drawn by their number of inputs; scales 1 and shifts 0, as they are made."""
    with lib.ns.no_grad():
        for p in net.to(lib.device).parameters():
            if p.ndim > 1:
                shape = tuple(p.shape)
                drawn = rng.standard_normal(shape, dtype=np.float32)
                p.copy_(lib.tensor(drawn * np.float32(np.prod(shape[1:]) ** -0.5)))
            elif float(p.sum()) != float(p.shape[0]):
                p.copy_(lib.tensor(np.zeros(tuple(p.shape), np.float32)))
    return net


def _batch(lib: Library, rng: np.random.Generator, *shape: int) -> tuple[Any, Any]:
    x = lib.tensor(rng.standard_normal(shape, dtype=np.float32))
    return x, lib.tensor(rng.integers(0, 10, shape[0]))


def _lenet(lib: Library) -> Job:
    """The course's LeNet on 64 images of 32 x 32, SGD; without its dropout, whose draws differ between libraries."""
    nn, rng = lib.ns.nn, seeded()
    layers = [nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(150, 128), nn.ReLU(), nn.Linear(128, 10)]
    net = _drawn(lib, nn.Sequential(*layers), rng)
    x, y = _batch(lib, rng, 64, 1, 32, 32)
    return step_job(lib, lambda: nn.functional.cross_entropy(net(x), y), lib.ns.optim.SGD(net.parameters(), lr=0.01))


def _block(ns: Any, c: int, m: int, stride: int) -> Any:
    nn = ns.nn

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.first_norm = nn.Conv2d(c, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
            self.second, self.second_norm = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
            same = stride == 1 and c == m
            projection = nn.Conv2d(c, m, 1, stride, bias=False)
            self.skip = nn.Identity() if same else nn.Sequential(projection, nn.BatchNorm2d(m))

        def forward(self, x: Any) -> Any:
            made = self.second_norm(self.second(ns.relu(self.first_norm(self.first(x)))))
            return ns.relu(made + self.skip(x))

    return Block()


def _resnet18(lib: Library) -> Job:
    """ResNet-18 for 32 x 32 images, a batch of 32, Adam."""
    ns, nn, rng = lib.ns, lib.ns.nn, seeded()
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for c, m, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [_block(ns, c, m, stride), _block(ns, m, m, 1)]
    net = _drawn(lib, nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)), rng)
    x, y = _batch(lib, rng, 32, 3, 32, 32)
    if lib.channels_last:
        net = net.to(memory_format=ns.channels_last)
    return step_job(lib, lambda: nn.functional.cross_entropy(net(x), y), ns.optim.Adam(net.parameters(), lr=1e-3))


def _resnet18_macs() -> float:
    """Of one image forward."""
    macs = 32 * 32 * 27 * 64.0
    for c, m, side in ((64, 64, 32), (64, 128, 16), (128, 256, 8), (256, 512, 4)):
        skip = 0 if c == m else c * m
        macs += side * side * (9.0 * c * m + 3 * 9.0 * m * m + skip)
    return macs + 5120


_LENET = 28 * 28 * 25 * 4 + 10 * 10 * 100 * 6 + 150 * 128 + 1280.0


def _step(label: str, make: Any, macs: float, batch: int, memory: bool = False) -> Workload:
    makers = {"torch": make, "replay": make, "channels_last": make, "compile": make}
    # Adam turns rounding of the smallest gradients into steps of full size: losses agree to a few parts in a thousand
    return Workload(name=f"e2e/{label}", flop=6 * batch * macs, rtol=2e-2, makers=makers, memory=memory)


WORKLOADS = [
    _step("lenet_32x32_b64_sgd", _lenet, _LENET, 64),
    _step("resnet18_cifar_b32_adam", _resnet18, _resnet18_macs(), 32, memory=True),
]
