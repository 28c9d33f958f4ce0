"""JSON files of vocabularies and tokenizers: written whole or not at all, read without trust."""

from __future__ import annotations

import json
import os
from typing import Any

from pydl.errors import FileFormatError
from pydl.serialize.files import replacing


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Replaces path by content once that is safely on disk. Text is escaped to ASCII: any string can be written."""
    with replacing(path) as file:
        file.write(json.dumps(content).encode("ascii"))


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file. Raises: FileFormatError, OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{os.fspath(path)}: not a whole JSON file: {error}") from error
