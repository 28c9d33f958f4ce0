"""The state of a training: everything that the rest of it depends on, as one tree."""

import copy
import os
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl.errors import CheckpointError, PydlError, StorageError
from pydl.ops import get_rng_state, set_rng_state
from pydl.serialize import save
from pydl.tensor import Tensor
from pydl.train.loaders import cursor

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer

VERSION = 1
_KEYS = {"version", "model", "optimizer", "scheduler", "gradients", "rng", "loader", "exhausted", "began", "epoch",
         "batch", "step", "running", "history", "callbacks"}  # fmt: skip


def state_of(trainer: "Trainer") -> dict[str, Any]:
    """The tree. Its tensors are those of the training: copy them if it goes on before they are used."""
    return {
        "version": VERSION,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "gradients": trainer.gradients.state_dict(),
        "rng": rng_state(),
        "loader": cursor(trainer._loader),
        "exhausted": trainer._exhausted,
        "began": trainer._began,
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "step": trainer.step,
        "running": {name: meter.state_dict() for name, meter in trainer.running.items()},
        "history": trainer.history,
        "callbacks": [[type(c).__name__, c.state_dict()] for c in trainer._callbacks],
    }


def load_into(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    """Puts a tree into a trainer: all of it, or nothing. Raises: CheckpointError for the state of something else."""
    if not isinstance(state, Mapping) or set(state) != _KEYS:
        raise CheckpointError(f"Trainer: expected a state with the entries {sorted(_KEYS)}")
    if state["version"] != VERSION:
        raise CheckpointError(f"Trainer: the state is of version {state['version']}: expected {VERSION}")
    if set(state["running"]) != set(trainer.running):
        raise CheckpointError(
            f"Trainer: the state has the metrics {list(state['running'])}, not {list(trainer.running)}"
        )
    if (state["scheduler"] is None) != (trainer.scheduler is None):
        raise CheckpointError("Trainer: either the state or the trainer has a scheduler, the other one not")
    before = _copied(state_of(trainer))
    try:
        _load(trainer, state)
    except BaseException as error:
        _load(trainer, before)
        if isinstance(error, (LookupError, TypeError, AttributeError)) and not isinstance(error, PydlError):
            raise CheckpointError(f"Trainer: the state is not what state_dict gives: {error!r}") from error
        raise


def _load(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(state["scheduler"])
    trainer.gradients.load_state_dict(state["gradients"])
    for name, meter in trainer.running.items():
        meter.load_state_dict(state["running"][name])
    trainer.history = {name: list(values) for name, values in state["history"].items()}
    trainer.epoch, trainer.batch, trainer.step = state["epoch"], state["batch"], state["step"]
    trainer._began = state["began"]


def _copied(tree: Any) -> Any:
    """The tree with copies of its tensors."""
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, Mapping):
        return {k: _copied(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_copied(v) for v in tree)
    return copy.deepcopy(tree)


def rng_state() -> dict[str, Any]:
    """The states of the default generators of pydl, NumPy and Python."""
    version, numbers, gauss = random.getstate()
    return {
        "pydl": get_rng_state(),
        "numpy": np.random.get_state(legacy=False),
        "python": [version, np.array(numbers, np.uint32), gauss],
    }


def set_rng(state: Mapping[str, Any]) -> None:
    """Puts the states of `rng_state` back."""
    set_rng_state(state["pydl"])
    np.random.set_state(state["numpy"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(int(n) for n in numbers), gauss))


def write(trainer: "Trainer", path: str | os.PathLike[str]) -> None:
    """Writes the state to a file. Raises: StorageError if that cannot be done; the file then is as it was before."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        save(state_of(trainer), path)
    except OSError as error:
        if isinstance(error, PydlError):
            raise
        reason = error.strerror or str(error)
        raise StorageError(
            error.errno, f"save: {reason}: the checkpoint was not written, and what was there before is unchanged",
            os.fspath(path),
        ) from error  # fmt: skip
