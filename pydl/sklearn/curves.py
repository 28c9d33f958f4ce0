"""Pictures of how an estimator learned."""

from typing import Any

from pydl.errors import ArgumentError, require

__all__ = ["plot_learning_curve"]


def plot_learning_curve(estimator: Any, ax: Any = None) -> Any:
    """Draws the loss of each epoch and, if there was early stopping, the validation scores, on a second axis.

    Args:
        estimator: fitted, with loss_curve_: one of pydl.sklearn, or scikit-learn's own perceptrons.
        ax: Matplotlib's axes; None: new ones.
    Returns: the axes. Raises: ArgumentError without a curve; MissingExtraError without Matplotlib.
    """
    losses = getattr(estimator, "loss_curve_", None)
    if not losses:
        raise ArgumentError(
            f"plot_learning_curve: {type(estimator).__name__} has no loss_curve_: fit it by epochs first"
        )
    if ax is None:
        plots: Any = require("matplotlib.pyplot", "plot", "plot_learning_curve")
        ax = plots.subplots()[1]
    epochs = range(1, len(losses) + 1)
    ax.plot(epochs, losses, label="training loss")
    ax.set(xlabel="epoch", ylabel="training loss")
    scores = getattr(estimator, "validation_scores_", None)
    if scores:
        right = ax.twinx()
        right.plot(epochs, scores, color="C1", label="validation score")
        right.set_ylabel("validation score")
        ax.legend(handles=[*ax.lines, *right.lines])
    return ax
