"""Streaming metrics: batches of any sizes give the value of the whole, equal to scikit-learn's."""

from pydl.train.metrics.counting import F1, Accuracy, ConfusionMatrix, FBeta, Precision, Recall, TopKAccuracy
from pydl.train.metrics.metric import MeanLoss, MeanMetric, Metric
from pydl.train.metrics.probability import LogLoss, Perplexity
from pydl.train.metrics.ranking import ROCAUC, AveragePrecision
from pydl.train.metrics.regression import MAE, MSE, R2, RMSE

__all__ = [
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "FBeta",
    "LogLoss",
    "MeanLoss",
    "MeanMetric",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "TopKAccuracy",
]
