"""Byte-pair encoding, trained and applied by the tokenizers package."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from pydl.data.text.tokenizer import ROLES, Tokenizer, special_list
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, require

__all__ = ["BPETokenizer"]

GPT2_END = "<|endoftext|>"


def _library(purpose: str) -> Any:
    return require("tokenizers", "text", purpose)


class BPETokenizer(Tokenizer):
    """Sub-words made by merging the most frequent pairs again and again; needs the tokenizers package.

    Of bytes, as GPT-2's (decode(encode(text)) == text for all text), or of characters with spaces as word ends.

    Args:
        tokenizer: a `tokenizers.Tokenizer`, or its JSON (the content of a tokenizer.json).
        pad, bos, eos, unk: which of its tokens have these roles; None: no token has.
    Raises: ArgumentError for a role without its token; FileFormatError for other JSON; MissingExtraError.
    Source: Sennrich, Haddow & Birch 2016 (arXiv:1508.07909); on bytes Radford et al. 2019.
    """

    kind = "bpe"

    def __init__(
        self,
        tokenizer: Any,
        *,
        pad: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
        unk: str | None = None,
    ) -> None:
        library = _library("BPETokenizer")
        if isinstance(tokenizer, str):
            try:
                tokenizer = library.Tokenizer.from_str(tokenizer)
            except Exception as error:  # the package raises this very class
                raise FileFormatError(f"BPETokenizer: not the JSON of a tokenizer: {error}") from error
        if not isinstance(tokenizer, library.Tokenizer):
            raise DtypeError(f"BPETokenizer: expected a tokenizers.Tokenizer, got {type(tokenizer).__name__}")
        tokenizer.encode_special_tokens = True  # special tokens that stand in the text are text
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.vocab_size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        roles = {"pad": pad, "bos": bos, "eos": eos, "unk": unk}
        given = {role: token for role, token in roles.items() if token is not None}  # GPT-2: one token, two roles
        missing = [token for token in given.values() if tokenizer.token_to_id(token) is None]
        if missing:
            raise ArgumentError(f"BPETokenizer: there is no token {missing[0]!r} among {self.vocab_size}")
        self._set_special({role: tokenizer.token_to_id(token) for role, token in given.items()})

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        vocab_size: int = 30000,
        *,
        min_frequency: int = 2,
        byte_level: bool = True,
        pad: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
        unk: str | None = None,
    ) -> BPETokenizer:
        """A tokenizer whose merges are learned from a text or texts.

        Args:
            vocab_size: tokens at most, with the special ones (which get the first indices) and the 256 bytes.
            min_frequency: pairs that come less often are not merged.
            byte_level: of bytes, with nothing unknown; else of characters, where unk is needed for unseen ones.
        """
        library = _library("BPETokenizer.train")
        special = special_list("BPETokenizer", {"pad": pad, "bos": bos, "eos": eos, "unk": unk})
        least = len(special) + 256 * byte_level
        if type(vocab_size) is not int or vocab_size < max(least, 1):
            raise ArgumentError(f"BPETokenizer: vocab_size must be an integer >= {max(least, 1)}, got {vocab_size!r}")
        if not byte_level and unk is None:
            raise ArgumentError("BPETokenizer: with byte_level=False characters can be unknown: expected an unk token")
        made = _empty(library, byte_level, unk)
        alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet()) if byte_level else []
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=list(special.values()),
            initial_alphabet=alphabet, show_progress=False,
        )  # fmt: skip
        made.train_from_iterator([texts] if isinstance(texts, str) else texts, trainer)
        return cls(made, **special)

    @classmethod
    def from_files(
        cls,
        vocab: str | os.PathLike[str],
        merges: str | os.PathLike[str],
        *,
        end_of_text: str | None = GPT2_END,
    ) -> BPETokenizer:
        """GPT-2's two files, vocab.json and merges.txt; end_of_text is its one special token, for bos and eos.

        Raises: FileFormatError, OSError, MissingExtraError.
        """
        library = _library("BPETokenizer.from_files")
        for path in (vocab, merges):
            with open(path, "rb"):  # the package's error would not be an OSError
                pass
        made = _empty(library, byte_level=True, unk=None)
        try:
            tables = library.models.BPE.read_file(os.fspath(vocab), os.fspath(merges))
            made.model = library.models.BPE(*tables)
        except Exception as error:  # the package raises this very class
            raise FileFormatError(
                f"{os.fspath(vocab)}, {os.fspath(merges)}: not the files of a BPE: {error}"
            ) from error
        if end_of_text is None:
            return cls(made)
        made.add_special_tokens([end_of_text])
        return cls(made, bos=end_of_text, eos=end_of_text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **special: str | None) -> BPETokenizer:
        """A tokenizer.json of the tokenizers or transformers packages; special: as of the class.

        Raises: FileFormatError, OSError, MissingExtraError.
        """
        with open(path, encoding="utf-8", errors="replace") as file:
            return cls(file.read(), **special)

    def _encode(self, text: str) -> list[int]:
        try:
            return self.tokenizer.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]
        except (TypeError, UnicodeEncodeError) as error:  # a lone surrogate; which one depends on the version
            raise ArgumentError(f"BPETokenizer: the text has no UTF-8: {error}") from error

    def encode_batch(self, texts: Iterable[str], *, bos: bool = False, eos: bool = False) -> list[list[int]]:
        """`encode` of each text, in parallel."""
        rows = list(texts)
        if any(not isinstance(text, str) for text in rows):
            return super().encode_batch(rows, bos=bos, eos=eos)  # says which type
        first, last = self._ends("bos", bos), self._ends("eos", eos)
        try:
            found = self.tokenizer.encode_batch(rows, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:  # a lone surrogate; which one depends on the version
            raise ArgumentError(f"BPETokenizer: a text has no UTF-8: {error}") from error
        return [first + one.ids + last for one in found]

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)  # type: ignore[no-any-return]

    def id_to_token(self, index: int) -> str:
        token = self.tokenizer.id_to_token(index) if 0 <= index < self.vocab_size else None
        if token is None:
            raise BoundsError(f"BPETokenizer: there is no token {index} among {self.vocab_size}")
        return token  # type: ignore[no-any-return]

    def token_to_id(self, token: str) -> int | None:
        return self.tokenizer.token_to_id(token)  # type: ignore[no-any-return]

    def _content(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.tokenizer.to_str())}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], special: dict[str, str]) -> BPETokenizer:
        return cls(json.dumps(content["tokenizer"]), **{role: special.get(role) for role in ROLES})


def _empty(library: Any, byte_level: bool, unk: str | None) -> Any:
    """An untrained tokenizer with its rules for splitting and joining."""
    made = library.Tokenizer(library.models.BPE(unk_token=unk))
    if byte_level:
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = library.decoders.ByteLevel()
    else:
        made.pre_tokenizer = library.pre_tokenizers.Metaspace()
        made.decoder = library.decoders.Metaspace()
    return made
