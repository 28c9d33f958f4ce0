"""What happens around the training loop: checkpoints, early stopping, averages, progress, logs."""

from pydl.train.callbacks.average import WeightAverage
from pydl.train.callbacks.callback import Callback
from pydl.train.callbacks.checkpoint import Checkpoint, newest
from pydl.train.callbacks.logs import CSVLog, JSONLog
from pydl.train.callbacks.progress import Progress
from pydl.train.callbacks.stopping import EarlyStopping

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "JSONLog",
    "Progress",
    "WeightAverage",
    "newest",
]
