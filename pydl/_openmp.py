"""Loads the extension module with waiting threads told not to spin for long.

OpenMP reads how long an idle thread spins once, when its library is loaded. The default burns the time slice that a
busy neighbour then takes out of the next step; after a short spin the thread sleeps instead. What the user has set
wins, and the environment is left as it was.
"""

import os

_SPINS = "20000"  # about 20 us; an idle gap within a training step is shorter than that


def _load() -> None:
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        from pydl import _C

        return
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        from pydl import _C  # noqa: F401
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_load()
