"""Linear models, with scikit-learn's names: settings are stored unchanged, learned values end in an underscore."""

from pydl.linear_model.least_squares import LinearRegression, Ridge
from pydl.linear_model.logistic import LogisticObjective, LogisticRegression
from pydl.linear_model.perceptron import Perceptron

__all__ = ["LinearRegression", "LogisticObjective", "LogisticRegression", "Perceptron", "Ridge"]
