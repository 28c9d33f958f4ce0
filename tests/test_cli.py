"""The command line: what it prints, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

import pydl
from pydl import runtime
from pydl.cli import main
from pydl.recipes.registry import recipes, rows


def outcome(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_run(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, "run", "least-squares", "--n", "30", "--seed=2")
    assert status == 0 and err == ""
    assert out.startswith("least-squares (C03): ") and "--n 30 " in out and "ok    ridge" in out and "passed in" in out
    assert outcome(capsys, "run", "c03")[0] == 0


def test_a_check_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "run", "mlp-digits", "--epochs", "1", "--hidden", "2", "--lr", "1e-9")
    assert status == 1 and "FAIL  test accuracy" in out and "FAILED in" in out


def test_pictures_and_checkpoints_go_to_out_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    arguments = ("run", "mlp-digits", "--epochs", "1", "--threads", "1")
    outcome(capsys, *arguments)
    assert not list(tmp_path.iterdir())
    outcome(capsys, *arguments, "--out", "made/here")
    assert sorted(p.name for p in (tmp_path / "made/here").iterdir()) == ["learning-curve.png", "model.safetensors"]
    assert pydl.get_num_threads() == 1


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("run", "nothing"), "there is no recipe 'nothing': pydl list shows them"),
        (("run", "least-squares", "--colour", "red"), "there is no setting --colour: expected one of --n"),
        (("run", "least-squares", "--n", "many"), "--n: expected int, got 'many'"),
        (("run", "least-squares", "--n", "-3"), "--n: expected a number >= 2, got -3"),
        (("run", "least-squares", "--n"), "expected --key value, got '--n'"),
        (("run", "least-squares", "n", "3"), "expected --key value, got 'n'"),
        (("run", "least-squares", "--threads", "0"), "--threads: expected a number >= 1, got 0"),
        (("run", "minibatches", "--batch", "7"), "minibatches: batch 7 does not divide n 960"),
        (("list", "--everything"), "unrecognized arguments: --everything"),
    ],
)
def test_mistakes_end_with_one_line_and_2(argv: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = outcome(capsys, *argv)
    assert status == 2 and err.startswith(f"pydl: {text}") and err.count("\n") == 1


def test_rows_not_covered(capsys: pytest.CaptureFixture[str]) -> None:
    covered = {key for module in recipes().values() for key in module.RECIPE.ids}
    missing = next((key for key in rows() if key not in covered), None)
    if missing is not None:
        status, _, err = outcome(capsys, "run", missing)
        assert status == 2 and err == f"pydl: {missing} ({rows()[missing]}) is not covered yet\n"


def test_an_out_that_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, out, err = outcome(capsys, "run", "least-squares", "--out", str(tmp_path / "file"))
    assert status == 2 and "File exists" in err and err.count("\n") == 1 and out == ""


def test_data_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(urls: list[str], *_: object) -> Path:
        raise ConnectionError("train-images: could not be downloaded:\n  no network\n  none at all")

    monkeypatch.delenv("PYDL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("pydl.data.datasets.mnist.fetch", refuse)
    status, out, err = outcome(capsys, "run", "mlp-mnist")
    assert status == 2 and "passed" not in out
    assert err == "pydl: mlp-mnist: train-images: could not be downloaded: set PYDL_DATA to a folder that has it\n"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "list")
    lines = out.splitlines()
    assert status == 0 and len(lines) == len(recipes()) + 2
    assert any(line.split()[:4] == ["mlp-digits", "t0", "C05", "pydl.recipes.core.mlp_digits"] for line in lines)
    covered = {key for module in recipes().values() for key in module.RECIPE.ids}
    assert lines[-1].startswith(f"{len(covered)} of {len(rows())} rows of the course are covered")
    everything = outcome(capsys, "list", "--all")[1].splitlines()
    assert len(everything) == len(lines) + len(rows())
    assert "C01  covered  Perceptron" in everything


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "info")
    assert status == 0 and out.startswith(f"pydl {pydl.__version__}, Python ")
    assert f"instruction set: {runtime.isa()}" in out and f"threads: {pydl.get_num_threads()}" in out
    assert f"cuda: {'available' if pydl.cuda.is_available() else 'not available: '}" in out


def test_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ((), ("fly",)):
        with pytest.raises(SystemExit) as end:
            main(argv)
        assert end.value.code == 2
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and f"pydl {pydl.__version__}" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["pydl", "pydl.cli"])
def test_as_a_process(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "info"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("pydl ")
    wrong = subprocess.run([sys.executable, "-m", module, "run", "nothing"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


def test_a_reader_that_leaves() -> None:
    command = f"{sys.executable} -m pydl list --all | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("\n") == 1 and done.stderr == ""
