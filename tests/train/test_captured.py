"""The Trainer's captured steps: the same bits as without capture, resumed too; when it stands down, and why."""

from typing import Any

import numpy as np
import pytest
from small import stopped_and_resumed

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, CaptureError
from pydl.train import Callback, Trainer
from pydl.train.metrics import Accuracy


def data(n: int = 50) -> tuple[pydl.Tensor, pydl.Tensor]:
    rng = np.random.default_rng(0)
    return pydl.tensor(rng.standard_normal((n, 4)).astype(np.float32)), pydl.tensor(rng.integers(0, 3, n))


def trainer(capture: Any = "auto", seed: int = 0, **options: Any) -> Trainer:
    pydl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    opt = optim.Adam(model.parameters(), 1e-2)
    settings: dict[str, Any] = {"metrics": [Accuracy()], "clip_norm": 1.0, **options}
    if settings.pop("scheduled", False):
        settings |= {"scheduler": optim.lr_scheduler.ExponentialLR(opt, 0.99), "schedule": "step"}
    return Trainer(model, nn.CrossEntropyLoss(), opt, capture=capture, **settings)


def state(t: Trainer) -> Any:
    held = [p.detach().numpy().tobytes() for p in t.model.state_dict().values()]
    steps = [s["exp_avg"].numpy().tobytes() + s["step"].numpy().tobytes() for s in t.optimizer.state.values()]
    return held, steps, t.history


@pytest.mark.parametrize("options", [{}, {"scheduled": True}, {"metrics": []}])
def test_the_same_bits(options: dict[str, Any]) -> None:
    """Epochs with a last batch that is smaller, a penalty on weights, validation between."""
    made = []
    for capture in (False, True):
        t = trainer(capture, penalty=lambda m: 1e-3 * m[0].weight.square().sum(), **options)
        t.fit(data(), 4, batch_size=16, validation=data(20))
        made.append(state(t))
    assert made[0] == made[1]
    assert t.capture.reason is None


def test_resumed_in_the_middle_of_an_epoch(tmp_path: Any) -> None:
    whole, rest = stopped_and_resumed(
        lambda seed=0: trainer(seed=seed), tmp_path / "state", 9,
        lambda t, callbacks: t.fit(data(), 4, batch_size=16, callbacks=callbacks),
    )  # fmt: skip
    assert state(whole) == state(rest)
    assert rest.capture.reason is None


class Look(Callback):
    def on_gradients(self, trainer: Trainer) -> None: ...


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        pydl.rand(1)
        return self.inner(x) * (2.0 if x.sum().item() > 0 else 1.0)


def test_reasons_to_stand_down() -> None:
    t = trainer()
    t.fit(data(), 1, callbacks=[Look()])
    assert t.capture.reason == "Look.on_gradients is called in the middle of a step"
    t = trainer(accumulate=2)
    t.fit(data(), 1)
    assert t.capture.reason == "gradients add up over several batches"
    t = trainer()
    handle = t.model[0].register_forward_hook(lambda *_: None)
    t.fit(data(), 1)
    assert t.capture.reason == "module '0' has hooks"
    handle.remove()
    t.fit(data(), 1)
    assert t.capture.reason is None
    with pytest.raises(CaptureError, match="gradients add up"):
        trainer(True, accumulate=2).fit(data(), 1)
    with pytest.raises(ArgumentError, match="capture must be"):
        trainer("yes")


def test_a_model_that_cannot_be_captured_trains_as_without() -> None:
    """What the recording had changed before it failed (the random numbers drawn) is put back."""
    made = []
    for capture in (False, "auto"):
        pydl.manual_seed(0)
        model = Reading()
        t = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), capture=capture)
        t.fit(data(), 2, batch_size=16)
        made.append((state(t), pydl.rand(1).item()))
    assert made[0] == made[1]
    assert t.capture.reason is not None and "item reads values" in t.capture.reason
