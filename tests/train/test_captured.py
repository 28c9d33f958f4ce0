"""The Trainer's captured steps: the same bits as without capture, resumed too; when it stands down, and why."""

from typing import Any

import numpy as np
import pytest
from small import stopped_and_resumed

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, BoundsError, CaptureError
from pydl.train import Callback, Trainer
from pydl.train.metrics import Accuracy


def data(n: int = 50) -> tuple[pydl.Tensor, pydl.Tensor]:
    rng = np.random.default_rng(0)
    return pydl.tensor(rng.standard_normal((n, 4)).astype(np.float32)), pydl.tensor(rng.integers(0, 3, n))


def trainer(capture: Any = "auto", seed: int = 0, **options: Any) -> Trainer:
    pydl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    settings: dict[str, Any] = {"metrics": [Accuracy()], "clip_norm": 1.0, **options}
    opt = settings.pop("make", lambda p: optim.Adam(p, 1e-2))(model.parameters())
    if settings.pop("scheduled", False):
        settings |= {"scheduler": optim.lr_scheduler.ExponentialLR(opt, 0.99), "schedule": "step"}
    return Trainer(model, nn.CrossEntropyLoss(), opt, capture=capture, **settings)


def state(t: Trainer) -> Any:
    held = [p.detach().numpy().tobytes() for p in t.model.state_dict().values()]
    saved = t.optimizer.state_dict()
    steps = [v.numpy().tobytes() for s in saved["state"].values() for v in s.values() if isinstance(v, pydl.Tensor)]
    options = [{k: v for k, v in group.items() if k != "params"} for group in saved["param_groups"]]
    scaler = t.gradients.scaler
    return held, steps, options, t.history, t.step, None if scaler is None else scaler.state_dict()


def scaler() -> Any:
    """Grows so fast that steps are left out now and then."""
    return pydl.amp.GradScaler(init_scale=2.0**122, growth_interval=3)


OPTIONS: dict[str, Any] = {
    "plain": dict,
    "scheduled": lambda: {"scheduled": True},
    "no metrics": lambda: {"metrics": []},
    "narrow": lambda: {"autocast": pydl.amp.autocast(), "clip_value": 0.1},
    "scaled": lambda: {"scaler": scaler(), "scheduled": True},
    "scaled, half": lambda: {"scaler": scaler(), "autocast": pydl.amp.autocast(dtype=pydl.float16)},
    "summed": lambda: {"accumulate": 3, "scheduled": True},
    "summed, no metrics": lambda: {"accumulate": 2, "metrics": [], "clip_adaptive": 0.1},
    "summed, scaled": lambda: {"accumulate": 2, "scaler": scaler(), "scheduled": True},
    "closure": lambda: {"closure": True, "scheduled": True},
    "sam": lambda: {"closure": True, "make": lambda p: optim.SAM(p, optim.SGD, lr=0.05, momentum=0.9)},
    "entropy": lambda: {"closure": True, "make": lambda p: optim.EntropySGD(p, 10.0, L=3, noise=1e-2)},
    "lookahead": lambda: {"make": lambda p: optim.Lookahead(optim.Adam(p, 1e-2), k=3)},
    "lookahead, scaled": lambda: {
        "make": lambda p: optim.Lookahead(optim.Adam(p, 1e-2), k=3),
        "scaler": scaler(),
    },
    "adafactor, scaled": lambda: {"make": lambda p: optim.Adafactor(p), "scaler": scaler()},
    "muon, summed": lambda: {
        "make": lambda p: optim.Muon([q for q in p if q.ndim == 2]),
        "accumulate": 2,
        "penalty": None,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_bits(name: str) -> None:
    """Epochs with a last batch that is smaller, a penalty on weights, validation between."""
    made = []
    for capture in (False, True):
        t = trainer(capture, **{"penalty": lambda m: 1e-3 * m[0].weight.square().sum(), **OPTIONS[name]()})
        if name.startswith("muon"):
            for p in t.model.parameters():
                p.requires_grad_(p.ndim == 2)
        t.fit(data(), 4, batch_size=9, validation=data(20))
        made.append(state(t))
    assert made[0] == made[1]
    assert t.capture.reason is None
    if "scaled" in name:
        assert t.gradients.scaler.get_scale() != 2.0**122


@pytest.mark.parametrize("options", [{}, {"accumulate": 4}])
def test_resumed_in_the_middle_of_an_epoch(tmp_path: Any, options: Any) -> None:
    whole, rest = stopped_and_resumed(
        lambda seed=0: trainer(seed=seed, **options), tmp_path / "state", 9 // options.get("accumulate", 1),
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
    t.model[0].register_parameter("more", nn.Parameter(pydl.zeros(1)))
    t.fit(data(), 1)
    assert t.capture.reason == "gradients of '0.more', which is not the optimizer's, add up over all batches"
    t = trainer(closure=True, make=lambda p: optim.LBFGS(p, 0.1))
    t.fit(data(), 1)
    assert t.capture.reason == "steps of LBFGS cannot be captured"
    t = trainer()
    handle = t.model[0].register_forward_hook(lambda *_: None)
    t.fit(data(), 1)
    assert t.capture.reason == "module '0' has hooks"
    handle.remove()
    t.fit(data(), 1)
    assert t.capture.reason is None
    with pytest.raises(CaptureError, match="the middle of a step"):
        trainer(True, accumulate=2).fit(data(), 1, callbacks=[Look()])
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


class Save(Callback):
    """Stops, between two batches of a step, with the state as it is then."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == 1 and trainer.batch == 3:
            trainer.save(self.path)
            raise KeyboardInterrupt

    def __init__(self, path: Any) -> None:
        self.path = path


def test_resumed_between_the_batches_of_a_step(tmp_path: Any) -> None:
    """The gradients that wait are part of the state, and so are they after an error in a batch."""
    whole = trainer(True, accumulate=2)
    whole.fit(data(), 3, batch_size=9)
    first = trainer(True, accumulate=2)
    with pytest.raises(KeyboardInterrupt):
        first.fit(data(), 3, batch_size=9, callbacks=[Save(tmp_path / "state")])
    assert first.gradients.pending == 1
    rest = trainer(True, seed=1, accumulate=2)
    rest.load(tmp_path / "state")
    rest.fit(data(), 3, batch_size=9)
    assert state(whole) == state(rest)


def test_an_error_in_a_batch_leaves_what_waits() -> None:
    x, y = data(32)
    wrong = y.clone()
    wrong[20] = 7
    made = []
    for capture in (False, True):
        t = trainer(capture, accumulate=4)
        t.fit((x, y), 2, batch_size=8, shuffle=False)
        with pytest.raises(BoundsError):
            t.fit((x, wrong), 1, batch_size=8, shuffle=False)
        waits = [p.grad.numpy().tobytes() for p in t.model.parameters()]
        t.gradients.pending = 0
        t.fit((x, y), 2, batch_size=8, shuffle=False)
        made.append((waits, state(t)))
    assert made[0] == made[1]
