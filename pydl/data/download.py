"""Where data files lie, and how a missing one is fetched."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydl.errors import FileFormatError, require


def cache_dir() -> Path:
    """The user's cache directory for pydl; on Linux $XDG_CACHE_HOME/pydl or ~/.cache/pydl."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pydl"


def find_file(folders: Sequence[Path], name: str) -> Path | None:
    """The first of `name` and its unpacked form (`name` without .gz) in `folders`."""
    names = (name, name.removesuffix(".gz"))
    return next((f / n for f in folders for n in names if (f / n).is_file()), None)


def fetch(urls: Sequence[str], folder: Path, name: str, sha256: str) -> Path:
    """Download one file through pooch, from the first URL that gives the right checksum.

    Raises: MissingExtraError without pooch; ConnectionError, with every URL and its reason, when none works.
    """
    pooch: Any = require("pooch", "data", f"downloading {name}")
    pooch.get_logger().setLevel("WARNING")  # it would name every URL that is tried; the error below does
    reasons = []
    for url in urls:
        try:
            return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=name, path=folder, progressbar=False))
        except (OSError, ValueError) as error:  # no connection, or a file with another checksum
            reasons.append(f"{url}: {error}")
    raise ConnectionError(f"{name}: could not be downloaded:\n  " + "\n  ".join(reasons))


def checked_file(
    owner: str,
    folder: str,
    name: str,
    root: str | os.PathLike[str] | None,
    urls: Sequence[str],
    sha256: str,
    download: bool,
) -> Path:
    """The file `name` of a data set: in $PYDL_DATA/folder, root/folder or root (the cache without a root), or fetched.

    Raises: FileFormatError for another checksum; FileNotFoundError when missing and download=False; and as `fetch`.
    """
    home = cache_dir() if root is None else Path(root)
    folders = [home / folder, home]
    if shared := os.environ.get("PYDL_DATA"):
        folders.insert(0, Path(shared) / folder)
    found = find_file(folders, name)
    if found is None:
        if not download:
            raise FileNotFoundError(f"{owner}: no {name} in {', '.join(map(str, folders))}: pass download=True")
        return fetch(urls, home / folder, name, sha256)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    if digest != sha256:
        raise FileFormatError(f"{owner}: {found} is damaged: its sha256 is {digest}, expected {sha256}")
    return found
