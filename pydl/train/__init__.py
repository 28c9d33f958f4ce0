"""Training: the loop, callbacks, metrics, checkpoints, and what to do when it does not learn."""

from pydl.train import diagnostics
from pydl.train.callbacks import Callback, Checkpoint, Progress
from pydl.train.diagnostics import overfit_batch
from pydl.train.metrics import MSE, Accuracy, MeanLoss, Metric
from pydl.train.trainer import Trainer

__all__ = [
    "MSE",
    "Accuracy",
    "Callback",
    "Checkpoint",
    "MeanLoss",
    "Metric",
    "Progress",
    "Trainer",
    "diagnostics",
    "overfit_batch",
]
