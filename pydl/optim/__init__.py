"""Optimizers, with PyTorch's names, arguments and states."""

from pydl.optim import lr_scheduler, swa_utils
from pydl.optim.adadelta import Adadelta
from pydl.optim.adagrad import Adagrad
from pydl.optim.adam import Adam
from pydl.optim.adamax import Adamax
from pydl.optim.adamw import AdamW
from pydl.optim.asgd import ASGD
from pydl.optim.gd import GD
from pydl.optim.lion import Lion
from pydl.optim.nadam import NAdam
from pydl.optim.optimizer import Optimizer
from pydl.optim.radam import RAdam
from pydl.optim.rmsprop import RMSprop
from pydl.optim.rprop import Rprop
from pydl.optim.sgd import SGD
from pydl.optim.sgdw import SGDW
from pydl.optim.swa_utils import EMA

__all__ = [
    "ASGD", "EMA", "GD", "SGD", "SGDW", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "Optimizer",
    "RAdam", "RMSprop", "Rprop", "lr_scheduler", "swa_utils",
]  # fmt: skip
