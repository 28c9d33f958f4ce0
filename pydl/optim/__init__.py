"""Optimizers, with PyTorch's names, arguments and states."""

from pydl.optim import lr_scheduler, noise, swa_utils
from pydl.optim.adadelta import Adadelta
from pydl.optim.adafactor import Adafactor
from pydl.optim.adagrad import Adagrad
from pydl.optim.adam import Adam
from pydl.optim.adamax import Adamax
from pydl.optim.adamw import AdamW
from pydl.optim.asgd import ASGD
from pydl.optim.easgd import EASGD
from pydl.optim.entropy_sgd import EntropySGD
from pydl.optim.gd import GD
from pydl.optim.hogwild import HogwildResult, SparseMatrix, hogwild
from pydl.optim.lamb import LAMB
from pydl.optim.lbfgs import LBFGS
from pydl.optim.lion import Lion
from pydl.optim.lookahead import Lookahead
from pydl.optim.mirror_descent import MirrorDescent
from pydl.optim.muon import Muon
from pydl.optim.nadam import NAdam
from pydl.optim.optimizer import Optimizer
from pydl.optim.radam import RAdam
from pydl.optim.replica_exchange import ReplicaExchangeLangevin
from pydl.optim.rmsprop import RMSprop
from pydl.optim.rprop import Rprop
from pydl.optim.sam import SAM
from pydl.optim.scipy_minimizer import ScipyMinimizer
from pydl.optim.sgd import SGD
from pydl.optim.sgdw import SGDW
from pydl.optim.sgld import SGLD
from pydl.optim.sparse_adam import SparseAdam
from pydl.optim.swa_utils import EMA

__all__ = [
    "ASGD", "EASGD", "EMA", "GD", "LAMB", "LBFGS", "SAM", "SGD", "SGDW", "SGLD", "Adadelta", "Adafactor", "Adagrad",
    "Adam", "AdamW", "Adamax", "EntropySGD", "HogwildResult", "Lion", "Lookahead", "MirrorDescent", "Muon", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "ReplicaExchangeLangevin", "Rprop", "ScipyMinimizer", "SparseAdam",
    "SparseMatrix", "hogwild", "lr_scheduler", "noise", "swa_utils",
]  # fmt: skip
