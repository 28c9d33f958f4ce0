"""Replays of every kind of layer, in training: the bits of eager calls."""

from collections.abc import Callable
from typing import Any

import pytest
from recorded import bits, integers, normal

import pydl
from pydl import nn

Build = Callable[[], Any]


LAYERS: dict[str, tuple[Build, tuple[Any, ...]]] = {
    "Linear": (lambda: nn.Linear(4, 3), ((5, 4),)),
    "Bilinear": (lambda: nn.Bilinear(4, 3, 2), ((5, 4), (5, 3))),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), ((2, 2, 7),)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, stride=2, groups=2, padding_mode="reflect", padding=1), ((2, 2, 7, 6),)),
    "Conv3d": (lambda: nn.Conv3d(1, 2, 2), ((1, 1, 4, 4, 4),)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), ((2, 2, 4, 4),)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), ((6, 4),)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), ((4, 3, 5, 5),)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), ((4, 3, 5, 5),)),
    "LayerNorm": (lambda: nn.LayerNorm(6), ((3, 6),)),
    "RMSNorm": (lambda: nn.RMSNorm(6), ((3, 6),)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), ((3, 4, 5),)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), ((2, 4, 3, 3),)),
    "Dropout": (lambda: nn.Dropout(0.4), ((7, 9),)),
    "Dropout2d": (lambda: nn.Dropout2d(0.4), ((4, 5, 3, 3),)),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.3), ((7, 9),)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), ((2, 3, 6, 6),)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1), ((2, 3, 6, 6),)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, 3)), ((2, 3, 5, 7),)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), ((1, 2, 3, 4),)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), ((1, 8, 3, 3),)),
    "Fold": (lambda: nn.Fold((4, 5), (2, 2)), ((2, 8, 12),)),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(1), ((1, 2, 3, 4),)),
    "PReLU": (lambda: nn.PReLU(3), ((2, 3, 4),)),
    "RReLU": (lambda: nn.RReLU(), ((5, 6),)),
    "GELU": (lambda: nn.GELU(), ((5, 6),)),
    "Softmax": (lambda: nn.Softmax(-1), ((5, 6),)),
    "GLU": (lambda: nn.GLU(), ((5, 6),)),
    "RNN": (lambda: nn.RNN(3, 4, 2, dropout=0.3), ((5, 2, 3), (2, 2, 4))),
    "GRU": (lambda: nn.GRU(3, 4, bidirectional=True), ((5, 2, 3), (2, 2, 4))),
    "LSTM": (lambda: nn.LSTM(3, 4, 2, batch_first=True), ((2, 5, 3),)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), ((2, 3),)),
    "GRUCell": (lambda: nn.GRUCell(3, 4), ((2, 3), (2, 4))),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True), ((2, 5, 8),) * 3),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), ((2, 5, 8),)),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(8, 2, 16), ((5, 2, 8), (4, 2, 8))),
    "CosineSimilarity": (lambda: nn.CosineSimilarity(), ((3, 4), (3, 4))),
    "PairwiseDistance": (lambda: nn.PairwiseDistance(), ((3, 4), (3, 4))),
    "MSELoss": (lambda: nn.MSELoss(), ((3, 4), (3, 4))),
    "SmoothL1Loss": (lambda: nn.SmoothL1Loss(), ((3, 4), (3, 4))),
    "BCEWithLogitsLoss": (lambda: nn.BCEWithLogitsLoss(), ((3, 4), (3, 4))),
    "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), ((3, 4), (3, 4))),
    "TripletMarginLoss": (lambda: nn.TripletMarginLoss(), ((3, 4),) * 3),
    "GaussianNLLLoss": (lambda: nn.GaussianNLLLoss(), ((3, 4), (3, 4), "positive")),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), ((6, 4), "classes")),
    "NLLLoss": (lambda: nn.NLLLoss(), ((6, 4), "classes")),
    "MultiMarginLoss": (lambda: nn.MultiMarginLoss(), ((6, 4), "classes")),
    "Embedding": (lambda: nn.Embedding(4, 5), ("classes",)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(4, 5, mode="sum"), ("bags",)),
}


def drawn(kind: Any, seed: int) -> pydl.Tensor:
    if kind == "classes":
        return integers(4, 6, seed=seed)
    if kind == "bags":
        return integers(4, 3, 2, seed=seed)
    return normal(3, 4, seed=seed).abs() + 0.1 if kind == "positive" else normal(*kind, seed=seed)


def tensors(made: Any) -> list[pydl.Tensor]:
    if isinstance(made, pydl.Tensor):
        return [made]
    return [t for x in made for t in tensors(x)] if isinstance(made, (tuple, list)) else []


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    """Outputs, gradients and running statistics of a layer in training, as without capture."""
    build, kinds = LAYERS[name]
    pydl.manual_seed(0)
    eager = build()
    twin = build()
    twin.load_state_dict(eager.state_dict())

    def slopes(model: Any) -> Callable[..., Any]:
        def run(*xs: pydl.Tensor) -> Any:
            model.zero_grad()
            made = tensors(model(*xs))
            total = sum(((y * y).sum() for y in made), pydl.zeros(()))
            if total.requires_grad:
                total.backward()
            return made, [p.grad for p in model.parameters() if p.grad is not None]

        return run

    plain, captured = slopes(eager), pydl.capture(slopes(twin))
    for seed in range(4):
        xs = [drawn(kind, seed + 10 * i) for i, kind in enumerate(kinds)]
        made = []
        for run in (plain, captured):
            pydl.manual_seed(seed)
            made.append(bits(run(*xs)))
        assert made[0] == made[1]
    assert len(captured.plans) == 1
    assert bits(list(eager.buffers())) == bits(list(twin.buffers()))
