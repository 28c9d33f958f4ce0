"""profile: the time of every launch."""

import json
import os
from pathlib import Path
from types import TracebackType

from pydl import _C
from pydl.replay.report import table


class Profile:
    """The launches of this thread inside a `with` block, eager ones and replayed ones."""

    def __init__(self) -> None:
        self._profile = _C.Profile()

    def __enter__(self) -> "Profile":
        self._profile.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.stop()

    def events(self) -> list[tuple[str, str, int, int, int]]:
        """Of each launch: kernel, op code or "", begin and duration in nanoseconds, bytes read and written."""
        return self._profile.events()

    def report(self) -> str:
        """Calls, milliseconds and bytes by kernel and op code, the slowest first."""
        return table((name, label, ns, moved) for name, label, _, ns, moved in self.events())

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the launches as a file for chrome://tracing or Perfetto."""
        events = [
            {
                "name": f"{name} {label}".strip(), "ph": "X", "pid": os.getpid(), "tid": 0,
                "ts": begin / 1e3, "dur": ns / 1e3, "args": {"bytes": moved},
            }
            for name, label, begin, ns, moved in self.events()
        ]  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))


def profile() -> Profile:
    """A context that notes every launch of this thread: `with pydl.profile() as p: ...; print(p.report())`."""
    return Profile()
