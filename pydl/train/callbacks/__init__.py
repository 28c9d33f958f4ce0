"""What happens around the training loop: checkpoints, early stopping, averages, progress, logs."""

from pydl.train.callbacks.anneal import Anneal
from pydl.train.callbacks.average import WeightAverage
from pydl.train.callbacks.callback import Callback
from pydl.train.callbacks.checkpoint import Checkpoint, newest
from pydl.train.callbacks.curves import LearningCurves, plot_history
from pydl.train.callbacks.guard import NanGuard
from pydl.train.callbacks.logs import CSVLog, JSONLog
from pydl.train.callbacks.noise import GradientNoise
from pydl.train.callbacks.progress import Progress
from pydl.train.callbacks.stopping import EarlyStopping
from pydl.train.callbacks.tensorboard import TensorBoard

__all__ = [
    "Anneal",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientNoise",
    "JSONLog",
    "LearningCurves",
    "NanGuard",
    "Progress",
    "TensorBoard",
    "WeightAverage",
    "newest",
    "plot_history",
]
