"""Steps with loss scaling and autocast, and with optimizers of other kinds."""

import contextlib

import numpy as np
import pytest
from small import assert_close, batches, net, trainer, weights

import pydl
from pydl import amp, optim
from pydl.nn import functional as F
from pydl.optim import lr_scheduler
from pydl.train import Accuracy, Callback, Checkpoint, Trainer


class Scaler:
    """Loss scaling as `torch.amp.GradScaler` has it, with a written list of overflows."""

    def __init__(self, overflows=()):
        self.value, self.overflows, self.steps, self.log = 8.0, list(overflows), 0, []

    def scale(self, loss):
        return loss * self.value

    def unscale_(self, optimizer):
        self.log.append("unscale")
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = p.grad / self.value

    def step(self, optimizer):
        self.steps += 1
        if self.steps not in self.overflows:
            optimizer.step()

    def update(self):
        self.value *= 0.5 if self.steps in self.overflows else 1.0

    def get_scale(self):
        return self.value

    def state_dict(self):
        return {"value": self.value, "steps": self.steps}

    def load_state_dict(self, state):
        self.value, self.steps = state["value"], state["steps"]


def test_scaler_and_autocast():
    parts, entered = batches([6, 3, 3]), []

    @contextlib.contextmanager
    def context():
        entered.append(pydl.is_grad_enabled())
        yield

    class Autocast:
        def __enter__(self):
            self.inner = context()
            return self.inner.__enter__()

        def __exit__(self, *exc):
            return self.inner.__exit__(*exc)

    for accumulate in (1, 2):
        a = trainer(scaler=Scaler(), autocast=Autocast(), clip_norm=0.3, accumulate=accumulate)
        b = trainer(clip_norm=0.3, accumulate=accumulate)
        a.fit(parts, 2, validation=parts)
        b.fit(parts, 2)
        assert_close(a.model, b.model)
    assert entered == [True, True, True, False, False, False] * 4


def test_skipped_steps_leave_the_schedule():
    a = trainer(scaler=Scaler([1, 3]), lr=1.0)
    a.scheduler, a.schedule = lr_scheduler.ExponentialLR(a.optimizer, 0.5), "step"
    a.fit(batches([4] * 5), 1)
    assert a.step == 5 and a.gradients.scaler.value == 2.0
    assert a.optimizer.param_groups[0]["lr"] == 0.5**3


def test_scaler_is_saved():
    a = trainer(scaler=Scaler([1, 3]))
    a.fit(batches([4] * 4), 1)
    b = trainer(scaler=Scaler())
    b.load_state_dict(a.state_dict())
    assert (b.gradients.scaler.value, b.gradients.scaler.steps) == (2.0, 4)
    with pytest.raises(pydl.errors.CheckpointError, match="has a scaler"):
        trainer().load_state_dict(a.state_dict())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision(dtype, tmp_path):
    """With the library's own autocast and scaler: as good as float32, and resumed to the same bits."""

    def make(seed=0, **options):
        model = net(seed)
        return Trainer(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.05), metrics=[Accuracy()], **options)

    def mixed(seed=0):
        scaler = amp.GradScaler(init_scale=2.0**24, growth_interval=5) if dtype == "float16" else None
        return make(seed, autocast=amp.autocast("cpu", getattr(pydl, dtype)), scaler=scaler, clip_norm=1.0)

    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    data = [(pydl.tensor(x[i : i + 15]), pydl.tensor(x[i : i + 15, :3].argmax(1))) for i in range(0, 60, 15)]
    full, low = make(clip_norm=1.0), mixed()
    full.fit(data, 12, validation=data)
    low.fit(data, 12, validation=data, callbacks=[Checkpoint(tmp_path / "{epoch}")])
    assert low.history["val_accuracy"][-1] > full.history["val_accuracy"][-1] - 0.07 > 0.8
    assert all(p.dtype == pydl.float32 for p in low.model.parameters())
    rest = mixed(9)
    rest.load(tmp_path / "5")
    rest.fit(data, 12, validation=data)
    assert rest.history == low.history
    assert all((p == q).all() for p, q in zip(weights(rest.model), weights(low.model), strict=True))
    if dtype == "float16":
        assert rest.gradients.scaler.get_scale() == low.gradients.scaler.get_scale() != 2.0**24


@pytest.mark.parametrize("kind", ["LBFGS", "SAM"])
def test_optimizers_that_compute_losses_themselves(kind):
    """The loop by hand gives the same bits."""

    def make():
        model = net()
        if kind == "LBFGS":
            return model, optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, line_search_fn="strong_wolfe")
        return model, optim.SAM(model.parameters(), optim.SGD, rho=0.05, lr=0.5)

    parts, (a, optimizer) = batches([20, 12]), make()
    t = Trainer(a, F.cross_entropy, optimizer, closure=True)
    t.fit(parts, 3)
    b, optimizer = make()
    for _ in range(3):
        for x, y in parts:

            def closure(x=x, y=y):
                optimizer.zero_grad()
                loss = F.cross_entropy(b(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)
    assert all((p == q).all() for p, q in zip(weights(a), weights(b), strict=True))


@pytest.mark.parametrize("kind", ["Lookahead", "EntropySGD", "LBFGS", "SAM", "Adafactor", "Muon", "SGLD"])
def test_every_kind_of_optimizer_is_resumed(kind, tmp_path):
    def make(seed):
        model = net(seed)
        sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        matrices = [p for p in model.parameters() if p.ndim == 2]
        optimizer = {
            "Lookahead": lambda: optim.Lookahead(sgd, k=3),
            "EntropySGD": lambda: optim.EntropySGD(model.parameters(), lr=0.1),
            "LBFGS": lambda: optim.LBFGS(model.parameters(), lr=0.1, max_iter=3),
            "SAM": lambda: optim.SAM(model.parameters(), optim.SGD, lr=0.1, momentum=0.9),
            "Adafactor": lambda: optim.Adafactor(model.parameters()),
            "Muon": lambda: optim.Muon(matrices),
            "SGLD": lambda: optim.SGLD(model.parameters(), lr=1e-3),
        }[kind]()
        return Trainer(model, F.cross_entropy, optimizer, closure=kind in ("EntropySGD", "LBFGS", "SAM"))

    class Cut(Callback):
        def on_step_end(self, t):
            if t.step == 5:
                t.save(tmp_path / "state")
                raise KeyboardInterrupt

    parts = batches([8, 6, 7])
    whole = make(0)
    whole.fit(parts, 4)
    with pytest.raises(KeyboardInterrupt):
        make(0).fit(parts, 4, callbacks=[Cut()])
    rest = make(9)
    rest.load(tmp_path / "state")
    rest.fit(parts, 4)
    assert rest.history == whole.history
    assert all((p == q).all() for p, q in zip(weights(rest.model), weights(whole.model), strict=True))
