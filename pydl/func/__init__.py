"""Transforms of functions: derivatives of all kinds, a map over examples, modules as functions. All of them nest."""

from pydl.func import batched_rules  # noqa: F401  it adds its rules
from pydl.func.call import functional_call, stack_module_state
from pydl.func.examples import per_example_grads
from pydl.func.forward import hvp, jvp, linearize
from pydl.func.mapping import vmap
from pydl.func.matrices import hessian, jacfwd, jacobian, jacrev
from pydl.func.reverse import grad, grad_and_value, value_and_grad, vjp

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "per_example_grads",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
