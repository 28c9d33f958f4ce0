"""Data sets: one file each."""

from pydl.data.datasets.digits import Digits
from pydl.data.datasets.fashion_mnist import FashionMNIST
from pydl.data.datasets.image import ImageDataset
from pydl.data.datasets.mnist import MNIST

__all__ = ["MNIST", "Digits", "FashionMNIST", "ImageDataset"]
