"""Files that are replaced as a whole or stay as they were."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import IO

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file to write to, which replaces path (or what it links to) once it is safely on disk.

    Until then, and on any failure, path stays as it was. Raises: OSError from the file system.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    temporary = f"{target}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(path: str) -> None:
    """Makes a rename in the folder last, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):  # not every file system can; the file itself is safe
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
