"""Vocab: tokens and their numbers, with torchtext's names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydl.data.text.files import read_json, write_json
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, KeyMissingError

__all__ = ["Vocab", "build_vocab_from_iterator", "vocab"]

_KIND = "pydl.vocab"


class Vocab:
    """A list of distinct tokens: token i has index i.

    Args:
        tokens: in order, all different.
        default_index: the index of tokens that are not in the list; None: looking one up is an error.
    Raises: ArgumentError for a repeated token, DtypeError for one that is not a string, BoundsError for a
        default_index outside the list.
    """

    def __init__(self, tokens: Iterable[str] = (), default_index: int | None = None) -> None:
        self._tokens: list[str] = []
        self._index: dict[str, int] = {}
        self._default: int | None = None
        for token in tokens:
            self.append_token(token)
        self.set_default_index(default_index)

    @classmethod
    def build(
        cls,
        samples: Iterable[Iterable[str]],
        min_freq: int = 1,
        max_tokens: int | None = None,
        specials: Sequence[str] = (),
        special_first: bool = True,
        default: str | None = None,
    ) -> Vocab:
        """The tokens of `samples`, the most frequent first, equally frequent ones by name.

        Args:
            samples: of each the tokens.
            min_freq: leave out tokens that come less often.
            max_tokens: length of the list at most, with the specials.
            specials: come whether or not they are in the samples, before the others (or with special_first=False
                behind them).
            default: the special that stands for tokens that are not in the list.
        """
        made = vocab(_by_frequency(Counter(token for sample in samples for token in sample)), min_freq, specials,
                     special_first, max_tokens)  # fmt: skip
        if default is not None:
            made.set_default_index(made[default])
        return made

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        return self._tokens == other._tokens and self._default == other._default

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __getitem__(self, token: str) -> int:
        """The index of a token, or the default index. Raises: KeyMissingError without one."""
        index = self._index.get(token, self._default)
        if index is None:
            raise KeyMissingError(f"Vocab: {token!r} is not one of the {len(self)} tokens: expected a default_index")
        return index

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        """The indices of tokens."""
        return self.lookup_indices(tokens)

    forward = __call__

    def lookup_indices(self, tokens: Iterable[str]) -> list[int]:
        """The indices of tokens. Raises: KeyMissingError as for a single one."""
        if self._default is None:
            return [self[token] for token in tokens]
        return [self._index.get(token, self._default) for token in tokens]

    def get(self, token: str) -> int | None:
        """The index of a token that is in the list, else None, whatever the default index."""
        return self._index.get(token)

    def lookup_token(self, index: int) -> str:
        """The token of an index. Raises: BoundsError."""
        if not 0 <= index < len(self):
            raise BoundsError(f"Vocab: index {index} is out of range: expected 0 to {len(self) - 1}")
        return self._tokens[index]

    def lookup_tokens(self, indices: Iterable[int]) -> list[str]:
        """The tokens of indices. Raises: BoundsError."""
        return [self.lookup_token(index) for index in indices]

    def get_itos(self) -> list[str]:
        """All tokens in order."""
        return list(self._tokens)

    def get_stoi(self) -> dict[str, int]:
        """The index of each token."""
        return dict(self._index)

    def set_default_index(self, index: int | None) -> None:
        """Changes the index of unknown tokens; None: there is none. Raises: BoundsError."""
        if index is not None and not 0 <= index < len(self):
            raise BoundsError(f"Vocab: default_index {index} is out of range for {len(self)} tokens")
        self._default = index

    def get_default_index(self) -> int | None:
        """The index of unknown tokens, or None."""
        return self._default

    def append_token(self, token: str) -> None:
        """Adds a token behind the others. Raises: ArgumentError if it is there already."""
        self.insert_token(token, len(self))

    def insert_token(self, token: str, index: int) -> None:
        """Adds a token at an index; those from there on move up by one. The default index keeps its number.

        Raises: ArgumentError if the token is there already, BoundsError for an index outside 0 to len.
        """
        if not isinstance(token, str):
            raise DtypeError(f"Vocab: a token must be a string, got {type(token).__name__}")
        if token in self._index:
            raise ArgumentError(f"Vocab: the token {token!r} is there already, with index {self._index[token]}")
        if not 0 <= index <= len(self):
            raise BoundsError(f"Vocab: cannot insert at {index}: expected 0 to {len(self)}")
        self._tokens.insert(index, token)
        for place in range(index, len(self)):
            self._index[self._tokens[place]] = place

    def to_json(self) -> dict[str, object]:
        """What `save` writes: lists, strings and numbers."""
        return {"kind": _KIND, "tokens": self.get_itos(), "default_index": self._default}

    @classmethod
    def from_json(cls, content: object, source: str = "Vocab") -> Vocab:
        """The Vocab of what `to_json` gave. Raises: FileFormatError, with `source` named, for anything else."""
        if not isinstance(content, Mapping) or content.get("kind") != _KIND:
            raise FileFormatError(f"{source}: not a vocabulary that pydl wrote")
        tokens, default = content.get("tokens"), content.get("default_index")
        if not isinstance(tokens, list) or not (default is None or type(default) is int):
            raise FileFormatError(f"{source}: expected a list of tokens and a default_index")
        try:
            return cls(tokens, default)
        except (ArgumentError, BoundsError, DtypeError) as error:
            raise FileFormatError(f"{source}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a JSON file: all of it, or nothing."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocab:
        """Reads what `save` wrote. Raises: FileFormatError, OSError."""
        return cls.from_json(read_json(path), os.fspath(path))

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens, default_index={self._default})"


def _by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def vocab(
    ordered_dict: Mapping[str, int],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
    max_tokens: int | None = None,
) -> Vocab:
    """A Vocab of the keys that come at least min_freq times, in their order; `specials` and the rest as `Vocab.build`.

    Args:
        ordered_dict: token -> how often it comes.
    Raises: ArgumentError.
    """
    names = list(specials or ())
    if type(min_freq) is not int or min_freq < 1:
        raise ArgumentError(f"vocab: min_freq must be an integer >= 1, got {min_freq!r}")
    if max_tokens is not None and max_tokens < len(names):
        raise ArgumentError(f"vocab: max_tokens {max_tokens} does not leave room for {len(names)} specials")
    taken = set(names)
    tokens = [token for token, count in ordered_dict.items() if count >= min_freq and token not in taken]
    if max_tokens is not None:
        tokens = tokens[: max_tokens - len(names)]
    return Vocab(names + tokens if special_first else tokens + names)


def build_vocab_from_iterator(
    iterator: Iterable[Iterable[str]],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
    max_tokens: int | None = None,
) -> Vocab:
    """`Vocab.build` with the argument order of torchtext."""
    return Vocab.build(iterator, min_freq, max_tokens, specials or (), special_first)
