"""Networks as scikit-learn estimators: for pipelines, grid search, cross validation. Needs the `sklearn` extra."""

from pydl.sklearn.available import *
from pydl.sklearn.curves import plot_learning_curve
from pydl.sklearn.mlp import MLPClassifier, MLPRegressor
from pydl.sklearn.neural import NeuralClassifier, NeuralRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NeuralClassifier", "NeuralRegressor", "plot_learning_curve"]
