"""Data: datasets, samplers, the loader, synthetic problems. Names and defaults are those of torch.utils.data."""

from pydl.data import datasets, synthetic, transforms
from pydl.data.collate import default_collate, default_convert
from pydl.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from pydl.data.datasets import MNIST, Digits, FashionMNIST
from pydl.data.idx import read_idx
from pydl.data.loader import DataLoader
from pydl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from pydl.data.worker import WorkerInfo, batch_rng, get_worker_info

__all__ = [
    "MNIST",
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "batch_rng",
    "datasets",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
    "read_idx",
    "synthetic",
    "transforms",
]
