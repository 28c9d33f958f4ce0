"""Every error that pydl raises on purpose is a PydlError, and also the built-in error that Python's users expect."""

from pydl._C import ArgumentError, BoundsError, CaptureError, DeviceError, DtypeError, PydlError, ShapeError

__all__ = [
    "ArgumentError",
    "AttributeMissingError",
    "AutogradError",
    "BoundsError",
    "CaptureError",
    "CheckpointError",
    "DeviceError",
    "DtypeError",
    "FileFormatError",
    "KeyMissingError",
    "LinAlgError",
    "MissingExtraError",
    "NonFiniteError",
    "PydlError",
    "ShapeError",
    "StorageError",
    "require",
]


class AutogradError(PydlError, RuntimeError):
    """The graph cannot be differentiated as asked."""


class AttributeMissingError(PydlError, AttributeError):
    """A module has no such part, or is not ready for one."""


class FileFormatError(PydlError, ValueError):
    """A file is truncated, of the wrong kind, or does not hold what it says."""


class StorageError(PydlError, OSError):
    """A file could not be written; what was there before is unchanged."""


class CheckpointError(PydlError, RuntimeError):
    """A state does not fit the object that it is loaded into."""


class NonFiniteError(PydlError, FloatingPointError):
    """A number that must be finite is NaN or infinite."""


class KeyMissingError(PydlError, KeyError):
    """A container has no entry of this name."""

    __str__ = Exception.__str__  # KeyError would put the message in quotes


class LinAlgError(PydlError, RuntimeError):
    """A matrix has not what an operation needs: it is singular, not positive definite, or an iteration did not end."""


class MissingExtraError(PydlError, ImportError):
    """An optional dependency is needed and not installed."""


def require(module: str, extra: str, purpose: str) -> object:
    """Imports an optional module, or says in one line what to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{purpose} needs {module}: pip install 'pydl[{extra}]'") from error
