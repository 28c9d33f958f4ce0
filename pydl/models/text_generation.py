"""Strings from a language model and a tokenizer: at once, or piece by piece as they come."""

from collections.abc import Callable, Iterator
from typing import Any

from pydl.data.text import Tokenizer
from pydl.errors import ArgumentError
from pydl.models.generation import LanguageModel, stream
from pydl.tensor import Tensor

__all__ = ["generate_text", "stream_text"]

_BROKEN = "\ufffd"  # what the first bytes of a character decode to


def generate_text(
    model: LanguageModel | Callable[[Tensor], Any],
    tokenizer: Tokenizer,
    prompt: str,
    max_new_tokens: int,
    **options: Any,
) -> str:
    """What a model writes behind a prompt, without the prompt; `stream_text` in one piece."""
    return "".join(stream_text(model, tokenizer, prompt, max_new_tokens, **options))


def stream_text(
    model: LanguageModel | Callable[[Tensor], Any],
    tokenizer: Tokenizer,
    prompt: str,
    max_new_tokens: int,
    **options: Any,
) -> Iterator[str]:
    """What a model writes behind a prompt, in pieces as soon as they are certain.

    A character whose bytes have not all come waits for them. All pieces together are the decoded tokens.

    Args:
        tokenizer: begins the prompt with its bos token, if it has one.
        options: of `pydl.models.stream`; by default the tokenizer's eos token stops.
    Raises: ArgumentError for a prompt without tokens, and as `stream`.
    """
    ids = tokenizer.encode(prompt, bos=tokenizer.bos_id is not None)
    if not ids:
        raise ArgumentError("stream_text: the prompt has no tokens, and the tokenizer no bos token to begin with")
    if tokenizer.eos_id is not None:
        options.setdefault("stop_tokens", tokenizer.eos_id)
    return _pieces(tokenizer, ids, stream(model, ids, max_new_tokens, **options))


def _pieces(tokenizer: Tokenizer, prompt: list[int], tokens: Iterator[int]) -> Iterator[str]:
    """Decodes from the prompt's last token on: what joins two tokens (a space) shows only between them."""
    window, shown = prompt[-1:], tokenizer.decode(prompt[-1:])
    for token in tokens:
        window.append(token)
        text = tokenizer.decode(window)
        if text.endswith(_BROKEN) or not text.startswith(shown):
            continue
        if len(text) > len(shown):
            yield text[len(shown) :]
        window = [token]
        shown = tokenizer.decode(window)
    rest = tokenizer.decode(window)
    if len(rest) > len(shown) and rest.startswith(shown):
        yield rest[len(shown) :]
