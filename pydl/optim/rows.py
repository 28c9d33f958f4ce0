"""Steps that change some rows of a parameter: those that a sparse gradient holds."""

from pydl import _C
from pydl.optim.optimizer import state_dtype
from pydl.tensor import Tensor


class RowStep:
    """A parameter (s, ...) and the rows (n, ...) of it that a sparse gradient holds, each once.

    Attributes: gradient: of these rows, in the dtype of the state, outside the graph.
    """

    def __init__(self, p: Tensor, g: Tensor) -> None:
        self.p = p
        rows = g.detach().coalesce()  # type: ignore[attr-defined]
        self.index: _C.Array = rows.indices()[0].array  # type: ignore[attr-defined]
        self.gradient: Tensor = rows.values().to(state_dtype(p))  # type: ignore[attr-defined]

    def read(self, table: Tensor) -> Tensor:
        """These rows of a table in the shape of the parameter."""
        return Tensor(_C.index_select(table.array, 0, self.index))

    def write(self, table: Tensor, rows: Tensor) -> None:
        """Puts rows into a table, in place."""
        _C.place_inside("step", "put", table.array, 0, self.index, _C.cast(rows.array, table.dtype), True)

    def old(self) -> Tensor:
        """The rows of the parameter, in the dtype of the state."""
        return self.read(self.p).to(self.gradient.dtype)  # type: ignore[attr-defined,no-any-return]


def add_rows(p: Tensor, rows: Tensor) -> None:
    """Adds a sparse tensor to p, in place."""
    index, values = rows._indices()[0].array, rows._values().array  # type: ignore[attr-defined]
    _C.place_inside("step", "add", p.array, 0, index, values, True)
