"""Experiments of learning theory, as functions."""

from pydl.theory.batch_scaling import BatchScaling, NoisyQuadratic, steps_to_target
from pydl.theory.risk import FeatureClass, RiskDecomposition, TeacherTask, error_decomposition

__all__ = [
    "BatchScaling",
    "FeatureClass",
    "NoisyQuadratic",
    "RiskDecomposition",
    "TeacherTask",
    "error_decomposition",
    "steps_to_target",
]
