"""The training loop."""

import copy
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, Literal

from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.ops import as_tensor, cat
from pydl.optim import Optimizer
from pydl.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from pydl.serialize import load
from pydl.tensor import Tensor
from pydl.train.callbacks.callback import Callback, heard, last
from pydl.train.callbacks.checkpoint import newest
from pydl.train.callbacks.progress import Progress
from pydl.train.captured import CapturedStep
from pydl.train.gradients import Gradients
from pydl.train.loaders import as_loader, length, resumed, size_of
from pydl.train.metrics import MeanLoss, Metric
from pydl.train.state import load_into, set_rng, state_of, write

__all__ = ["Trainer"]


class Trainer:
    """Trains a model by mini-batches.

    Args:
        model: called as model(x).
        loss: called as loss(prediction, target), the mean over the batch.
        optimizer: of the model's parameters.
        scheduler: a schedule of the learning rate, which steps at the end of each epoch, or after each step of the
            optimizer with schedule="step". `ReduceLROnPlateau` is given the number that `monitor` names in the
            history; None: "val_loss" with validation data, else "loss".
        metrics: computed for training and validation; a list, or a dict with the names in the history.
        penalty: called as penalty(model); what is differentiated is the loss plus it. The history has the loss alone.
        clip_norm, clip_value: gradients are scaled down to this norm; each of their elements is cut off.
        clip_adaptive: each unit's gradient is scaled down to this part of its weights; see
            `nn.utils.adaptive_clip_grad_`. It comes first, the norm of all last.
        accumulate: batches per step of the optimizer; the gradient is that of the mean over all their examples.
        autocast: a context, e.g. `pydl.amp.autocast`, around the model and the loss.
        scaler: a `pydl.amp.GradScaler` that keeps gradients of float16 from vanishing.
        closure: the optimizer's step takes a function that computes loss and gradients, as L-BFGS and SAM do.
        capture: "auto" records a whole step (see `pydl.capture`) and replays it for later batches, where nothing stands
            against it; the numbers are the same. Where gradients add up over batches, the gradients of a batch and the
            step are recorded apart. What stands against it: hooks, callbacks that look into the middle of a step,
            optimizers that decide by values, and functions that cannot be captured. `capture.reason` says so after
            `fit` has begun, and the log "pydl.train". True raises CaptureError instead; False never captures.
    Attributes:
        history: one list per name, one number per epoch: "loss", the metrics; "val_loss", ... of the validation data.
        epoch, step: finished epochs and steps. batch: batches so far in this epoch, of `batches` (None: not known).
        current: the batch under way. running: the metrics of the epoch under way, "loss" among them.
        evaluated: the model that validation, `evaluate` and `predict` use: `model` or an average of it.
        average: the average that a callback keeps, or None.
        finished: whether the newest `fit` came to its end: to its last epoch, or to a stop at the end of one.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        schedule: Literal["epoch", "step"] = "epoch",
        monitor: str | None = None,
        metrics: Sequence[Metric] | Mapping[str, Metric] = (),
        penalty: Callable[[Module], Tensor] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        clip_adaptive: float | None = None,
        accumulate: int = 1,
        autocast: AbstractContextManager[Any] | None = None,
        scaler: Any = None,
        closure: bool = False,
        capture: bool | Literal["auto"] = "auto",
    ) -> None:
        if schedule not in ("epoch", "step"):
            raise ArgumentError(f'Trainer: schedule must be "epoch" or "step", got {schedule!r}')
        if schedule == "step" and isinstance(scheduler, ReduceLROnPlateau):
            raise ArgumentError('Trainer: ReduceLROnPlateau looks at epochs: schedule must be "epoch"')
        if closure and (accumulate != 1 or scaler is not None):
            raise ArgumentError("Trainer: closure excludes accumulate and scaler")
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.schedule, self.monitor, self.penalty, self.closure = schedule, monitor, penalty, closure
        self.autocast = nullcontext() if autocast is None else autocast
        self.gradients = Gradients(model, optimizer, accumulate, scaler, clip_norm, clip_value, clip_adaptive)
        self.metrics = dict(metrics) if isinstance(metrics, Mapping) else {m.name: m for m in metrics}
        if len(self.metrics) != len(metrics) or "loss" in self.metrics:
            raise ArgumentError("Trainer: metrics need different names, none of them 'loss': pass a dict")
        self.capture = CapturedStep(capture)
        self.running = self._meters()
        self.history: dict[str, list[Any]] = {}
        self.epoch = self.step = self.batch = 0
        self.batches: int | None = None
        self.current: Any = None
        self.evaluated = model
        self.average: Module | None = None
        self.finished = False
        self._began = 0
        self._stopped = self._exhausted = self._stepped = False
        self._scale = 1.0  # of the losses, before the step under way
        self._loader: Iterable[Any] = ()
        self._callbacks: list[Callback] = []
        self.events = heard([])
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
    ) -> dict[str, list[Any]]:
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
                for self.current in batches:
                    self._call("on_batch_start")
                    self._add_gradients()
                    self._call("on_batch_end")
                    if self.gradients.full or self._stepped:
                        self._take_step()
                        if self._stopped:
                            break
                else:
                    self._finish_epoch(validation, batch_size)
            self.finished = self.batch == 0
        finally:
            self.current = None
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

    def evaluate(self, data: Any, *, batch_size: int = 32) -> dict[str, Any]:
        """The loss and the metrics on data, given as to `fit`, with the model in evaluation mode."""
        meters = self._meters()
        with _evaluating(self):
            for batch in as_loader(data, batch_size, False, "evaluate"):
                with self.autocast:
                    loss, prediction, target = self.compute(batch)
                _update(meters, size_of(batch), loss, prediction, target)
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
        with _evaluating(self), self.autocast:
            outputs = [self.model(batch) for batch in batches]
        if not outputs:
            raise ArgumentError("predict: there is no data")
        return cat(outputs)

    def models(self) -> dict[str, Module]:
        """What learns: "model", and "average" where a callback keeps one."""
        return {"model": self.model} if self.average is None else {"model": self.model, "average": self.average}

    @property
    def resuming(self) -> bool:
        """Whether a loaded state waits to be gone on with; in on_fit_start, whether this call of fit does so."""
        return self._resume is not None

    # ---- what the loop does between the lines

    def _start(self, loader: Iterable[Any], callbacks: list[Callback], epochs: int) -> None:
        """A new call of fit, or the rest of an interrupted one."""
        if epochs < 0:
            raise ArgumentError(f"fit: epochs must be >= 0, got {epochs}")
        self.events = heard(callbacks)
        self._stopped = self.finished = False
        self._scale = self.gradients.scale
        self._loader, self._callbacks = loader, callbacks
        self.evaluated, self.average = self.model, None
        self.batches = length(loader)
        if self._resume is None:
            self._began = self.epoch
            self.gradients.pending = 0
        else:
            saved = list(self._resume["callbacks"])
            for callback in callbacks:  # each takes the first state of its class
                found = next((pair for pair in saved if pair[0] == type(callback).__name__), None)
                if found is not None:
                    saved.remove(found)
                    callback.load_state_dict(found[1])
        self._call("on_fit_start")
        self.capture.start(self)
        if self._resume is not None:
            set_rng(self._resume["rng"])

    def _epoch_batches(self) -> Iterator[Any]:
        """The batches of the epoch, or those that an interrupted one had left."""
        resume, self._resume = self._resume, None
        if resume is None:
            self.batch = 0
        if self.batch == 0:
            for meter in self.running.values():
                meter.reset()
        self._exhausted = resume is not None and resume["exhausted"]
        if resume is None:
            return iter(self._loader)
        return resumed(self._loader, resume["loader"], self.batch, self._exhausted)

    def objective(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is differentiated; loss, predictions and targets of a batch."""
        with self.autocast:
            loss, prediction, target = self.compute(batch)
        return loss if self.penalty is None else loss + self.penalty(self.model), loss, prediction, target

    def _add_gradients(self) -> None:
        size = size_of(self.current)
        self.batch += 1
        whole, self._scale = self.capture.whole, self.gradients.scale
        seen = self.capture(self.current, size)
        if seen is not None:
            found = [*seen, *seen[:1] * (3 - len(seen))]  # without metrics the loss alone is known, and asked for
            self._stepped = whole
        elif self.closure:
            self.gradients.pending = 1  # they come in the step
            return
        else:
            objective, *found = self.objective(self.current)
            self.gradients.add(objective, size)
        _update(self.running, size, *found)

    def _take_step(self) -> None:
        """A step of the optimizer and what belongs to it: the schedule, saving."""
        if self._stepped or self.capture.finish():  # by a replay, together with its gradients or behind them
            stepped, self._stepped = self.gradients.scale >= self._scale, False
            self._look()
        elif self.closure:
            stepped = True
            _update(self.running, size_of(self.current), *self.step_by_closure(self.current, self._look))
        else:
            stepped = self.gradients.finish(self._look)
        self.step += 1
        if stepped and self.schedule == "step" and self.scheduler is not None:
            self.scheduler.step()
        self._call("on_step_end")
        self._call("on_save")

    def step_by_closure(self, batch: Any, look: Callable[[], None]) -> list[Tensor]:
        """A step of an optimizer that computes losses itself: loss, predictions and targets of its first look.

        Args: look: called whenever there are gradients, before they are clipped.
        """
        found: list[Tensor] = []

        def objective() -> Tensor:
            value, *seen = self.objective(batch)
            found.extend(() if found else seen)
            return value

        self.gradients.finish_by_closure(objective, look)
        return found

    def _look(self) -> None:
        self._call("on_gradients")

    def _finish_epoch(self, validation: Any, batch_size: int) -> None:
        """Puts the epoch into the history, from where on it counts as finished, and lets the schedule see it."""
        if self.batch == 0:
            raise ArgumentError("fit: there are no batches to train on (an iterator can be used for one epoch only)")
        self._exhausted = True  # a loader with a place in its data has left this epoch already
        if self.gradients.pending:
            self._take_step()
        record = {name: meter.compute() for name, meter in self.running.items()}
        if validation is not None:
            found = self.evaluate(validation, batch_size=batch_size)
            record |= {f"val_{name}": value for name, value in found.items()}
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        self.epoch += 1
        self.batch, self._exhausted = 0, False
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(
                last("Trainer", self, self.monitor or ("val_loss" if validation is not None else "loss"))
            )
        elif self.scheduler is not None and self.schedule == "epoch":
            self.scheduler.step()
        self._call("on_epoch_end")
        self._call("on_save")

    def _call(self, event: str) -> None:
        for method in self.events[event]:
            method(self)

    def _meters(self) -> dict[str, Metric]:
        meters: dict[str, Metric] = {"loss": MeanLoss(), **copy.deepcopy(self.metrics)}
        for meter in meters.values():
            meter.reset()
        return meters

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as a tree for `pydl.save`.

        Its tensors are those of the training: copy them if it goes on before they are used.
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next `fit` goes on where state was taken, to the same bits, given the same data and callbacks.

        Raises: CheckpointError, which lists what differs, if it is the state of something else; then nothing changed.
        """
        load_into(self, state)
        self._resume = {name: state[name] for name in ("rng", "loader", "exhausted", "callbacks")}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the state to a file, which is replaced as a whole once the new one is on disk; see `pydl.save`.

        Raises: StorageError, an OSError, if it cannot be written; the old file is then unchanged.
        """
        write(self, path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads the state from a file of `save`. Raises: FileFormatError, CheckpointError."""
        self.load_state_dict(load(path))

    def resume(self, path: str | os.PathLike[str]) -> bool:
        """Loads the newest file that `Checkpoint(path)` has saved. Returns: whether there was one."""
        found = newest(path)
        if found is not None:
            self.load(found)
        return found is not None


def _bar(progress: bool | None) -> list[Callback]:
    """A progress bar, if it is asked for or, where nothing is said, can be shown."""
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None
    return [Progress()] if progress else []


def _update(meters: Mapping[str, Metric], size: int, loss: Tensor, prediction: Tensor, target: Tensor) -> None:
    for meter in meters.values():
        if isinstance(meter, MeanLoss):
            meter.add_batch(loss.item(), size)
        else:
            meter.update(prediction, target)


class _evaluating:
    """Within it the evaluated model is in evaluation mode and nothing is recorded; after it each part is as it was."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.recording = no_grad()

    def __enter__(self) -> None:
        self.model, self.trainer.model = self.trainer.model, self.trainer.evaluated
        self.were_training = [m for m in self.trainer.model.modules() if m.training]
        self.recording.__enter__()
        self.trainer.model.eval()

    def __exit__(self, *exc: Any) -> None:
        self.trainer.model = self.model
        for module in self.were_training:
            module.training = True
        self.recording.__exit__(*exc)
