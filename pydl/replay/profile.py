"""profile: the time of every launch."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from pydl import _C
from pydl.replay.report import Cost, table
from pydl.replay.scopes import Scopes


class Event(NamedTuple):
    """One launch. op: its op code, or ""; module: whose it is, such as "Sequential.0", or "". begin: nanoseconds."""

    kernel: str
    op: str
    module: str
    begin: int
    nanoseconds: int
    bytes: int
    flops: int


class Profile:
    """The launches of this thread inside a `with` block, eager ones and replayed ones.

    Those on a CUDA device are waited for one by one, also where they would be in a graph, so that each has a time.
    """

    def __init__(self) -> None:
        self._profile = _C.Profile()
        self._scopes = Scopes()

    def __enter__(self) -> "Profile":
        self._profile.start()
        self._scopes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scopes.__exit__(kind, error, trace)
        self._profile.stop()

    def events(self) -> list[Event]:
        """The launches, in their order."""
        return [Event(*e) for e in self._profile.events()]

    def report(self) -> str:
        """Calls, milliseconds, bytes and flops by kernel and by module, the slowest first. What backward runs belongs
        to the module whose forward made it necessary."""
        return table(Cost(*e[:3], *e[4:]) for e in self.events())

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the launches as a file for chrome://tracing or Perfetto."""
        events = [
            {
                "name": f"{e.kernel} {e.op}".strip(), "ph": "X", "pid": os.getpid(), "tid": 0, "ts": e.begin / 1e3,
                "dur": e.nanoseconds / 1e3, "args": {"bytes": e.bytes, "flops": e.flops, "module": e.module},
            }
            for e in self.events()
        ]  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))


def profile() -> Profile:
    """A context that notes every launch of this thread: `with pydl.profile() as p: ...; print(p.report())`."""
    return Profile()
