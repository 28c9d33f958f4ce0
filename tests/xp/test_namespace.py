"""pydl.xp against the array API standard 2024.12: names, signatures, kinds and promotion, the inspection interface."""

import inspect
import operator
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import xp
from pydl.errors import ArgumentError, DtypeError, PydlError

# The function names of the standard, by section.
STANDARD = {
    "creation": """arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril
        triu zeros zeros_like""",
    "dtypes": "astype broadcast_arrays broadcast_to can_cast finfo iinfo isdtype result_type",
    "elementwise": """abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert
        bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor
        floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2 log10
        logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal
        positive pow real reciprocal remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc""",
    "indexing": "take take_along_axis",
    "linear algebra": "matmul matrix_transpose tensordot vecdot",
    "manipulation": """concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile unstack""",
    "searching": "argmax argmin count_nonzero nonzero searchsorted where",
    "sets": "unique_all unique_counts unique_inverse unique_values",
    "sorting": "argsort sort",
    "statistics": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "utilities": "all any diff",
    "inspection": "__array_namespace_info__",
}
LINALG = """cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank
    matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm"""
FUNCTIONS = [name for names in STANDARD.values() for name in names.split()]
DTYPES = {"bool": "bool", "uint8": "integral", "int32": "integral", "int64": "integral", "float32": "real floating",
          "float64": "real floating"}  # fmt: skip


def test_every_name_of_the_standard() -> None:
    for name in [*FUNCTIONS, "e", "inf", "nan", "newaxis", "pi", *DTYPES, "__array_api_version__"]:
        assert hasattr(xp, name) and name in xp.__all__, name
    for name in LINALG.split():
        assert hasattr(xp.linalg, name) and name in xp.linalg.__all__, name
    assert set(xp.__all__) - set(FUNCTIONS) <= {
        *DTYPES,
        "e",
        "inf",
        "nan",
        "newaxis",
        "pi",
        "linalg",
        "__array_api_version__",
    }
    assert (xp.e, xp.pi, xp.inf, xp.newaxis) == (np.e, np.pi, np.inf, None) and np.isnan(xp.nan)


@pytest.mark.parametrize("space", ["", "linalg"])
def test_signatures_are_the_strict_ones(space: str) -> None:
    """Names, kinds and defaults of all arguments, as in the standard's own reference implementation."""
    strict = pytest.importorskip("array_api_strict")
    ours, theirs = (getattr(xp, space), getattr(strict, space)) if space else (xp, strict)
    for name in LINALG.split() if space else FUNCTIONS:
        mine = inspect.signature(getattr(ours, name)).parameters
        other = inspect.signature(getattr(theirs, name)).parameters
        assert [(p.name, p.kind) for p in mine.values()] == [(p.name, p.kind) for p in other.values()], name
        for p, q in zip(mine.values(), other.values(), strict=True):
            assert p.default == q.default or "Undef" in repr(q.default), (name, p.name)


def test_inspection() -> None:
    info = xp.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}
    assert info.default_device() == pydl.device("cpu") and info.devices() == [pydl.device("cpu")]
    default = {"real floating": xp.float32, "integral": xp.int64, "indexing": xp.int64}
    assert info.default_dtypes() == info.default_dtypes(device="cpu") == default
    assert set(info.dtypes()) == set(DTYPES) and all(d is getattr(xp, n) for n, d in info.dtypes().items())
    for kind in (
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    ):
        known = np.__array_namespace_info__().dtypes(kind=kind)
        assert set(info.dtypes(kind=kind)) == set(known) & set(DTYPES), kind
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    with pytest.raises(ArgumentError, match="expected a dtype or one of"):
        info.dtypes(kind="quaternion")
    pydl.set_default_dtype(pydl.float64)
    try:
        assert info.default_dtypes()["real floating"] is xp.float64 is xp.zeros(2).dtype is xp.asarray(1.5).dtype
        assert xp.linspace(0, 1, 3).dtype is xp.eye(2).dtype is xp.float64
    finally:
        pydl.set_default_dtype(pydl.float32)


def test_arrays_know_their_namespace() -> None:
    x = pydl.ones(2, 3)
    assert x.__array_namespace__() is xp is x.__array_namespace__(api_version="2024.12")
    assert x.__array_namespace__(api_version="2022.12") is xp
    with pytest.raises(ArgumentError, match="api_version must be one of"):
        x.__array_namespace__(api_version="2099.12")
    assert x.to_device("cpu") is x and x.to_device(x.device, stream=None) is x and x.mT.shape == x.T.shape == (3, 2)
    with pytest.raises(ArgumentError, match="streams"):
        x.to_device("cpu", stream=1)
    assert x.ndim == 2 and x.shape == (2, 3) and x.dtype is xp.float32 and isinstance(hash(x.device), int)
    assert operator.index(pydl.tensor(3)) == 3 and complex(pydl.tensor(2.0)) == 2 + 0j and bool(pydl.tensor(True))
    for name in ("abs", "add", "and", "array_namespace", "bool", "complex", "dlpack", "dlpack_device", "eq", "float",
                 "floordiv", "ge", "getitem", "gt", "index", "int", "invert", "le", "lt", "matmul", "mod", "mul", "ne",
                 "neg", "or", "pos", "pow", "setitem", "sub", "truediv", "xor"):  # fmt: skip
        assert name == "complex" or hasattr(pydl.Tensor, f"__{name}__"), name
        if name in ("add", "and", "floordiv", "matmul", "mod", "mul", "or", "pow", "sub", "truediv", "xor"):
            assert hasattr(pydl.Tensor, f"__r{name}__"), name


