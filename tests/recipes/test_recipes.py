"""Every recipe reaches what it promises, and says so in the agreed form."""

import dataclasses
import os
import time
from pathlib import Path
from types import ModuleType

import pytest

import pydl
from pydl.errors import ArgumentError
from pydl.recipes.recipe import Recipe, Report, parse_settings, setting
from pydl.recipes.registry import find, recipes, rows

COVERED = {
    *(f"C{i:02}" for i in (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 25, 26)),
    *(f"O{i:02}" for i in (*range(1, 21), 22, 26, 27, 28, 30)),
    *(*(f"V{i:02}" for i in (*range(1, 12), 26, 27)), "C19", "C20", "C21", "C24", "T11", "D07", "D09"),
    *("C23", *(f"R{i:02}" for i in range(1, 12))),
    *("N01", "N10", "N11", "N12", "N13"),
}
NEEDS_FILES = (
    "mlp-mnist",
    "mlp-fashion",
    "lenet-mnist",
    "lenet5-mnist",
    "shakespeare-lstm",
    "shakespeare-gpt",
    "resnet20-fashion",
    "resnet20-ablation",
    "transfer-mnist",
)
SECONDS = {"t0": 5, "t1": 60, "t2": 300, "t3": 1800}
PATIENCE = 6  # a busy machine, and instruction sets without wide vectors


def _marked(name: str) -> object:
    slow = recipes()[name].RECIPE.time != "t0"
    missing = name in NEEDS_FILES and "PYDL_DATA" not in os.environ
    marks = [pytest.mark.slow] if slow else []
    marks += [pytest.mark.skip(reason="needs its data files: set PYDL_DATA to their folder")] if missing else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [_marked(name) for name in recipes()])
def test_reaches_its_numbers(name: str, tmp_path: Path) -> None:
    module = recipes()[name]
    settings, report, start = module.Settings(), Report(tmp_path), time.process_time()
    pydl.manual_seed(getattr(settings, "seed", 0))
    module.run(settings, report)
    assert report.checks and report.passed, "\n".join(str(check) for check in report.checks)
    assert time.process_time() - start < PATIENCE * SECONDS[module.RECIPE.time]
    assert all(path.suffix in (".png", ".safetensors") and path.stat().st_size > 0 for path in tmp_path.iterdir())


@pytest.mark.parametrize("module", recipes().values(), ids=recipes())
def test_form(module: ModuleType) -> None:
    recipe = module.RECIPE
    assert isinstance(recipe, Recipe) and recipe.time in SECONDS and recipe.title and recipe.source
    assert recipe.ids and set(recipe.ids) <= set(rows())
    assert module.__name__.rsplit(".", 1)[1] == recipe.name.replace("-", "_")
    assert module.__doc__ and module.run.__doc__
    assert all(f.metadata["doc"] for f in dataclasses.fields(module.Settings))
    assert "seed" not in {f.name for f in dataclasses.fields(module.Settings)} or module.Settings().seed == 0


@pytest.mark.parametrize("module", recipes().values(), ids=recipes())
def test_defaults_survive_the_command_line(module: ModuleType) -> None:
    defaults = dataclasses.asdict(module.Settings())
    given = {k: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in defaults.items()}
    assert dataclasses.asdict(parse_settings(module.Settings, given)) == defaults


def test_rows() -> None:
    covered = {key for module in recipes().values() for key in module.RECIPE.ids}
    assert COVERED <= covered <= set(rows())
    assert all(title == title.strip() and title for title in rows().values())
    assert find("c05") == find("C05") and len(find("C05")) == 4
    assert [m.RECIPE.name for m in find("mlp-digits")] == ["mlp-digits"]
    for name, text in (
        ("nothing", "there is no recipe 'nothing'"),
        ("Z99", "there is no recipe"),
        ("T01", "not covered"),
    ):
        if name not in covered:
            with pytest.raises(ArgumentError, match=text):
                find(name)


@dataclasses.dataclass
class Example:
    sizes: tuple[int, ...] = setting((3, 4), "some sizes", least=1)
    rate: float = setting(0.5, "a share", most=1)
    fast: bool = setting(False, "a switch")
    word: str = setting("a", "a word")


def test_settings() -> None:
    made = parse_settings(Example, {"sizes": "5,6,7", "rate": "1e-1", "fast": "yes", "word": "b"})
    assert made == Example((5, 6, 7), 0.1, True, "b")
    wrong = {"sizes": "5,x", "rate": "nan", "fast": "maybe", "nothing": "1"}
    wanted = ("expected int,...", "from 0 to 1", "expected bool, got 'maybe'", "there is no setting --nothing")
    for (key, text), message in zip(wrong.items(), wanted, strict=True):
        with pytest.raises(ArgumentError, match=message):
            parse_settings(Example, {key: text})
    with pytest.raises(ArgumentError, match="--sizes: expected a number >= 1, got 0"):
        parse_settings(Example, {"sizes": "3,0"})
    with pytest.raises(ArgumentError, match=r"--rate: expected a number from 0 to 1, got 1\.5"):
        parse_settings(Example, {"rate": "1.5"})


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(tmp_path / "new")
    assert not report.passed  # nothing was checked
    report.check("three", pydl.tensor(3.0), at_least=3, at_most=3)
    report.check("list", [1, 2], equals=[1, 2])
    assert report.passed
    report.check("nan", float("nan"), at_most=1)
    assert not report.passed and not report.checks[-1].passed
    report.checks.clear()
    report.check("low", 1.0, at_least=2)
    report.check("high", 1.0, at_most=0)
    report.check("other", [1], equals=[2])
    assert not any(check.passed for check in report.checks)
    with pytest.raises(ArgumentError, match="give at_least"):
        report.check("nothing", 1.0)
    assert "FAIL  low: 1 (must be >= 2)" in capsys.readouterr().out

    pytest.importorskip("matplotlib")
    report.figure("line", lambda figure: figure.subplots().plot([0, 1]))
    report.checkpoint("state", {"w": pydl.ones(2)})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["line.png", "state.safetensors"]
    assert pydl.load(tmp_path / "new" / "state.safetensors")["w"].tolist() == [1.0, 1.0]
