"""Convolutions: ResNet, LeNet, depthwise and temporal shapes, forward and with the gradients of input and weight."""

from collections.abc import Callable
from typing import Any

from bench.workload import Maker, Workload, jax_function, normals, onnx_node, torch_function


def _paths(
    x: tuple[int, ...], w: tuple[int, ...], stride: int, padding: int, dilation: int, groups: int, train: bool
) -> Callable[[], str]:
    """The paths that pydl takes, of the forward product and of the gradients of input and weight."""
    products = ("forward", "input_grad", "weight_grad") if train else ("forward",)
    out = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x[2:], w[2:], strict=True)]

    def ask() -> str:
        import pydl

        shapes = x, w, (x[0], w[0], *out)
        a, b, y = (pydl.zeros(*shape).array for shape in shapes)
        steps, borders, gaps = ((n,) * len(out) for n in (stride, padding, dilation))
        return " ".join(pydl._C.conv_path(p, a, b, steps, borders, gaps, groups, y) for p in products)

    return ask


def _conv(
    label: str, b: int, c: int, m: int, size: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> list[Workload]:
    out = (size + 2 * padding - kernel) // stride + 1
    inputs = normals((b, c, size, size), (m, c // groups, kernel, kernel))
    flop = 2.0 * b * m * out * out * (c // groups) * kernel * kernel
    moved = 4.0 * (b * c * size * size + b * m * out * out + m * (c // groups) * kernel * kernel)

    def function(ns: Any) -> Any:
        return lambda x, w: ns.nn.functional.conv2d(x, w, None, stride, padding, 1, groups)

    def jax(ns: Any) -> Any:
        return lambda x, w: ns.lax.conv_general_dilated(
            x, w, (stride, stride), [(padding, padding)] * 2, feature_group_count=groups
        )

    onnx = onnx_node(
        "Conv", inputs, constants=1, strides=[stride] * 2, pads=[padding] * 4, dilations=[1, 1], group=groups
    )
    x, w = (b, c, size, size), (m, c // groups, kernel, kernel)
    return [
        _workload(
            f"conv/{label}", train, flop, moved, function, jax, inputs, onnx,
            _paths(x, w, stride, padding, 1, groups, train),
        )
        for train in (False, True)
    ]  # fmt: skip


def _workload(
    name: str,
    train: bool,
    flop: float,
    moved: float,
    function: Any,
    jax: Any,
    inputs: Any,
    onnx: Maker | None,
    note: Callable[[], str],
) -> Workload:
    passes = 3 if train else 1  # forward, gradient of the input, gradient of the weight
    plain = torch_function(function, inputs, train)
    makers = {"torch": plain, "channels_last": plain, "jax": jax_function(jax, inputs, train)}
    if onnx is not None and not train:
        makers["onnx"] = onnx
    return Workload(
        name=f"{name}/{'train' if train else 'fwd'}",
        op="conv2d" if onnx is not None else "conv1d",
        flop=passes * flop,
        moved=passes * moved,
        makers=makers,
        note=note,
    )


def _temporal(b: int = 8, c: int = 64, length: int = 1024, kernel: int = 3, dilation: int = 8) -> list[Workload]:
    """A causal layer of a temporal network: padded on the left."""
    reach = (kernel - 1) * dilation
    inputs = normals((b, c, length), (c, c, kernel))

    def function(ns: Any) -> Any:
        f = ns.nn.functional
        return lambda x, w: f.conv1d(f.pad(x, (reach, 0)), w, None, 1, 0, dilation)

    def jax(ns: Any) -> Any:
        return lambda x, w: ns.lax.conv_general_dilated(x, w, (1,), [(reach, 0)], rhs_dilation=(dilation,))

    flop, moved = 2.0 * b * c * c * kernel * length, 4.0 * (2 * b * c * length + c * c * kernel)
    name = f"conv/tcn_{c}_k{kernel}_d{dilation}_L{length}_b{b}"
    return [
        _workload(
            name, train, flop, moved, function, jax, inputs, None,
            _paths((b, c, length + reach), (c, c, kernel), 1, 0, dilation, 1, train),
        )
        for train in (False, True)
    ]  # fmt: skip


WORKLOADS = [
    *_conv("lenet_1-4_k5_32_b64", 64, 1, 4, 32, 5),
    *_conv("lenet_4-6_k5_14_b64", 64, 4, 6, 14, 5),
    *_conv("r18_64_k3_32_b32", 32, 64, 64, 32, 3, padding=1),
    *_conv("r18_128_k3_16_b32", 32, 128, 128, 16, 3, padding=1),
    *_conv("r18_256_k3_8_b32", 32, 256, 256, 8, 3, padding=1),
    *_conv("r18_512_k3_4_b32", 32, 512, 512, 4, 3, padding=1),
    *_conv("r50_3-64_k7s2_224_b4", 4, 3, 64, 224, 7, stride=2, padding=3),
    *_conv("r50_64-256_k1_56_b4", 4, 64, 256, 56, 1),
    *_conv("r50_256-512_k1s2_56_b4", 4, 256, 512, 56, 1, stride=2),
    *_conv("r50_128_k3_28_b4", 4, 128, 128, 28, 3, padding=1),
    *_conv("depthwise_128_k3_56_b4", 4, 128, 128, 56, 3, padding=1, groups=128),
    *_temporal(),
]
