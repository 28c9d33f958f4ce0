"""Experiments of learning theory, as functions."""

from pydl.theory.batch_scaling import BatchScaling, NoisyQuadratic, steps_to_target
from pydl.theory.complexity import dependencies, path_length
from pydl.theory.covariate import CovariateShift, MovingNoise, covariate_shift
from pydl.theory.landscape import LANDSCAPES, descent_path, local_entropy, online_regret, quadratic_rates
from pydl.theory.recurrent import (
    SLOPES,
    gradient_profile,
    jacobian_bounds,
    rnn_jacobian_norms,
    stability_constant,
    stability_norm,
)
from pydl.theory.risk import FeatureClass, RiskDecomposition, TeacherTask, error_decomposition

__all__ = [
    "LANDSCAPES",
    "SLOPES",
    "BatchScaling",
    "CovariateShift",
    "FeatureClass",
    "MovingNoise",
    "NoisyQuadratic",
    "RiskDecomposition",
    "TeacherTask",
    "covariate_shift",
    "dependencies",
    "descent_path",
    "error_decomposition",
    "gradient_profile",
    "jacobian_bounds",
    "local_entropy",
    "online_regret",
    "path_length",
    "quadratic_rates",
    "rnn_jacobian_norms",
    "stability_constant",
    "stability_norm",
    "steps_to_target",
]
