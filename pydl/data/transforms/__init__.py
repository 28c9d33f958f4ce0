"""Augmentation: seeded changes of images, a batch at once. Names and defaults are those of torchvision's transforms."""

from pydl.data.transforms.affine import RandomAffine, RandomRotation, affine
from pydl.data.transforms.color import ColorJitter, Grayscale, PCAColor, RandomGrayscale
from pydl.data.transforms.convert import Normalize, ToTensor
from pydl.data.transforms.erase import Cutout, RandomErasing
from pydl.data.transforms.geometry import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
    RandomVerticalFlip,
)
from pydl.data.transforms.mix import CutMix, MixUp
from pydl.data.transforms.resize import RandomResizedCrop, Resize
from pydl.data.transforms.transform import Compose, Lambda, RandomApply, Transform
from pydl.data.transforms.transformed import TransformedDataset

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "Grayscale",
    "Lambda",
    "MixUp",
    "Normalize",
    "PCAColor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
    "Transform",
    "TransformedDataset",
    "affine",
]
