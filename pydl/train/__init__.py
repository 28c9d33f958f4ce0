"""Training: the loop, callbacks, metrics, checkpoints, and what to do when it does not learn."""

from pydl.train import callbacks, diagnostics, metrics
from pydl.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    JSONLog,
    LearningCurves,
    NanGuard,
    Progress,
    TensorBoard,
    WeightAverage,
    plot_history,
)
from pydl.train.diagnostics import overfit_batch
from pydl.train.lr_finder import LRCurve, find_lr
from pydl.train.metrics import *
from pydl.train.trainer import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "JSONLog",
    "LRCurve",
    "LearningCurves",
    "NanGuard",
    "Progress",
    "TensorBoard",
    "Trainer",
    "WeightAverage",
    "callbacks",
    "diagnostics",
    "find_lr",
    "metrics",
    "overfit_batch",
    "plot_history",
]
__all__ += metrics.__all__
