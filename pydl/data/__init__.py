"""Data: datasets, samplers, the loader, synthetic problems. Names and defaults are those of torch.utils.data."""

from pydl.data import datasets, synthetic, text, transforms
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
from pydl.data.datasets import MNIST, Digits, FashionMNIST, Sunspots, TinyShakespeare
from pydl.data.idx import read_idx
from pydl.data.loader import DataLoader
from pydl.data.padding import BucketBatchSampler, PadCollate, key_padding_mask
from pydl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from pydl.data.windows import BPTTBatches, SlidingWindows, TokenWindows
from pydl.data.worker import WorkerInfo, batch_rng, get_worker_info

__all__ = [
    "MNIST",
    "BPTTBatches",
    "BatchSampler",
    "BucketBatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "IterableDataset",
    "PadCollate",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SlidingWindows",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "Sunspots",
    "TensorDataset",
    "TinyShakespeare",
    "TokenWindows",
    "WeightedRandomSampler",
    "WorkerInfo",
    "batch_rng",
    "datasets",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "key_padding_mask",
    "random_split",
    "read_idx",
    "synthetic",
    "text",
    "transforms",
]
