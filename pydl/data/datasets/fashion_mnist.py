"""Fashion-MNIST."""

from __future__ import annotations

from typing import ClassVar

from pydl.data.datasets.mnist import MNIST


class FashionMNIST(MNIST):
    """Grey images of clothing in 10 classes, 28x28 pixels: 60000 to train, 10000 to test; a harder drop-in for MNIST.

    Arguments, search order (with $PYDL_DATA/fashion-mnist and root/FashionMNIST/raw) and errors as in MNIST.

    Source: H. Xiao, K. Rasul, R. Vollgraf 2017 (arXiv:1708.07747). MIT licence, Copyright (c) 2017 Zalando SE,
        https://tech.zalando.com.
    """

    folder = "fashion-mnist"
    urls = (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }
    classes: ClassVar[list[str]] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    mean = 0.2860
    std = 0.3530
