"""The tokenizer whose tokens are words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydl.data.text.tokenizer import Tokenizer, special_list
from pydl.data.text.vocabulary import Vocab
from pydl.errors import ArgumentError

__all__ = ["WordTokenizer", "split_words"]

_WORD = r"\w+(?:['’]\w+)*"  # an apostrophe within a word belongs to it: don't
_RULES = {
    "split": re.compile(rf"{_WORD}|[^\w\s]"),
    "drop": re.compile(_WORD),
    "keep": re.compile(r"\S+"),
}
_RULES_AND_LINES = {name: re.compile(rf"\n|{rule.pattern}") for name, rule in _RULES.items()}
_NO_SPACE_BEFORE = set(".,;:!?)]}%…\n")
_NO_SPACE_AFTER = set("([{\n")


def split_words(text: str, *, lower: bool = False, punctuation: str = "split", newlines: bool = False) -> list[str]:
    """The words of a text.

    Args:
        lower: all letters small.
        punctuation: 'split': each mark is a word of its own; 'drop': marks are left out; 'keep': words are what stands
            between spaces.
        newlines: the end of a line is a word "\\n"; else it is a space.
    Raises: ArgumentError.
    """
    if punctuation not in _RULES:
        raise ArgumentError(f"split_words: punctuation must be one of {tuple(_RULES)}, got {punctuation!r}")
    rule = (_RULES_AND_LINES if newlines else _RULES)[punctuation]
    return rule.findall(text.lower() if lower else text)


class WordTokenizer(Tokenizer):
    """One token per word and punctuation mark.

    decode puts spaces between words, none before closing and behind opening marks, which for usual text gives it back
    up to its spaces.

    Args:
        vocab: the words behind the special tokens: a Vocab (whose default index is not used) or words.
        lower, punctuation, newlines: as of `split_words`.
        pad, bos, eos: special tokens; None: there is none.
        unk: stands for words that are not in the vocabulary; None: such a word is an error.
    Raises: ArgumentError.
    """

    kind = "word"

    def __init__(
        self,
        vocab: Vocab | Iterable[str],
        *,
        lower: bool = False,
        punctuation: str = "split",
        newlines: bool = False,
        pad: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
        unk: str | None = "<unk>",
    ) -> None:
        special = special_list("WordTokenizer", {"pad": pad, "bos": bos, "eos": eos, "unk": unk})
        self.rules = {"lower": lower, "punctuation": punctuation, "newlines": newlines}
        self.split("")  # says what is wrong with the rules
        self.vocab = Vocab([*special.values(), *(word for word in vocab if word not in special.values())])
        self.vocab_size = len(self.vocab)
        self._index = {w: i for i, w in enumerate(self.vocab) if i >= len(special)}  # without the special tokens
        self._set_special({role: i for i, role in enumerate(special)})

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        *,
        min_freq: int = 1,
        max_tokens: int | None = None,
        **settings: Any,
    ) -> WordTokenizer:
        """The tokenizer of the words of a text or texts, the most frequent first.

        Args:
            min_freq: leave out words that come less often.
            max_tokens: vocab_size at most.
            settings: as of the class.
        """
        made = cls([], **settings)
        corpus = [texts] if isinstance(texts, str) else texts
        words = Vocab.build(map(made.split, corpus), min_freq, max_tokens, list(made.vocab))
        return cls(words, **settings)

    def split(self, text: str) -> list[str]:
        """The words of a text by this tokenizer's rules, known or not."""
        return split_words(text, **self.rules)  # type: ignore[arg-type]

    def _encode(self, text: str) -> list[int]:
        words = self.split(text)
        found = [self._index.get(word) for word in words]
        if self.unk_id is None and None in found:
            wrong = words[found.index(None)]
            raise ArgumentError(f"WordTokenizer: {wrong!r} is not in the vocabulary: expected an unk token")
        return [self.unk_id if index is None else index for index in found]  # type: ignore[misc]

    def _decode(self, ids: list[int]) -> str:
        text, previous = "", ""
        for word in self.vocab.lookup_tokens(ids):
            glued = not text or word in _NO_SPACE_BEFORE or previous in _NO_SPACE_AFTER
            text += word if glued else f" {word}"
            previous = word
        return text

    def id_to_token(self, index: int) -> str:
        return self.vocab.lookup_token(index)

    def token_to_id(self, token: str) -> int | None:
        return self.vocab.get(token)

    def _content(self) -> dict[str, Any]:
        return {"words": self.vocab.get_itos()[len(self.special_tokens) :], "rules": self.rules}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], special: dict[str, str]) -> WordTokenizer:
        settings: dict[str, Any] = {**content["rules"], "unk": None, **special}
        return cls(content["words"], **settings)
