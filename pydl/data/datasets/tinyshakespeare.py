"""Tiny Shakespeare: one text file for language models."""

from __future__ import annotations

import os
from typing import ClassVar

from pydl.data.dataset import Dataset
from pydl.data.download import checked_file
from pydl.errors import ArgumentError


class TinyShakespeare(Dataset[str]):
    """40000 lines of Shakespeare's plays: 1115394 characters, 65 of them distinct, all ASCII. Sample i is line i.

    The file input.txt is looked for in $PYDL_DATA/tinyshakespeare, then in root/tinyshakespeare and root, or without a
    root in the user's cache directory; else it is downloaded through pooch. Its sha256 must fit in any case.

    Args:
        root: directory for the file.
        split: "train" (the first 90 % of the characters), "valid" (the rest), or "all".
        download: fetch a missing file.
    Attributes: text: the split's characters.
    Raises: ArgumentError; FileFormatError for a damaged file; FileNotFoundError when missing and download=False;
        MissingExtraError when pooch is needed and absent; ConnectionError when no server gives the file.
    Source: A. Karpathy 2015, char-rnn; the plays are in the public domain.
    """

    url: ClassVar[str] = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    checksum: ClassVar[str] = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

    def __init__(self, root: str | os.PathLike[str] | None = None, split: str = "train", download: bool = True) -> None:
        if split not in ("train", "valid", "all"):
            raise ArgumentError(f'TinyShakespeare: split must be "train", "valid" or "all", got {split!r}')
        path = checked_file(
            "TinyShakespeare", "tinyshakespeare", "input.txt", root, [self.url], self.checksum, download
        )
        whole = path.read_bytes().decode("ascii")
        cut = len(whole) * 9 // 10
        self.text = {"train": whole[:cut], "valid": whole[cut:], "all": whole}[split]
        self.split = split
        self._lines = self.text.splitlines()

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> str:
        return self._lines[index]

    def __repr__(self) -> str:
        return f"TinyShakespeare({self.split}: {len(self.text)} characters)"
