"""Experiments of learning theory, as functions."""

from pydl.theory.risk import FeatureClass, RiskDecomposition, TeacherTask, error_decomposition

__all__ = ["FeatureClass", "RiskDecomposition", "TeacherTask", "error_decomposition"]
