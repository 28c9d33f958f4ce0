"""JSON files of vocabularies and tokenizers: written whole or not at all, read without trust."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any

from pydl.errors import FileFormatError


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Replaces path by content once that is safely on disk. Text is escaped to ASCII: any string can be written."""
    target = os.path.realpath(path)
    temporary = f"{target}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "x", encoding="ascii") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file. Raises: FileFormatError, OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{os.fspath(path)}: not a whole JSON file: {error}") from error
