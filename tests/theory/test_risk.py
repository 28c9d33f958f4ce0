"""The decomposition of the risk against a direct computation."""

import numpy as np
import pytest

from pydl.errors import ArgumentError, ShapeError
from pydl.theory import FeatureClass, TeacherTask, error_decomposition

TASK = TeacherTask(population=2000)


def test_features_are_nested_relus() -> None:
    small, large = FeatureClass(3).features(TASK.x), FeatureClass(7).features(TASK.x)
    assert small.shape == (2000, 3) and (small >= 0).all() and np.abs(large[:, :3] - small).max() < 1e-14
    steps = FeatureClass(3).features(np.eye(3) * 1e6) / 1e6  # far out the slope is what counts: relu(w)
    opposite = FeatureClass(3).features(-np.eye(3) * 1e6) / 1e6
    np.testing.assert_allclose(((steps - opposite) ** 2).sum(0), 1, atol=1e-4)


def test_risk_of_the_teacher_is_the_noise() -> None:
    assert TASK.risk(TASK.teacher) == pytest.approx(TASK.noise**2 / 2)
    at, y = TASK.sample(200_000, 0)
    assert ((y - TASK.teacher[at]) ** 2).mean() / 2 == pytest.approx(TASK.risk(TASK.teacher), rel=0.02)


def test_parts_add_up() -> None:
    model = FeatureClass(6)
    parts = error_decomposition(model, TASK, 300, steps=50, seed=3)
    total = parts.approximation + parts.generalization + parts.optimization
    assert total == pytest.approx(parts.excess, abs=1e-12)
    assert parts.approximation > 0 and parts.generalization > 0
    phi = model.features(TASK.x)
    at, y = TASK.sample(300, 3)
    erm = np.linalg.solve(phi[at].T @ phi[at], phi[at].T @ y)
    best = np.linalg.solve(phi.T @ phi, phi.T @ TASK.teacher)
    assert parts.generalization == pytest.approx(TASK.risk(phi @ erm) - TASK.risk(phi @ best), rel=1e-6)
    assert parts.approximation == pytest.approx(((phi @ best - TASK.teacher) ** 2).mean() / 2, rel=1e-6)


def test_cures() -> None:
    few, many = (error_decomposition(FeatureClass(6), TASK, 300, steps).optimization for steps in (10, 3000))
    assert abs(many) < abs(few) / 10
    narrow, wide = (error_decomposition(FeatureClass(w), TASK, 300, 0).approximation for w in (4, 30))
    assert wide < narrow / 2


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="n >= 1 and steps >= 0, got 0 and 10"):
        error_decomposition(FeatureClass(2), TASK, 0, 10)
    with pytest.raises(ArgumentError, match="width and d >= 1"):
        FeatureClass(0)


def test_tasks_and_predictions_that_do_not_fit() -> None:
    for options in ({"d": 0}, {"units": 0}, {"population": 0}, {"noise": -1.0}):
        with pytest.raises(ArgumentError, match="TeacherTask: expected"):
            TeacherTask(**options)
    with pytest.raises(ShapeError, match=r"\(3,\): expected \(2000,\)"):
        TASK.risk(np.zeros(3))
