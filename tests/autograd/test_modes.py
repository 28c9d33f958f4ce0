"""Recording on and off, detach, hooks."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import grad
from pydl.errors import AutogradError, DtypeError

is_on = pydl.is_grad_enabled


def leaf(values: Any = (1.0, 2.0, 3.0)) -> pydl.Tensor:
    return pydl.tensor(np.asarray(values, dtype=np.float64)).requires_grad_()


# ---------------------------------------------------------------- modes


def test_no_grad_records_nothing() -> None:
    x = leaf()
    with pydl.no_grad():
        y = x * x
    assert not y.requires_grad and y.is_leaf and is_on()


def test_nesting() -> None:
    with pydl.no_grad():
        assert not is_on()
        with pydl.enable_grad():
            assert is_on()
            with pydl.no_grad():
                assert not is_on()
            assert is_on()
        assert not is_on()
    assert is_on()


def test_one_context_object_twice() -> None:
    context = pydl.no_grad()
    with context, context:
        assert not is_on()
    assert is_on()


@pytest.mark.parametrize("decorate", [pydl.no_grad, pydl.no_grad(), pydl.inference_mode, pydl.inference_mode()])
def test_decorators(decorate: Any) -> None:
    @decorate
    def inner(a: int, *, b: int) -> tuple[bool, int]:
        """The name and text stay."""
        return is_on(), a + b

    assert inner(1, b=2) == (False, 3) and inner.__name__ == "inner" and is_on()
    with pydl.no_grad():
        assert pydl.enable_grad()(is_on)()


def test_decorated_generator_holds_the_mode_only_while_it_runs() -> None:
    seen = []

    @pydl.no_grad()
    def items() -> Iterator[bool]:
        try:
            got = yield is_on()
            seen.append(got)
            yield is_on()
        except ValueError:
            yield is_on()
        finally:
            seen.append(is_on())

    g = items()
    assert next(g) is False and is_on()
    assert g.send("sent") is False and is_on()
    assert g.throw(ValueError()) is False and is_on()
    g.close()
    assert seen == ["sent", False] and is_on()
    assert list(items()) == [False, False] and is_on()


def test_exception_restores_the_mode() -> None:
    with pytest.raises(ZeroDivisionError), pydl.no_grad():
        _ = 1 / 0
    assert is_on()


def test_set_grad_enabled() -> None:
    pydl.set_grad_enabled(False)
    try:
        assert not is_on()
    finally:
        pydl.set_grad_enabled(True)
    with pydl.set_grad_enabled(False):
        assert not is_on()
        with pydl.set_grad_enabled(True):
            assert is_on()
        assert not is_on()
    assert is_on()

    @pydl.set_grad_enabled(False)
    def inner() -> bool:
        return is_on()

    assert is_on() and not inner() and is_on()


def test_inference_mode() -> None:
    with pydl.inference_mode():
        assert pydl.is_inference_mode_enabled() and not is_on()
        with pydl.inference_mode(False):
            assert not pydl.is_inference_mode_enabled() and is_on()
        assert not (leaf() * 2).requires_grad
    assert not pydl.is_inference_mode_enabled() and is_on()


def test_mode_belongs_to_a_thread() -> None:
    seen = []
    with pydl.no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_on()))
        thread.start()
        thread.join()
        assert not is_on()
    assert seen == [True]


def test_grad_works_within_no_grad() -> None:
    x = leaf()
    y = (x * x).sum()
    with pydl.no_grad():
        (g,) = grad(y, x, create_graph=True)
        assert not is_on()
    assert g.requires_grad


# ---------------------------------------------------------------- leaves


def test_detach_shares_memory_and_has_no_graph() -> None:
    x = leaf()
    d = (x * 1.0).detach()
    assert d.is_leaf and not d.requires_grad
    assert np.shares_memory(x.detach().numpy(), x.data.numpy())
    assert not (x.detach() * 2).requires_grad


def test_requires_grad_() -> None:
    with pytest.raises(DtypeError, match="floating"):
        pydl.tensor([1, 2]).requires_grad_()
    with pytest.raises(AutogradError, match="detach"):
        (leaf() * 2).requires_grad_(False)
    assert not leaf().requires_grad_(False).requires_grad


@pytest.mark.parametrize("make", [pydl.zeros, pydl.ones, pydl.empty])
def test_integers_cannot_require_gradients(make: Any) -> None:
    with pytest.raises(DtypeError, match="floating"):
        make(2, dtype=pydl.int64, requires_grad=True)


def test_integer_results_have_no_graph() -> None:
    x = leaf()
    for y in (x > 1, x.argmax(), x.to(pydl.int64), x.isnan()):
        assert not y.requires_grad


def test_retain_grad() -> None:
    x = leaf()
    h = x * 2
    h.retain_grad()
    h.retain_grad()  # once more changes nothing
    x.retain_grad()  # a leaf: nothing to do
    (h * h).sum().backward()
    np.testing.assert_array_equal(h.grad.numpy(), 4 * x.detach().numpy())
    np.testing.assert_array_equal(x.grad.numpy(), 8 * x.detach().numpy())


# ---------------------------------------------------------------- hooks


def test_leaf_hook_sees_the_sum_once() -> None:
    x, seen = leaf(), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3 + x).sum().backward()
    assert seen == [[6.0, 6.0, 6.0]]
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_leaf_hook_replaces_what_is_added() -> None:
    x = leaf()
    (x * 1.0).sum().backward()
    x.register_hook(lambda g: g * 10)
    (x * 2 + x).sum().backward()
    assert x.grad.tolist() == [31.0] * 3
    assert grad((x * 2 + x).sum(), x)[0].tolist() == [30.0] * 3


def test_result_hooks_run_in_order_and_replace() -> None:
    x, seen = leaf(), []
    h = x * 2
    h.register_hook(lambda g: (seen.append(g.tolist()), g + 1)[1])
    h.register_hook(lambda g: seen.append(g.tolist()))
    (h * 3 + h).sum().backward()
    assert seen == [[4.0] * 3, [5.0] * 3]
    assert x.grad.tolist() == [10.0] * 3


def test_hook_is_removed() -> None:
    x, seen = leaf(), []
    handle = x.register_hook(seen.append)
    handle.remove()
    handle.remove()
    with x.register_hook(lambda g: g * 0):
        (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert not seen and x.grad.tolist() == [2.0] * 3


def test_hook_that_keeps_the_gradient_holds_its_own() -> None:
    x, kept = leaf(), []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    with pydl.no_grad():
        x.grad.zero_()
    assert kept[0].tolist() == [2.0] * 3


def test_hook_gradient_can_be_differentiated() -> None:
    x = leaf()
    x.register_hook(lambda g: g * g)
    (g,) = grad((x * x).sum(), x, create_graph=True)
    (gg,) = grad(g.sum(), x)  # d/dx (2x)^2 = 8x, then squared by the hook
    np.testing.assert_allclose(gg.numpy(), (8 * x.detach().numpy()) ** 2)


def test_hook_needs_a_gradient() -> None:
    with pytest.raises(AutogradError):
        pydl.ones(2).register_hook(lambda g: g)
    x = leaf()
    x.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        x.sum().backward()
    assert is_on()
