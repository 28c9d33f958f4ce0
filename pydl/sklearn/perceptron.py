"""The network and the solvers of MLPClassifier and MLPRegressor.

Source: Glorot & Bengio 2010 (first weights); Kingma & Ba 2014 (adam); Nesterov 1983 (sgd); Liu & Nocedal 1989 (lbfgs).
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from pydl import optim
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.nn import Identity, Linear, ReLU, Sequential, Sigmoid, Tanh
from pydl.ops import as_tensor, get_rng_state, set_rng_state
from pydl.sklearn.descent import Descent
from pydl.sklearn.settings import boolean, choice, number
from pydl.tensor import Tensor

__all__ = ["Perceptron"]

_ACTIVATIONS = {"identity": Identity, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}
_SMALLEST_RATE = 1e-6  # of learning_rate='adaptive', which stops there


class Perceptron(Descent):
    """Layers of units, trained by Adam, by gradient descent with momentum, or by L-BFGS."""

    module_: Sequential

    @abstractmethod
    def _checked(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """X (n, d) and targets (n, k)."""

    @abstractmethod
    def _out_activation(self) -> str:
        """The name of what follows the last layer."""

    @abstractmethod
    def _losses(self, logits: Tensor, y: Any) -> tuple[Tensor, float]:
        """(n,) losses of examples, and by what the reported loss differs from them."""

    @property
    def coefs_(self) -> list[np.ndarray[Any, Any]]:
        """(inputs, outputs) weights of each layer, as views."""
        return [layer.weight.detach().numpy().T for layer in self._layers()]

    @property
    def intercepts_(self) -> list[np.ndarray[Any, Any]]:
        """(outputs,) of each layer, as views."""
        return [layer.bias.detach().numpy() for layer in self._layers()]

    def _layers(self) -> list[Any]:
        if not hasattr(self, "module_"):
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return [layer for layer in self.module_ if isinstance(layer, Linear)]

    def _check_settings(self) -> None:
        super()._check_settings()
        choice(self, "activation", *_ACTIVATIONS)
        choice(self, "solver", "lbfgs", "sgd", "adam")
        choice(self, "learning_rate", "constant", "invscaling", "adaptive")
        for name in ("alpha", "power_t"):
            number(self, name, 0)
        for name in ("learning_rate_init", "epsilon"):
            number(self, name, 0, above=True)
        for name in ("beta_1", "beta_2"):
            number(self, name, 0, 1, below=True)
        number(self, "momentum", 0, 1)
        number(self, "max_fun", 1, whole=True)
        boolean(self, "nesterovs_momentum")

    def _sizes(self) -> list[int]:
        """Units of the hidden layers."""
        given = self.hidden_layer_sizes
        sizes = list(given) if isinstance(given, Iterable) else [given]
        if not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
            raise ArgumentError(f"{type(self).__name__}: hidden_layer_sizes must be > 0, got {given}")
        return [int(size) for size in sizes]

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> None:
        """fit, or one epoch of it."""
        self._check_settings()
        sizes = self._sizes()
        first = not hasattr(self, "module_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, incremental, first)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=X.dtype)
        self._random_state = check_random_state(self.random_state)
        if first:
            self.n_outputs_, self.n_layers_ = y.shape[1], len(sizes) + 2
            self.out_activation_ = self._out_activation()
            self._build([X.shape[1], *sizes, self.n_outputs_], X.dtype)
            self._begin()
        if self.solver == "lbfgs":
            self._minimise(X, y, weight)
        else:
            if first or not incremental or not hasattr(self, "_optimizer"):
                self._start_optimizer()
            self._descend(X, y, weight, incremental)
        if not all(np.isfinite(parameter.detach().numpy()).all() for parameter in self.module_.parameters()):
            raise ArgumentError(
                f"{type(self).__name__}: the weights are not finite any more: expected smaller numbers or a smaller "
                "learning_rate_init"
            )

    def _build(self, sizes: list[int], dtype: Any) -> None:
        """Weights and constants are uniform within sqrt(6 / (inputs + outputs)); 2 for 6 with logistic units."""
        kept = get_rng_state()  # layers are born with numbers of their own
        parts: list[Any] = []
        for before, after in zip(sizes, sizes[1:], strict=False):
            bound = math.sqrt((2 if self.activation == "logistic" else 6) / (before + after))
            weight = self._random_state.uniform(-bound, bound, (before, after)).astype(dtype)
            bias = self._random_state.uniform(-bound, bound, after).astype(dtype)
            layer = Linear(before, after, dtype=as_tensor(bias).dtype)
            layer.load_state_dict({"weight": as_tensor(weight.T.copy()), "bias": as_tensor(bias)})
            parts += [layer, _ACTIVATIONS[self.activation]()]
        set_rng_state(kept)
        self.module_ = Sequential(*parts[:-1])

    def _start_optimizer(self) -> None:
        groups = [
            {"params": [layer.weight for layer in self._layers()]},
            {"params": [layer.bias for layer in self._layers()]},
        ]
        rate = self.learning_rate_init
        if self.solver == "adam":
            self._optimizer: Any = optim.Adam(groups, lr=rate, betas=(self.beta_1, self.beta_2), eps=self.epsilon)
        else:  # velocities hold the rate of their time
            nesterov = self.nesterovs_momentum and self.momentum > 0
            self._optimizer = optim.SGD(groups, lr=rate, momentum=self.momentum, nesterov=nesterov, rate_inside=True)
        self._steps = 0

    def _learn(self, x: Any, y: Any, weight: Any) -> float:
        share = len(y) if weight is None else float(weight.sum())
        if share == 0:
            return 0.0
        self._optimizer.zero_grad()
        loss = self._backward(x, y, weight, share)
        weights, biases = self._optimizer.param_groups
        weights["weight_decay"] = self.alpha / share  # the gradient of the penalty
        if self.solver == "adam":  # scikit-learn adds epsilon before it corrects the bias of the second moment
            self._steps += 1
            weights["eps"] = biases["eps"] = self.epsilon / math.sqrt(1 - self.beta_2**self._steps)
        self._optimizer.step()
        return loss

    def _backward(self, x: Any, y: Any, weight: Any, share: float) -> float:
        """Leaves the gradient of the mean loss without its penalty; returns the reported loss with it."""
        losses, factor = self._losses(self.module_(self._input(x)), y)
        mean = (losses if weight is None else losses * as_tensor(weight)).sum() / share
        mean.backward()
        with no_grad():
            squares = sum(float((layer.weight * layer.weight).sum()) for layer in self._layers())
        return float(mean.item() * factor + 0.5 * self.alpha * squares / share)

    def _rate_ended(self) -> bool:
        if self.solver != "sgd" or self.learning_rate != "adaptive" or self._rate() <= _SMALLEST_RATE:
            return True
        self._set_rate(self._rate() / 5)
        return False

    def _epoch_ended(self, seen: int) -> None:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            self._set_rate(self.learning_rate_init / (seen + 1) ** self.power_t)

    def _rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _minimise(self, x: Any, y: Any, weight: Any) -> None:
        """L-BFGS over all examples at once."""
        share = len(y) if weight is None else float(weight.sum())
        parameters = [layer.weight for layer in self._layers()] + [layer.bias for layer in self._layers()]
        sizes = np.cumsum([parameter.numel() for parameter in parameters])[:-1]

        def put(flat: Any) -> None:
            with no_grad():
                for parameter, values in zip(parameters, np.split(flat, sizes), strict=True):
                    parameter.copy_(as_tensor(values.reshape(parameter.shape)))

        def objective(flat: Any) -> tuple[float, Any]:
            put(flat)
            self.module_.zero_grad()
            loss = self._backward(x, y, weight, share)
            gradients = [np.asarray(parameter.grad.numpy(), np.float64) for parameter in parameters]
            for k, layer in enumerate(self._layers()):
                gradients[k] = gradients[k] + self.alpha / share * layer.weight.detach().numpy()
            return loss, np.concatenate([gradient.ravel() for gradient in gradients])

        start = np.concatenate([parameter.detach().numpy().ravel().astype(np.float64) for parameter in parameters])
        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        found = minimize(objective, start, method="L-BFGS-B", jac=True, options=options)
        put(found.x)
        self.loss_, self.n_iter_ = float(found.fun), int(found.nit)
        if not found.success:
            text = f"{type(self).__name__}: lbfgs stopped after {self.n_iter_} iterations: {found.message}"
            warnings.warn(text, ConvergenceWarning, stacklevel=4)

    def _logits(self, X: Any) -> Tensor:
        """(n, k): what the last layer gives."""
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        return self._outputs(X.astype(self.intercepts_[0].dtype, copy=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
