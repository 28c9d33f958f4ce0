"""The adding problem and the copy task: what is asked is what is marked."""

import numpy as np
import pytest

from pydl.data.memory_tasks import adding_problem, copy_task
from pydl.errors import ArgumentError


def test_adding_problem() -> None:
    x, y = adding_problem(2000, 11, np.random.default_rng(0))
    a = x.numpy()
    assert a.shape == (2000, 11, 2) and a.dtype == np.float32 and y.shape == (2000,)
    assert (a[:, :5, 1].sum(1) == 1).all() and (a[:, 5:, 1].sum(1) == 1).all()
    np.testing.assert_allclose(y.numpy(), (a[..., 0] * a[..., 1]).sum(1), rtol=1e-6)
    assert abs(np.mean((y.numpy() - 1) ** 2) - 1 / 6) < 0.02
    assert set(np.argmax(a[..., 1], axis=1)) == set(range(5))


def test_copy_task() -> None:
    x, y = copy_task(50, 7, np.random.default_rng(0), length=4, symbols=5)
    a, b = x.numpy(), y.numpy()
    assert a.shape == b.shape == (50, 15)
    np.testing.assert_array_equal(a[:, :4], b[:, -4:])
    assert set(a[:, :4].ravel()) == {1, 2, 3, 4, 5}
    assert (a[:, 4:10] == 0).all() and (a[:, 10] == 6).all() and (a[:, 11:] == 0).all() and not b[:, :-4].any()


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="at least 2 steps"):
        adding_problem(3, 1, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="positive numbers"):
        copy_task(3, 0, np.random.default_rng(0))
