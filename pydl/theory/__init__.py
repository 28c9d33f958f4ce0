"""Experiments of learning theory, as functions."""

from pydl.theory.batch_scaling import BatchScaling, NoisyQuadratic, steps_to_target
from pydl.theory.landscape import LANDSCAPES, descent_path, local_entropy, online_regret, quadratic_rates
from pydl.theory.risk import FeatureClass, RiskDecomposition, TeacherTask, error_decomposition

__all__ = [
    "LANDSCAPES",
    "BatchScaling",
    "FeatureClass",
    "NoisyQuadratic",
    "RiskDecomposition",
    "TeacherTask",
    "descent_path",
    "error_decomposition",
    "local_entropy",
    "online_regret",
    "quadratic_rates",
    "steps_to_target",
]
