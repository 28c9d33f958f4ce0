"""What every tokenizer can do: text to numbers and back, special tokens, JSON files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pydl.data.text.files import read_json, write_json
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, PydlError
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Tokenizer"]

ROLES = ("pad", "bos", "eos", "unk")
_kinds: dict[str, type[Tokenizer]] = {}


class Tokenizer:
    """Base of the tokenizers. Text never turns into special tokens: only `bos=True` and `eos=True` put them in.

    A subclass defines `kind`, `vocab_size`, `id_to_token`, `token_to_id`, `_encode`, `_decode`, `_content` and
    `_from_content`, and calls `_set_special`.

    Attributes:
        kind: name in the file.
        special_tokens: text -> index of the padding, begin, end and unknown tokens there are.
        pad_id, bos_id, eos_id, unk_id: their indices, or None.
    """

    kind: ClassVar[str]
    vocab_size: int
    special_tokens: dict[str, int]
    pad_id: int | None
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            _kinds[cls.kind] = cls

    # ---- text to numbers and back

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> list[int]:
        """The indices of a text's tokens; bos, eos: with the token that begins or ends a text.

        Raises: DtypeError for other things than a string; ArgumentError for text that cannot be written with these
            tokens, and for bos or eos where there is no such token.
        """
        if not isinstance(text, str):
            raise DtypeError(f"{type(self).__name__}: expected a string, got {type(text).__name__}")
        return self._ends("bos", bos) + self._encode(text) + self._ends("eos", eos)

    def decode(self, ids: Iterable[int] | Tensor, *, skip_special_tokens: bool = True) -> str:
        """The text of (t,) indices; skip_special_tokens: those leave no trace.

        Raises: BoundsError for an index outside 0 to vocab_size - 1, DtypeError for other things than integers.
        """
        checked = self._checked(ids)
        if skip_special_tokens:
            special = set(self.special_tokens.values())
            checked = [index for index in checked if index not in special]
        return self._decode(checked)

    def encode_batch(self, texts: Iterable[str], *, bos: bool = False, eos: bool = False) -> list[list[int]]:
        """`encode` of each text."""
        return [self.encode(text, bos=bos, eos=eos) for text in texts]

    def decode_batch(self, batch: Iterable[Iterable[int]] | Tensor, *, skip_special_tokens: bool = True) -> list[str]:
        """`decode` of each row."""
        rows = batch.tolist() if isinstance(batch, Tensor) else batch
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in rows]

    def tokenize(self, text: str) -> list[str]:
        """The tokens themselves; unknown ones as the unknown token."""
        return [self.id_to_token(index) for index in self.encode(text)]

    def id_to_token(self, index: int) -> str:
        """The token of an index. Raises: BoundsError."""
        raise TypeError(f"{type(self).__name__}: a tokenizer must define id_to_token")

    def token_to_id(self, token: str) -> int | None:
        """The index of a token, or None."""
        raise TypeError(f"{type(self).__name__}: a tokenizer must define token_to_id")

    def __len__(self) -> int:
        return self.vocab_size

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a JSON file: all of it, or nothing."""
        roles = {role: self.id_to_token(i) for role in ROLES if (i := getattr(self, f"{role}_id")) is not None}
        write_json(path, {"kind": f"pydl.tokenizer.{self.kind}", "special": roles, **self._content()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote; `Tokenizer.load` reads every kind.

        Raises: FileFormatError for another file, or another kind than the class; OSError.
        """
        content = read_json(path)
        kind = content.get("kind") if isinstance(content, Mapping) else None
        found = _kinds.get(kind.removeprefix("pydl.tokenizer.")) if isinstance(kind, str) else None
        if found is None or not issubclass(found, cls):
            raise FileFormatError(f"{os.fspath(path)}: not the file of a {cls.__name__}: its kind is {kind!r}")
        try:
            special = {str(role): token for role, token in content["special"].items() if role in ROLES}
            return found._from_content(content, special)  # type: ignore[return-value]
        except (PydlError, AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ImportError):
                raise
            raise FileFormatError(f"{os.fspath(path)}: not what save writes: {error}") from error

    # ---- what a subclass fills in

    def _encode(self, text: str) -> list[int]:
        raise TypeError(f"{type(self).__name__}: a tokenizer must define _encode")

    def _decode(self, ids: list[int]) -> str:
        raise TypeError(f"{type(self).__name__}: a tokenizer must define _decode")

    def _content(self) -> dict[str, Any]:
        """What a file holds besides the special tokens."""
        return {}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], special: dict[str, str]) -> Tokenizer:
        raise TypeError(f"{cls.__name__}: a tokenizer must define _from_content")

    def _set_special(self, special: Mapping[str, int | None]) -> None:
        """role -> index."""
        for role in ROLES:
            setattr(self, f"{role}_id", special.get(role))
        self.special_tokens = {self.id_to_token(i): i for i in special.values() if i is not None}

    # ---- checks

    def _ends(self, role: str, wanted: bool) -> list[int]:
        if not wanted:
            return []
        index = getattr(self, f"{role}_id")
        if index is None:
            raise ArgumentError(f"{type(self).__name__}: {role}=True, but it was made without a {role} token")
        return [index]

    def _checked(self, ids: Iterable[int] | Tensor) -> list[int]:
        array = ids.detach().numpy() if isinstance(ids, Tensor) else np.asarray(list(ids))
        if array.size == 0 and array.ndim == 1:
            return []
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise DtypeError(f"{type(self).__name__}: expected integers (t,), got {array.dtype} {array.shape}")
        if array.min() < 0 or array.max() >= self.vocab_size:
            wrong = array[(array < 0) | (array >= self.vocab_size)][0]
            raise BoundsError(
                f"{type(self).__name__}: index {wrong} is out of range: expected 0 to {self.vocab_size - 1}"
            )
        return array.tolist()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, special_tokens={self.special_tokens})"


def special_list(name: str, special: Mapping[str, str | None], roles: Sequence[str] = ROLES) -> dict[str, str]:
    """role -> token of those that are given, in the order of the roles. Raises: ArgumentError if two are the same."""
    given = {role: token for role in roles if (token := special.get(role)) is not None}
    if len(set(given.values())) != len(given) or "" in given.values():
        raise ArgumentError(f"{name}: special tokens must differ and not be empty, got {given}")
    return given
