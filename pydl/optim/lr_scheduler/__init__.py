"""Learning rates that change with the epoch: every torch.optim.lr_scheduler, and the ones of the papers."""

from pydl.optim.lr_scheduler.base import LRScheduler
from pydl.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from pydl.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts, WarmupCosineLR
from pydl.optim.lr_scheduler.cycle import CyclicLR, OneCycleLR
from pydl.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from pydl.optim.lr_scheduler.inverse import (
    InverseSquareRootLR,
    InverseTimeLR,
    NoamLR,
    RobbinsMonro,
    robbins_monro,
)
from pydl.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "InverseSquareRootLR", "InverseTimeLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR",
    "NoamLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "RobbinsMonro", "SequentialLR", "StepLR",
    "WarmupCosineLR", "robbins_monro",
]  # fmt: skip
