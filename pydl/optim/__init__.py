"""Optimizers, with PyTorch's names, arguments and states."""

from pydl.optim import lr_scheduler, swa_utils
from pydl.optim.adam import Adam
from pydl.optim.adamw import AdamW
from pydl.optim.gd import GD
from pydl.optim.optimizer import Optimizer
from pydl.optim.sgd import SGD
from pydl.optim.swa_utils import EMA

__all__ = ["EMA", "GD", "SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "swa_utils"]
