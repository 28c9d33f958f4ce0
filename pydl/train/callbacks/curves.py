"""Pictures of the history."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError, require
from pydl.train.callbacks.callback import Callback, is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pydl.train.trainer import Trainer


def plot_history(history: Mapping[str, Sequence[Any]], figure: "Figure | None" = None) -> "Figure":
    """A picture with one panel for each name in the history, training and validation in it together.

    Args: figure: drawn into; None: a new one, which `savefig` writes to a file.
    Raises: ArgumentError if there is nothing to draw; MissingExtraError without matplotlib.
    """
    drawn = [name for name, values in history.items() if values and all(map(is_number, values))]
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in drawn))
    if not panels:
        raise ArgumentError("plot_history: the history has no numbers: train for an epoch first")
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    if figure is None:
        made: Any = require("matplotlib.figure", "plot", "a picture")
        figure = made.Figure(figsize=(5 * columns, 3.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        for name, label, style in ((panel, "training", "-"), (f"val_{panel}", "validation", "--")):
            if name in drawn:
                epochs = range(1, len(history[name]) + 1)
                axis.plot(epochs, [float(v) for v in history[name]], style, marker=".", label=label)
        axis.set(title=panel, xlabel="epoch")
        axis.legend()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


class LearningCurves(Callback):
    """Writes `plot_history` to a file at the end of epochs and of the training.

    Args: path: with the ending of a format that matplotlib writes. every: epochs between pictures.
    Raises: MissingExtraError without matplotlib.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        if every < 1:
            raise ArgumentError(f"LearningCurves: every must be >= 1, got {every}")
        require("matplotlib.figure", "plot", "a picture")
        self.path, self.every = os.fspath(path), every

    def on_epoch_end(self, trainer: "Trainer") -> None:
        if trainer.epoch % self.every == 0:
            self._draw(trainer)

    def on_fit_end(self, trainer: "Trainer") -> None:
        if trainer.history and trainer.epoch % self.every:
            self._draw(trainer)

    def _draw(self, trainer: "Trainer") -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        plot_history(trainer.history).savefig(self.path, dpi=120)