# ---------------------------------------------------------------- dtypes


def test_promotion_is_numpys_within_a_kind() -> None:
    """And an error between kinds."""
    for a, kind in DTYPES.items():
        for b, other in DTYPES.items():
            x, y = xp.ones(2, dtype=getattr(xp, a)), xp.ones(2, dtype=getattr(xp, b))
            if kind == other:
                expected = getattr(xp, np.result_type(a, b).name)
                assert xp.result_type(x.dtype, y.dtype) is xp.result_type(x, y) is expected
                if kind != "bool":
                    assert xp.add(x, y).dtype is expected
                assert xp.can_cast(x, y.dtype) == np.can_cast(a, b)
            else:
                for call in (xp.result_type, xp.add, xp.equal):
                    with pytest.raises(DtypeError, match=r"do not promote|expected a dtype"):
                        call(x, y)
                assert not xp.can_cast(x, y.dtype)
    with pytest.raises(ArgumentError):
        xp.result_type(1, 2.0)


@pytest.mark.parametrize("name", DTYPES)
def test_python_numbers(name: str) -> None:
    """They take the dtype of the array; those of a higher kind are refused."""
    x = xp.ones(3, dtype=getattr(xp, name))
    allowed = {"bool": (True,), "integral": (2,), "real floating": (2, 2.5)}[DTYPES[name]]
    for value in (True, 2, 2.5):
        if value in allowed and type(value) in map(type, allowed):
            assert xp.equal(x, value).shape == (3,) and xp.result_type(x, value) is x.dtype
            assert xp.where(x == x, value, x).dtype is x.dtype
            if name != "bool":
                assert xp.multiply(value, x).dtype is x.dtype and xp.clip(x, value).dtype is x.dtype
        else:
            for call in (lambda v: xp.equal(x, v), lambda v: xp.equal(v, x), lambda v: xp.result_type(x, v)):
                with pytest.raises(DtypeError, match="expected a number of the same kind"):
                    call(value)
    with pytest.raises(DtypeError, match="expected at least one array"):
        xp.add(1, 2)
    with pytest.raises(DtypeError, match="expected an array or a number, got str"):
        xp.equal(x, "a")


def test_kinds_and_limits() -> None:
    for name in ("float32", "float64", "float16"):
        ours, theirs = xp.finfo(getattr(pydl, name)), np.finfo(name)
        for fact in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(ours, fact) == getattr(theirs, fact), (name, fact)
        assert ours.dtype is getattr(pydl, name)
    half = xp.finfo(pydl.bfloat16)
    assert (half.bits, half.eps, half.max) == (16, 2.0**-7, 3.3895313892515355e38)
    for name in ("uint8", "int32", "int64"):
        ours, theirs = xp.iinfo(xp.ones(1, dtype=getattr(xp, name))), np.iinfo(name)
        assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)
    for wrong in (
        lambda: xp.finfo(xp.int64),
        lambda: xp.iinfo(xp.float32),
        lambda: xp.finfo(3),
        lambda: xp.isdtype(3, "bool"),
    ):
        with pytest.raises(DtypeError):
            wrong()
    assert xp.isdtype(xp.float32, xp.float32) and not xp.isdtype(xp.float32, (xp.float64, "integral"))
    x = xp.ones(3)
    assert xp.astype(x, xp.float32, copy=False) is x and xp.astype(x, xp.float32) is not x
    assert xp.astype(x, xp.int64, device="cpu").dtype is xp.int64


KINDS = {"bool": "logical_and logical_not", "integral": "bitwise_left_shift", "real floating":
         "sin exp log sqrt divide atan2 hypot logaddexp reciprocal copysign signbit nextafter"}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in KINDS.items() for n in names.split()])
def test_functions_refuse_other_kinds(kind: str, name: str) -> None:
    function = getattr(xp, name)
    count = sum(p.kind is p.POSITIONAL_ONLY for p in inspect.signature(function).parameters.values())
    for d, its in DTYPES.items():
        x = xp.ones(2, dtype=getattr(xp, d))
        if its == kind:
            assert function(*[x] * count).shape == (2,)
        else:
            with pytest.raises(DtypeError, match=f"{name}: expected a dtype that is {kind}, got"):
                function(*[x] * count)
    with pytest.raises(DtypeError, match="expected"):
        function(*[np.ones(2)] * count)


def test_complex_parts() -> None:
    x = xp.asarray([1.0, -2.0])
    assert xp.real(x) is x and xp.conj(x) is x
    with pytest.raises(DtypeError, match="imag: expected a complex dtype"):
        xp.imag(x)


def test_everything_raises_typed_errors() -> None:
    """Calls with arguments that fit nothing."""
    wrong: list[Any] = [None, "a", object(), [1, 2], np.ones(2)]
    for name in FUNCTIONS:
        function = getattr(xp, name)
        count = sum(
            p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
            for p in inspect.signature(function).parameters.values()
        )
        if name in STANDARD["creation"].split() or not count:  # which take lists and numbers
            continue
        for value in wrong:
            with pytest.raises(PydlError):
                function(*[value] * count)


def test_importing_pydl_does_not_import_it() -> None:
    import subprocess
    import sys

    code = "import sys, pydl; print('pydl.xp' in sys.modules); pydl.ones(1).__array_namespace__().sum"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
