"""Tokenizers whose tokens are characters or bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydl.data.text.tokenizer import Tokenizer, special_list
from pydl.data.text.vocabulary import Vocab
from pydl.errors import ArgumentError

__all__ = ["ByteTokenizer", "CharTokenizer"]


class CharTokenizer(Tokenizer):
    """One token per character. decode(encode(text)) == text for text of the alphabet.

    Args:
        alphabet: the characters, in the order of their indices, which begin behind the special tokens.
        pad, bos, eos: special tokens, each a string of its own that is not in the alphabet; None: there is none.
        unk: stands for characters outside the alphabet; None: such a character is an error.
    Raises: ArgumentError.
    """

    kind = "char"

    def __init__(
        self,
        alphabet: Iterable[str],
        *,
        pad: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
        unk: str | None = None,
    ) -> None:
        characters = list(alphabet)
        if any(not isinstance(c, str) or len(c) != 1 for c in characters):
            wrong = next(c for c in characters if not isinstance(c, str) or len(c) != 1)
            raise ArgumentError(f"CharTokenizer: an alphabet is made of single characters, got {wrong!r}")
        special = special_list("CharTokenizer", {"pad": pad, "bos": bos, "eos": eos, "unk": unk})
        self.vocab = Vocab([*special.values(), *characters])
        self.vocab_size = len(self.vocab)
        self._index = {c: i for i, c in enumerate(characters, len(special))}  # without the special tokens
        self._set_special({role: i for i, role in enumerate(special)})

    @classmethod
    def train(cls, texts: str | Iterable[str], **special: str | None) -> CharTokenizer:
        """The tokenizer of all characters in a text or texts, sorted; special: as of the class."""
        return cls(sorted(set().union(*([texts] if isinstance(texts, str) else texts))), **special)

    def _encode(self, text: str) -> list[int]:
        try:
            return [self._index[c] for c in text]
        except KeyError as error:
            if self.unk_id is None:
                raise ArgumentError(
                    f"CharTokenizer: {error.args[0]!r} is not in the alphabet: expected an unk token"
                ) from None
            return [self._index.get(c, self.unk_id) for c in text]

    def _decode(self, ids: list[int]) -> str:
        return "".join(self.vocab.lookup_tokens(ids))

    def id_to_token(self, index: int) -> str:
        return self.vocab.lookup_token(index)

    def token_to_id(self, token: str) -> int | None:
        return self.vocab.get(token)

    def _content(self) -> dict[str, Any]:
        return {"alphabet": self.vocab.get_itos()[len(self.special_tokens) :]}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], special: dict[str, str]) -> CharTokenizer:
        return cls(content["alphabet"], **special)


class ByteTokenizer(Tokenizer):
    """One token per byte of the text in UTF-8: token i < 256 is the byte i, special tokens come behind.

    decode(encode(text)) == text for all text. Indices that are no whole UTF-8 decode to U+FFFD, one per broken piece.

    Args:
        pad, bos, eos: special tokens; None: there is none. There is no unknown token: every text has bytes.
    """

    kind = "byte"
    unk_id = None

    def __init__(self, *, pad: str | None = None, bos: str | None = None, eos: str | None = None) -> None:
        special = special_list("ByteTokenizer", {"pad": pad, "bos": bos, "eos": eos})
        self._names = list(special.values())
        self.vocab_size = 256 + len(special)
        self._set_special({role: 256 + i for i, role in enumerate(special)})

    def _encode(self, text: str) -> list[int]:
        try:
            return list(text.encode())
        except UnicodeEncodeError as error:
            raise ArgumentError(f"ByteTokenizer: the text has no UTF-8: {error}") from error

    def _decode(self, ids: list[int]) -> str:
        pieces, start = [], 0
        for i, index in enumerate(ids):
            if index >= 256:
                pieces += [bytes(ids[start:i]).decode(errors="replace"), self._names[index - 256]]
                start = i + 1
        return "".join([*pieces, bytes(ids[start:]).decode(errors="replace")])

    def id_to_token(self, index: int) -> str:
        """'<0x41>' for the byte 65, else the special token."""
        (index,) = self._checked([index])
        return f"<0x{index:02X}>" if index < 256 else self._names[index - 256]

    def token_to_id(self, token: str) -> int | None:
        if token in self._names:
            return 256 + self._names.index(token)
        is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        try:
            return int(token[3:5], 16) if is_byte else None
        except ValueError:
            return None

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], special: dict[str, str]) -> ByteTokenizer:
        return cls(**special)
