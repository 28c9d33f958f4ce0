"""What the namespace can do, for programs to ask."""

from typing import Any

from pydl import _C
from pydl.ops.create import as_device, default_dtype
from pydl.xp.dtypes import DTYPES, isdtype

Device = _C.device | str | None


class Info:
    """The standard's inspection interface."""

    def capabilities(self) -> dict[str, Any]:
        """Whether boolean indexing and shapes that depend on values work, and how many axes there may be."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> _C.device:
        """Where arrays are made if nothing is said."""
        return as_device(None)

    def default_dtypes(self, *, device: Device = None) -> dict[str, _C.dtype]:
        """The dtypes that are taken if none is given. There is no complex one."""
        as_device(device)
        return {"real floating": default_dtype(), "integral": _C.int64, "indexing": _C.int64}

    def dtypes(self, *, device: Device = None, kind: str | tuple[str, ...] | None = None) -> dict[str, _C.dtype]:
        """The standard's dtypes that there are, all or of a kind ('bool', 'integral', 'real floating', ...)."""
        as_device(device)
        return {name: d for name, d in DTYPES.items() if kind is None or isdtype(d, kind)}

    def devices(self) -> list[_C.device]:
        """The devices that there are."""
        return [as_device(None)]


def __array_namespace_info__() -> Info:
    """What the namespace can do: devices, dtypes, defaults, capabilities."""
    return Info()
