"""No operation without a row: public names, op classes, and what rules may do."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from checks import small, spy, twice

import pydl
from pydl import ops
from pydl.autograd.op import Op
from pydl.ops.convert import Transfer

HERE = Path(__file__).parent
WITHOUT_ROWS = ("complete", "properties", "junk", "flat_memory")
FAMILIES = sorted(p for p in HERE.glob("test_*.py") if p.stem.removeprefix("test_") not in WITHOUT_ROWS)
OPS = sorted(Path(ops.__file__).parent.glob("*.py"))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rows_of_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def modules() -> list[ModuleType]:
    """The test files of all families."""
    return [_module(path) for path in FAMILIES]


def test_every_public_name_has_a_row(modules: list[ModuleType]) -> None:
    """Or is in a family's COVERS, the names that its other tests are about."""
    covered = {name for module in modules for name in getattr(module, "COVERS", ())}
    rows = [row for module in modules for row in getattr(module, "ROWS", ())]
    covered |= {row.name for row in rows} | {name for row in rows for name in row.covers}
    same = {
        name for name in ops.__all__ if any(getattr(ops, name) is row.fn for row in rows)
    }  # other names of one function
    missing = set(ops.__all__) - covered - same
    assert not missing, f"no row for {sorted(missing)}"


def test_names_that_are_covered_exist(modules: list[ModuleType]) -> None:
    for module in modules:
        for name in getattr(module, "COVERS", ()):
            assert hasattr(ops, name), f"{module.__name__} covers {name}, which does not exist"


def test_every_op_is_reached(modules: list[ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows run forward, backward and backward again; each op class is recorded on the way."""
    calls: list[tuple[type[Op], object, object, object]] = []
    monkeypatch.setattr(Op, "record", classmethod(spy(Op.record.__func__, calls)))
    for row in [row for module in modules for row in getattr(module, "ROWS", ()) if row.grad]:
        for arrays, kwargs in small(row):
            twice(row, arrays, kwargs)
    x = pydl.ones(3, requires_grad=True)
    made = [ops.dropout(x, 0.5), x.double(), Transfer.apply(x, device=x.device)]  # whose tests are not rows
    assert [y.node for y in made].count(None) == 0
    reached = {cls for cls, *_ in calls}
    listed = [op for op in Op.subclasses if op.__module__.startswith("pydl.ops.") and hasattr(op, "kernel")]
    missing = {op.__name__ for op in listed if op not in reached}
    assert len(listed) > 50
    assert not missing, f"no row reaches {sorted(missing)}"


@pytest.mark.parametrize("path", OPS, ids=[p.stem for p in OPS])
def test_rules_are_written_in_operations(path: Path) -> None:
    """A rule that touched the numbers would break the second derivative without a word."""
    for op in [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)]:
        for rule in [n for n in op.body if isinstance(n, ast.FunctionDef) and n.name == "vjp"]:
            touched = [n for n in ast.walk(rule) if isinstance(n, ast.Attribute) and n.attr in ("array", "data")]
            assert not touched, f"{path.name}: {op.name}.vjp line {touched[0].lineno} touches .{touched[0].attr}"


def test_every_op_can_be_differentiated() -> None:
    """By its own rule or by its plain definition."""
    for op in Op.subclasses:
        if op.__module__.startswith("pydl.ops.") and hasattr(op, "kernel"):
            assert op.vjp is not Op.vjp or op.reference is not None, f"{op.__name__} has neither rule nor reference"
