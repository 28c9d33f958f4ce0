"""export and load_plan: the same bits without the model, and files that are damaged or hostile."""

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import BoundsError, CaptureError, FileFormatError, PydlError, ShapeError


def normal(*shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def bits(tree: Any) -> Any:
    if isinstance(tree, pydl.Tensor):
        return tree.detach().contiguous().numpy().tobytes()
    if isinstance(tree, dict):
        return {k: bits(v) for k, v in tree.items()}
    return [bits(x) for x in tree]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 8), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, i: pydl.Tensor) -> dict[str, Any]:
        h = self.layer(self.table(i))
        scores = self.head(h.mean(1)).softmax(-1)
        return {"scores": scores, "best": (scores.argmax(-1), scores > 0.3)}


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...] | None]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)), (5, 4)),
    "net": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(3), nn.Flatten(),
            nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3),
        ),
        (2, 1, 8, 8),
    ),
    "words": (Words, None),
}  # fmt: skip


def example(shape: tuple[int, ...] | None, seed: int = 0) -> pydl.Tensor:
    if shape is None:
        return pydl.tensor(np.random.default_rng(seed).integers(0, 7, (2, 5)))
    return normal(*shape, seed=seed)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits_without_the_model(name: str, tmp_path: Any) -> None:
    build, shape = MODELS[name]
    pydl.manual_seed(0)
    model = build().eval()
    pydl.export(model, example(shape), tmp_path / "plan")
    plan = pydl.load_plan(tmp_path / "plan")
    for seed in range(4):
        with pydl.no_grad():
            assert bits(plan(example(shape, seed))) == bits(model(example(shape, seed)))
    with pytest.raises(ShapeError, match="plan: expected inputs"):
        plan(pydl.ones(1))
    if name == "words":
        with pytest.raises(BoundsError, match="embedding: index 7"):
            plan(pydl.full((2, 5), 7, dtype=pydl.int64))


def test_what_cannot_be_exported(tmp_path: Any) -> None:
    x = pydl.ones(2, 2)
    for model, text in [
        (lambda x: x * x.sum().item(), "reads values"),
        (lambda x: 3.0, "returns a float"),
        (lambda x: nn.functional.dropout(x), "cannot be written down"),
    ]:
        with pytest.raises(CaptureError, match=text):
            pydl.export(model, x, tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_damaged_files(tmp_path: Any) -> None:
    """Cut off anywhere, or with a byte changed: an error that says so."""
    path = tmp_path / "plan"
    pydl.export(nn.Linear(3, 2), pydl.ones(1, 3), path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        at = rng.randrange(len(whole))
        path.write_bytes(
            rng.choice([whole[:at], whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]])
        )
        with pytest.raises(FileFormatError):
            pydl.load_plan(path)
    pydl.save({"weights": pydl.ones(2)}, path)
    with pytest.raises(FileFormatError, match="not one that"):
        pydl.load_plan(path)


VALUES = [
    None,
    True,
    -1,
    0,
    1,
    2,
    7,
    2**31,
    -(2**63),
    1e300,
    float("nan"),
    "",
    "x",
    [],
    [0],
    [1, 2, 3],
    {},
    {"dtype": "int64"},
]


def spoilt(tree: Any, rng: random.Random) -> Any:
    """The tree with one part replaced."""
    if isinstance(tree, (list, tuple)) and tree and rng.random() < 0.9:
        at = rng.randrange(len(tree))
        return type(tree)(spoilt(v, rng) if i == at else v for i, v in enumerate(tree))
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        at = rng.choice(list(tree))
        return {k: spoilt(v, rng) if k == at else v for k, v in tree.items()}
    return rng.choice(VALUES)


@pytest.mark.parametrize("name", MODELS)
def test_hostile_files(name: str, tmp_path: Any) -> None:
    """Valid files whose contents are wrong: they are refused, or do what they say; nothing else happens."""
    build, shape = MODELS[name]
    pydl.export(build().eval(), example(shape), tmp_path / "plan")
    tree = pydl.load(tmp_path / "plan")
    rng = random.Random(1)
    refused = 0
    for _ in range(150):
        part = rng.choice(["nodes", "nodes", "nodes", "inputs", "outputs", "version"])
        wrong = {**tree, part: spoilt(tree[part], rng)}
        pydl.save(wrong, tmp_path / "wrong")
        try:
            plan = pydl.load_plan(tmp_path / "wrong")
        except FileFormatError:
            refused += 1
            continue
        for _ in range(3):
            try:
                plan(example(shape))
            except PydlError:
                break
    assert refused > 50
    with pytest.raises(FileFormatError, match="there is no operation"):
        pydl.save({**tree, "nodes": [["os.system", [], {}]]}, tmp_path / "wrong")
        pydl.load_plan(tmp_path / "wrong")
    assert json.dumps([name for name, *_ in tree["nodes"]])
