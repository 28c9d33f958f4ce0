"""pydl as an array API namespace, version 2024.12 of the standard (https://data-apis.org/array-api/2024.12).

The arrays are pydl's tensors: `x.__array_namespace__()` gives this module. Names, signatures, special cases and
promotion are the standard's: arrays of different kinds (bool, integer, floating) do not mix, Python numbers take the
dtype of the array that they meet.

What the dtypes cannot hold: there are no complex numbers (`real` and `conj` give their input, `imag` raises DtypeError)
and of the standard's integers only uint8, int32 and int64; int8, int16, uint16, uint32 and uint64 are missing here and
in `__array_namespace_info__().dtypes()`. Outside the standard there are float16 and bfloat16. At most 8 axes. One
attribute is PyTorch's in place of the standard's: `x.size` is a method, as in torch; use `math.prod(x.shape)`.
"""

from pydl._C import bool, float32, float64, int32, int64, uint8
from pydl.xp import creation, dtypes, elementwise, linalg, manipulation, searching, statistics
from pydl.xp.creation import *
from pydl.xp.dtypes import *
from pydl.xp.elementwise import *
from pydl.xp.info import __array_namespace_info__
from pydl.xp.linalg import matmul, matrix_transpose, tensordot, vecdot
from pydl.xp.manipulation import *
from pydl.xp.searching import *
from pydl.xp.statistics import *

__array_api_version__ = "2024.12"
VERSIONS = ("2021.12", "2022.12", "2023.12", __array_api_version__)  # what a program may ask for

e = 2.718281828459045
inf = float("inf")
nan = float("nan")
newaxis = None
pi = 3.141592653589793

__all__ = [
    "__array_api_version__",
    "__array_namespace_info__",
    "bool",
    "e",
    "float32",
    "float64",
    "inf",
    "int32",
    "int64",
    "linalg",
    "matmul",
    "matrix_transpose",
    "nan",
    "newaxis",
    "pi",
    "tensordot",
    "uint8",
    "vecdot",
]
__all__ += creation.__all__
__all__ += dtypes.__all__
__all__ += elementwise.__all__
__all__ += manipulation.__all__
__all__ += searching.__all__
__all__ += statistics.__all__
