"""Data sets: one file each."""

from pydl.data.datasets.digits import Digits
from pydl.data.datasets.fashion_mnist import FashionMNIST
from pydl.data.datasets.image import ImageDataset
from pydl.data.datasets.mnist import MNIST
from pydl.data.datasets.sunspots import Sunspots
from pydl.data.datasets.tinyshakespeare import TinyShakespeare

__all__ = ["MNIST", "Digits", "FashionMNIST", "ImageDataset", "Sunspots", "TinyShakespeare"]
