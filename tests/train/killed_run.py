"""A training for test_hostile.py, run as `python killed_run.py FOLDER EPOCHS`: goes on from the newest checkpoint."""

import sys

import numpy as np

import pydl
from pydl import nn, optim
from pydl.data import DataLoader, TensorDataset
from pydl.nn import functional as F
from pydl.optim.swa_utils import EMA
from pydl.train import Accuracy, Callback, Checkpoint, EarlyStopping, JSONLog, Trainer, WeightAverage


class Says(Callback):
    """Tells the parent that a step was made, so that it knows when to kill."""

    def on_step_end(self, t: Trainer) -> None:
        print(t.step, flush=True)


def run(folder: str, epochs: int) -> None:
    """One training with everything in it that has a state."""
    rng = np.random.default_rng(0)
    x = pydl.tensor(rng.standard_normal((60, 6)).astype(np.float32))
    y = pydl.tensor(rng.integers(0, 3, 60))
    pydl.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    optimizer = optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
    plan = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=7)
    trainer = Trainer(
        model, F.cross_entropy, optimizer, scheduler=plan, schedule="step", metrics=[Accuracy()], clip_norm=1.0,
        accumulate=2,
    )  # fmt: skip
    average = EMA(model, 0.9)
    saved = Checkpoint(f"{folder}/step-{{step}}.safetensors", every_steps=1, keep=3)
    trainer.resume(saved.path)
    callbacks = [
        Says(), WeightAverage(average), EarlyStopping(epochs), JSONLog(f"{folder}/log.jsonl", 1),
        Checkpoint(f"{folder}/best.safetensors", monitor="val_loss"), saved,
    ]  # fmt: skip
    loader = DataLoader(TensorDataset(x, y), 7, shuffle=True, num_workers=2)
    trainer.fit(loader, epochs, validation=(x[:20], y[:20]), callbacks=callbacks)
    result = {"model": model.state_dict(), "average": average.state_dict(), "history": trainer.history}
    pydl.save(result, f"{folder}/final")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
