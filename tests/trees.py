"""What the tests of save and load share: tensors of every dtype, and the comparison of trees."""

import json

import numpy as np

import pydl

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"]


def values(dtype, shape=(2, 3)):
    numbers = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape)
    return pydl.tensor(numbers, dtype=getattr(pydl, dtype))


def same(a, b):
    if isinstance(a, pydl.Tensor):
        return isinstance(b, pydl.Tensor) and a.dtype is b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def entry(begin=0, end=16, shape=(4,), dtype="F32"):
    """What a header says of one entry."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def with_header(header, data=b"\0" * 16):
    """A file of a header, a dict or the very bytes, and its numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data
