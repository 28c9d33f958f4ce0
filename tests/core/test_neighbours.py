"""pydl beside other libraries in one process, and what importing it costs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPUTE = {
    "pydl": "import pydl; a = pydl.ones(500, 500); assert (a @ a).sum().item() == 500.0 ** 3",
    "torch": "import torch; b = torch.ones(500, 500); assert float((b @ b).sum()) == 500.0 ** 3",
    "sklearn": "from sklearn.ensemble import HistGradientBoostingClassifier as H; import numpy as np; "
    "r = np.random.default_rng(0); c = r.standard_normal((2000, 5)); H(max_iter=5).fit(c, c[:, 0] > 0)",
    "xgboost": "import xgboost, numpy as np; r = np.random.default_rng(0); d = r.standard_normal((2000, 5)); "
    "xgboost.XGBClassifier(n_estimators=5, n_jobs=2).fit(d, d[:, 0] > 0)",
}


def run(code: str, *flags: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("others", [["torch"], ["sklearn", "xgboost"]], ids="+".join)
@pytest.mark.parametrize("first", [True, False])
def test_beside(others: list[str], first: bool) -> None:
    """Each computes with threads, in both orders, twice."""
    there = [name for name in others if importlib.util.find_spec(name) is not None]
    if not there:
        pytest.skip(f"{others} are not installed")
    order = ["pydl", *there] if first else [*there, "pydl"]
    run("\n".join(COMPUTE[name] for name in order * 2))


def test_environment_is_left_alone() -> None:
    code = "import os; before = dict(os.environ); import pydl; assert dict(os.environ) == before"
    run(code)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        value = {"GOMP_SPINCOUNT": "77", "OMP_WAIT_POLICY": "PASSIVE"}[name]
        run(f"import os; os.environ[{name!r}] = {value!r}; import pydl; assert os.environ[{name!r}] == {value!r}")


def test_import_is_cheap(tmp_path: Path) -> None:
    """Time and memory over NumPy's own, from compiled files, with room for a busy machine."""
    code = """
import time, resource, numpy
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
import pydl
print(time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    run(code, env=env)
    costs = [tuple(map(float, run(code, env=env).split())) for _ in range(3)]
    seconds, megabytes = min(c[0] for c in costs), min(c[1] for c in costs)
    assert seconds < 0.4 and megabytes < 40, costs


def test_import_brings_only_numpy() -> None:
    """The optional packages stay out until they are used."""
    optional = ["torch", "scipy", "sklearn", "tqdm", "matplotlib", "pooch", "safetensors", "ml_dtypes", "pandas"]
    loaded = run("import sys, pydl; print(*sys.modules)").split()
    assert not set(optional) & {name.split(".")[0] for name in loaded}


def test_no_thread_is_started_by_import() -> None:
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")
    code = "import os, numpy; n = len(os.listdir('/proc/self/task')); import pydl; "
    run(code + "assert len(os.listdir('/proc/self/task')) == n")
