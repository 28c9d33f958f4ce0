"""Training: the loop, callbacks, metrics, checkpoints, and what to do when it does not learn."""

from pydl.train import callbacks, diagnostics
from pydl.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    JSONLog,
    Progress,
    WeightAverage,
)
from pydl.train.diagnostics import overfit_batch
from pydl.train.lr_finder import LRCurve, find_lr
from pydl.train.metrics import MSE, Accuracy, MeanLoss, Metric
from pydl.train.trainer import Trainer

__all__ = [
    "MSE",
    "Accuracy",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "JSONLog",
    "LRCurve",
    "MeanLoss",
    "Metric",
    "Progress",
    "Trainer",
    "WeightAverage",
    "callbacks",
    "diagnostics",
    "find_lr",
    "overfit_batch",
]
