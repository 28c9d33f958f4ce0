"""The training loop."""

import copy
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pydl.autograd import no_grad
from pydl.errors import ArgumentError, CheckpointError
from pydl.nn import Module
from pydl.nn.utils import clip_grad_norm_
from pydl.ops import as_tensor, cat, get_rng_state, set_rng_state
from pydl.optim import Optimizer
from pydl.optim.lr_scheduler import LRScheduler
from pydl.serialize import load, save
from pydl.tensor import Tensor
from pydl.train.callbacks import Callback, Progress
from pydl.train.loaders import as_loader, cursor, length, resumed, size_of
from pydl.train.metrics import MeanLoss, Metric

__all__ = ["Trainer"]

_STATE_KEYS = {"model", "optimizer", "scheduler", "rng", "loader", "began", "epoch", "batch", "step", "running",
               "history", "callbacks"}  # fmt: skip


class Trainer:
    """Trains a model by mini-batches.

    Args:
        model: called as model(x).
        loss: called as loss(prediction, target), the mean over the batch.
        optimizer: of the model's parameters.
        scheduler: steps at the end of each epoch.
        metrics: computed for training and validation; a list, or a dict with the names in the history.
        clip_norm: gradients are scaled down to this norm.
    Attributes:
        history: one list per name, one number per epoch: "loss", the metrics; "val_loss", ... of the validation data.
        epoch, step: finished epochs and steps. batch: batches so far in this epoch, of `batches` (None: not known).
        running: the metrics of the epoch under way, "loss" among them.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        metrics: Sequence[Metric] | Mapping[str, Metric] = (),
        clip_norm: float | None = None,
    ) -> None:
        if clip_norm is not None and not clip_norm > 0:
            raise ArgumentError(f"Trainer: clip_norm must be > 0, got {clip_norm}")
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.clip_norm = clip_norm
        self.metrics = dict(metrics) if isinstance(metrics, Mapping) else {m.name: m for m in metrics}
        if len(self.metrics) != len(metrics) or "loss" in self.metrics:
            raise ArgumentError("Trainer: metrics need different names, none of them 'loss': pass a dict")
        self.running = self._meters()
        self.history: dict[str, list[float]] = {}
        self.epoch = self.step = self.batch = 0
        self.batches: int | None = None
        self._began = 0
        self._stopped = False
        self._loader: Iterable[Any] = ()
        self._callbacks: list[Callback] = []
        self._resume: dict[str, Any] | None = None

    def fit(
        self,
        train: Any,
        epochs: int,
        *,
        validation: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
    ) -> dict[str, list[float]]:
        """Trains for a number of epochs.

        Args:
            train: (x, y) arrays or tensors, a dataset, or batches (x, y), e.g. a DataLoader. validation: likewise.
            epochs: how many; after `load`, those that the interrupted call had finished count.
            progress: show a bar; None: if tqdm is installed and the output is a terminal.
        Returns: the history. Raises: ArgumentError if there is nothing to train on.
        """
        self._start(as_loader(train, batch_size, shuffle, "fit"), [*callbacks, *_bar(progress)], epochs)
        try:
            while self.epoch < self._began + epochs and not self._stopped:
                batches = self._epoch_batches()
                self._call("on_epoch_start")
                self.model.train()
                for batch in batches:
                    self.optimizer.zero_grad()
                    loss, prediction, target = self.compute(batch)
                    loss.backward()
                    if self.clip_norm is not None:
                        clip_grad_norm_(self.model.parameters(), self.clip_norm)
                    self.optimizer.step()
                    self._count(batch, loss, prediction, target)
                    self._call("on_step_end")
                    if self._stopped:
                        break
                else:
                    self._finish_epoch(validation, batch_size)
                    self._call("on_epoch_end")
        finally:
            self._call("on_fit_end")
        return self.history

    def compute(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, predictions and targets of a batch. A subclass may take batches of another form apart."""
        x, y = batch
        prediction = self.model(x)
        return self.loss(prediction, y), prediction, y

    def stop(self) -> None:
        """Ends the training after the step under way. An epoch cut off by it is finished by a resumed `fit` only."""
        self._stopped = True

    def evaluate(self, data: Any, *, batch_size: int = 32) -> dict[str, float]:
        """The loss and the metrics on data, given as to `fit`, with the model in evaluation mode."""
        meters = self._meters()
        with _evaluating(self.model):
            for batch in as_loader(data, batch_size, False, "evaluate"):
                loss, prediction, target = self.compute(batch)
                _update(meters, batch, loss, prediction, target)
        if not meters["loss"].count:
            raise ArgumentError("evaluate: there is no data")
        return {name: meter.compute() for name, meter in meters.items()}

    def predict(self, x: Any, *, batch_size: int = 32) -> Tensor:
        """(n, ...): the model's outputs in evaluation mode.

        Args: x: one array or tensor (n, ...), or an iterable of batches, x or (x, ...).
        """
        if not hasattr(x, "shape"):
            batches = (b[0] if isinstance(b, (list, tuple)) else b for b in as_loader(x, batch_size, False, "predict"))
        else:
            whole = as_tensor(x)
            batches = (whole[i : i + batch_size] for i in range(0, max(whole.shape[0], 1), batch_size))
        with _evaluating(self.model):
            outputs = [self.model(batch) for batch in batches]
        if not outputs:
            raise ArgumentError("predict: there is no data")
        return cat(outputs)

    # ---- what the loop does between the lines

    def _start(self, loader: Iterable[Any], callbacks: list[Callback], epochs: int) -> None:
        """A new call of fit, or the rest of an interrupted one."""
        if epochs < 0:
            raise ArgumentError(f"fit: epochs must be >= 0, got {epochs}")
        self._stopped = False
        self._loader, self._callbacks = loader, callbacks
        self.batches = length(loader)
        if self._resume is None:
            self._began = self.epoch
        else:
            saved = list(self._resume["callbacks"])
            for callback in callbacks:  # each takes the first state of its class
                found = next((pair for pair in saved if pair[0] == type(callback).__name__), None)
                if found is not None:
                    saved.remove(found)
                    callback.load_state_dict(found[1])
        self._call("on_fit_start")
        if self._resume is not None:
            set_rng_state(self._resume["rng"])

    def _epoch_batches(self) -> Iterator[Any]:
        """The batches of the epoch, or those that an interrupted one had left."""
        resume, self._resume = self._resume, None
        if resume is None:
            self.batch = 0
        if self.batch == 0:
            for meter in self.running.values():
                meter.reset()
        return iter(self._loader) if resume is None else resumed(self._loader, resume["loader"], self.batch)

    def _count(self, batch: Any, loss: Tensor, prediction: Tensor, target: Tensor) -> None:
        self.step += 1
        self.batch += 1
        _update(self.running, batch, loss, prediction, target)

    def _finish_epoch(self, validation: Any, batch_size: int) -> None:
        """Puts the epoch into the history; from here on it counts as finished."""
        if self.batch == 0:
            raise ArgumentError("fit: there are no batches to train on (an iterator can be used for one epoch only)")
        if self.scheduler is not None:
            self.scheduler.step()
        record = {name: meter.compute() for name, meter in self.running.items()}
        if validation is not None:
            found = self.evaluate(validation, batch_size=batch_size)
            record |= {f"val_{name}": value for name, value in found.items()}
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        self.epoch += 1
        self.batch = 0

    def _call(self, event: str) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self)

    def _meters(self) -> dict[str, Metric]:
        meters: dict[str, Metric] = {"loss": MeanLoss(), **copy.deepcopy(self.metrics)}
        for meter in meters.values():
            meter.reset()
        return meters

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as a tree for `pydl.save`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "rng": get_rng_state(),
            "loader": cursor(self._loader),
            "began": self._began,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "running": {name: meter.state_dict() for name, meter in self.running.items()},
            "history": self.history,
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self._callbacks],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next `fit` goes on where state was taken, to the same bits, given the same data and callbacks.

        Raises: CheckpointError if it is the state of something else.
        """
        if not isinstance(state, Mapping) or set(state) != _STATE_KEYS:
            raise CheckpointError(f"Trainer: expected a state with the entries {sorted(_STATE_KEYS)}")
        if set(state["running"]) != set(self.running):
            raise CheckpointError(
                f"Trainer: the state has the metrics {list(state['running'])}, not {list(self.running)}"
            )
        if (state["scheduler"] is None) != (self.scheduler is None):
            raise CheckpointError("Trainer: either the state or the trainer has a scheduler, the other one not")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for name, meter in self.running.items():
            meter.load_state_dict(state["running"][name])
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self._began = state["began"]
        self._resume = {name: state[name] for name in ("rng", "loader", "callbacks")}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the state to a file; see `pydl.save`."""
        save(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads the state from a file of `save`. Raises: FileFormatError, CheckpointError."""
        self.load_state_dict(load(path))


def _bar(progress: bool | None) -> list[Callback]:
    """A progress bar, if it is asked for or, where nothing is said, can be shown."""
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None
    return [Progress()] if progress else []


def _update(meters: Mapping[str, Metric], batch: Any, loss: Tensor, prediction: Tensor, target: Tensor) -> None:
    for meter in meters.values():
        if isinstance(meter, MeanLoss):
            meter.add_batch(loss.item(), size_of(batch))
        else:
            meter.update(prediction, target)


class _evaluating:
    """Within it the model is in evaluation mode and nothing is recorded; after it each part is as it was."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.recording = no_grad()

    def __enter__(self) -> None:
        self.were_training = [m for m in self.model.modules() if m.training]
        self.recording.__enter__()
        self.model.eval()

    def __exit__(self, *exc: Any) -> None:
        for module in self.were_training:
            module.training = True
        self.recording.__exit__(*exc)
