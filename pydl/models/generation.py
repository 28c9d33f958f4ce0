"""Text from a language model: one token after the other, chosen by its probability.

What a model must offer is `LanguageModel`. Axes: b sequences, t tokens so far, v vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pydl import _C, ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, CaptureError, DtypeError, ShapeError
from pydl.nn import functional as F
from pydl.nn.hooks import hooked
from pydl.nn.module import Module
from pydl.ops.random import Generator
from pydl.replay.capture import Capture
from pydl.tensor import Tensor

__all__ = ["LanguageModel", "Uncached", "generate", "stream"]

Prompt = Tensor | np.ndarray[Any, Any] | Sequence[Any]


@runtime_checkable
class LanguageModel(Protocol):
    """What generation asks of a model.

    A model that has an attribute `context`, the number of tokens that it can look back on, is given the last `context`
    tokens afresh once there are more; None or no such attribute: there is no limit. Any other callable that maps ids
    (b, t) to logits (b, t, v), or to a tuple that begins with them, is taken too, and is run over all tokens each time.
    A model whose `decode` also takes attention_mask, bool (b, t) of ids, can go on from prompts that are padded on the
    left. Of a model that has `step(state, count)` too, a function of ids (b, 1) that can be captured and goes on by
    `count` tokens, as GPT.step, many tokens are one recording, replayed for each, unless there are hooks.
    """

    def decode(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The next token's logits, and the state to go on with.

        Args:
            ids: int64 (b, t), the tokens behind those that `state` has seen.
            state: what the last call returned; None: nothing was seen.
        Returns: logits (b, v) and the new state.
        """

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of the sequences `rows`, int64 (b',), in that order; some may come twice."""


class Uncached:
    """A LanguageModel of a function without a state: its state is all tokens so far.

    Args:
        model: ids (b, t) -> logits (b, t, v), or a tuple that begins with them.
    """

    def __init__(self, model: Callable[[Tensor], Any]) -> None:
        self.model = model
        self.context: int | None = getattr(model, "context", None)

    def decode(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(b, t) -> (b, v) and all ids."""
        seen = ids if state is None else ops.cat([state, ids], 1)
        made = self.model(seen)
        logits = made[0] if isinstance(made, tuple) else made
        if logits.ndim != 3 or logits.shape[:2] != seen.shape:
            raise ShapeError(f"Uncached: ids {seen.shape} gave logits {logits.shape}: expected (b, t, v)")
        return logits[:, -1], seen

    def select(self, state: Any, rows: Tensor) -> Any:
        """Those rows of the ids."""
        return state[rows]


# Steps from which on a recording pays: the first two take as long as some ten others save.
_WORTH = 16


class Decoder:
    """A model on its way through some sequences, without gradients, as outside training.

    Attributes: ids: int64 (b, t), all tokens so far.
    """

    def __init__(
        self, model: LanguageModel | Callable[[Tensor], Any], prompt: Tensor, mask: Tensor | None = None
    ) -> None:
        self.model: Any = model if isinstance(model, LanguageModel) else Uncached(model)
        module = self.model.model if isinstance(self.model, Uncached) else self.model
        self._module = module if isinstance(module, Module) else None
        self._context: int | None = getattr(self.model, "context", None)
        self._state: Any = None
        self.ids = prompt[:, :0]
        self._new = prompt
        self._mask = mask  # of all tokens so far, if the prompt is padded
        if mask is not None and "attention_mask" not in signature(self.model.decode).parameters:
            raise ArgumentError("generate: this model's decode takes no attention_mask: expected prompts of one length")

    def advance(self, new: Tensor | None = None) -> Tensor:
        """Logits (b, v) behind the tokens so far and `new`, (b, t)."""
        options: dict[str, Any] = {}
        if self._mask is not None:
            if new is not None:
                self._mask = ops.cat([self._mask, ops.ones(*new.shape, dtype=_C.bool, device=new.device)], 1)
            options["attention_mask"] = self._mask if new is None else None
        new = self._new if new is None else new
        self.ids = ops.cat([self.ids, new], 1)
        if self._context is not None and self.ids.shape[1] > self._context:
            self._state, new = None, self.ids[:, -self._context :]
            if self._mask is not None:
                options["attention_mask"] = self._mask[:, -self._context :]
        with no_grad(), evaluating(self._module):
            made, self._state = self.model.decode(new, self._state, **options)
        logits: Tensor = made.detach()
        return logits

    def steps(self, count: int) -> int:
        """How many of the next `count` tokens can come by a recorded step; 0 where it does not pay."""
        step = getattr(self.model, "step", None)
        if self._mask is not None or step is None or [*signature(step).parameters] != ["state", "count"]:
            return 0
        if self._module is not None and hooked(self._module):
            return 0
        within = count if self._context is None else min(count, self._context - self.ids.shape[1])
        return within if within >= _WORTH else 0

    def replay(self, new: Tensor, count: int, choose: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """The next `count` tokens (b, 1) behind `new`, chosen by their logits alone."""
        go_on, self._state = self.model.step(self._state, count), None

        def chosen(ids: Tensor) -> Tensor:
            return choose(go_on(ids))

        step: Callable[[Tensor], Tensor] = Capture(chosen, 1)
        seen = [self.ids]
        for _ in range(count):
            seen.append(new)
            with no_grad(), evaluating(self._module):
                try:
                    new = step(new)
                except CaptureError:  # a part of the model that no recording can hold; the place has not moved on yet
                    step = chosen
                    new = step(new)
            yield new
        self.ids = ops.cat(seen, 1)

    @property
    def read(self) -> Tensor:
        """int64 (b, t), all tokens so far, with each sequence's last one in place of its padding."""
        return self.ids if self._mask is None else ops.where(self._mask, self.ids, self.ids[:, -1:])

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the sequences."""
        self.ids, self._state = self.ids[rows], self.model.select(self._state, rows)
        self._mask = None if self._mask is None else self._mask[rows]


@contextmanager
def evaluating(module: Module | None) -> Iterator[None]:
    """Parts that are in training are as outside training meanwhile."""
    training = [part for part in module.modules() if part.training] if module is not None else []
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from its logits."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ArgumentError(f"generate: temperature must be finite and >= 0, got {self.temperature}")
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise ArgumentError(f"generate: top_k must be an integer >= 1, got {self.top_k!r}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError(f"generate: top_p must be above 0 and at most 1, got {self.top_p}")
        if not 0 < self.repetition_penalty < float("inf"):
            raise ArgumentError(f"generate: repetition_penalty must be finite and > 0, got {self.repetition_penalty}")

    def probabilities(self, logits: Tensor, ids: Tensor | None) -> Tensor:
        """(b, v) logits behind tokens (b, t) -> (b, v) float64, 0 where a token is ruled out."""
        scores = self.penalised(logits.to(_C.float64), ids)
        scores = scores - scores.amax(-1, keepdim=True)
        if self.temperature == 0:
            return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(_C.float64)
        scores = scores / max(self.temperature, 1e-300)
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k, -1)[0][:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        p = F.softmax(scores, -1)
        return p if self.top_p is None or self.top_p == 1 else self._nucleus(p)

    def penalised(self, scores: Tensor, ids: Tensor | None) -> Tensor:
        """Scores (b, v) of tokens that have come already are divided (or, below 0, multiplied) by the penalty."""
        if self.repetition_penalty == 1:
            return scores
        assert ids is not None
        old = scores.gather(1, ids)
        new = ops.where(old < 0, old * self.repetition_penalty, old / self.repetition_penalty)
        return scores.scatter(1, ids, new)

    def _nucleus(self, p: Tensor) -> Tensor:
        """The fewest most probable tokens that together have top_p."""
        ordered, places = p.sort(-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        kept = ordered.masked_fill(before >= self.top_p, 0.0)
        return ops.zeros_like(p).scatter(1, places, kept)

    def choose(self, logits: Tensor, ids: Tensor | None, generator: Generator | None) -> Tensor:
        """(b, v) logits -> int64 (b, 1) tokens; ids: those so far, which the penalty needs."""
        if self.temperature == 0:  # no draw: the generator stays where it is
            return self.penalised(logits, ids).argmax(-1, keepdim=True)
        return ops.multinomial(self.probabilities(logits, ids), 1, replacement=True, generator=generator)


def generate(
    model: LanguageModel | Callable[[Tensor], Any],
    prompt: Prompt,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_tokens: int | Sequence[int] = (),
    pad_id: int | None = None,
    generator: Generator | None = None,
    attention_mask: Tensor | np.ndarray[Any, Any] | Sequence[Any] | None = None,
) -> Tensor:
    """prompt int64 (b, t) or (t,) -> (b, t + n) or (t + n,): the prompt and up to max_new_tokens tokens behind it.

    The steps, as in transformers: the penalty, the temperature, top_k, top_p, a draw.

    Args:
        model: see `LanguageModel`. It is used without gradients and as outside training.
        temperature: logits are divided by it; 0: always the most probable token (greedy), nothing is drawn.
        top_k: only the k most probable tokens (and those as probable as the k-th).
        top_p: of these the fewest that together have this probability, the most probable first.
        repetition_penalty: logits of tokens that have come, in the prompt too, are divided by it, negative ones
            multiplied; 1: no penalty.
        stop_tokens: a sequence ends with the first of these; when all have ended, generation does.
        pad_id: fills up sequences that ended before others; default the first of stop_tokens.
        generator: where the draws come from; default pydl's.
        attention_mask: shaped like prompt, 0 for the padding on the left of shorter prompts: each goes on as it would
            alone. The model must take it: GPT and RNNLanguageModel do. The penalty passes padding over.
    Raises: ArgumentError, ShapeError, DtypeError.
    Source: top_p: Holtzman et al. 2020 (arXiv:1904.09751); top_k: Fan, Lewis & Dauphin 2018; the penalty: Keskar et al.
        2019 (arXiv:1909.05858).
    """
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
    ids = as_prompt("generate", prompt)
    stops = as_stops("generate", stop_tokens)
    fill = pad_id if pad_id is not None else (stops[0] if stops else 0)
    rows = ids if ids.ndim == 2 else ids.unsqueeze(0)
    ended = ops.zeros(rows.shape[0], dtype=_C.bool, device=rows.device)
    out = [rows]
    mask = as_left_padding("generate", attention_mask, ids)
    for new in _tokens(model, rows, as_count("generate", max_new_tokens), sampling, generator, mask):
        new = new.masked_fill(ended.unsqueeze(1), fill)
        out.append(new)
        ended = ended | _is_one_of(new[:, 0], stops)
        if stops and bool(ended.all()):
            break
    made = ops.cat(out, 1)
    return made if ids.ndim == 2 else made[0]


def stream(
    model: LanguageModel | Callable[[Tensor], Any],
    prompt: Prompt,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_tokens: int | Sequence[int] = (),
    generator: Generator | None = None,
) -> Iterator[int]:
    """The tokens behind a prompt (t,), each as soon as it is chosen; arguments and errors as of `generate`.

    With the same generator the tokens are those of `generate`. A stop token is the last that comes.
    """
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
    ids = as_prompt("stream", prompt)
    if ids.ndim != 1:
        raise ShapeError(f"stream: expected one prompt (t,), got {ids.shape}")
    stops, count = as_stops("stream", stop_tokens), as_count("stream", max_new_tokens)
    return _one_by_one(_tokens(model, ids.unsqueeze(0), count, sampling, generator), stops)


def _one_by_one(tokens: Iterator[Tensor], stops: tuple[int, ...]) -> Iterator[int]:
    for new in tokens:
        token = int(new)
        yield token
        if token in stops:
            return


def _tokens(
    model: LanguageModel | Callable[[Tensor], Any],
    rows: Tensor,
    count: int,
    sampling: Sampling,
    generator: Generator | None,
    mask: Tensor | None = None,
) -> Iterator[Tensor]:
    """`count` times the next tokens (b, 1) of sequences (b, t)."""
    decoder, new = Decoder(model, rows, mask), None
    left = count
    while left > 0:
        new = sampling.choose(decoder.advance(new), decoder.read, generator)
        yield new
        left -= 1
        if sampling.repetition_penalty == 1 and (steps := decoder.steps(left)):
            for new in decoder.replay(new, steps, lambda logits: sampling.choose(logits, None, generator)):
                yield new
            left -= steps


def _is_one_of(tokens: Tensor, stops: tuple[int, ...]) -> Tensor:
    """(b,) -> bool (b,)."""
    found = ops.zeros(tokens.shape, dtype=_C.bool, device=tokens.device)
    for stop in stops:
        found = found | (tokens == stop)
    return found


def as_prompt(name: str, prompt: Prompt) -> Tensor:
    """int64 (b, t) or (t,), not empty."""
    ids = prompt.detach() if isinstance(prompt, Tensor) else ops.as_tensor(prompt)
    if ids.ndim not in (1, 2) or 0 in ids.shape:
        raise ShapeError(f"{name}: prompt {ids.shape}: expected (t,) or (b, t) with at least one token each")
    if ids.dtype.is_floating_point or ids.dtype is _C.bool:
        raise DtypeError(f"{name}: prompt must be integers, got {ids.dtype}")
    return ids.to(_C.int64)


def as_left_padding(name: str, mask: Any, prompt: Tensor) -> Tensor | None:
    """bool (b, t), False for padding, which comes first in each row and leaves a token; None where there is none."""
    if mask is None:
        return None
    values = np.asarray(mask.numpy() if isinstance(mask, Tensor) else mask)
    if values.shape != prompt.shape or values.dtype.kind not in "biuf":
        raise ShapeError(f"{name}: attention_mask {values.shape} does not match the prompt {prompt.shape}")
    rows = values.reshape(-1, values.shape[-1]) != 0
    if (rows[:, :-1] & ~rows[:, 1:]).any() or not rows[:, -1].all():
        raise ArgumentError(f"{name}: attention_mask must hide the beginning of each prompt alone, and not all of it")
    return None if rows.all() else ops.from_numpy(np.ascontiguousarray(rows)).to(prompt.device)


def as_stops(name: str, stop_tokens: int | Sequence[int]) -> tuple[int, ...]:
    """A tuple of tokens."""
    stops = (stop_tokens,) if isinstance(stop_tokens, int) else tuple(stop_tokens)
    if any(type(stop) is not int for stop in stops):
        raise DtypeError(f"{name}: stop_tokens must be integers, got {stops}")
    return stops


def as_count(name: str, max_new_tokens: int) -> int:
    """max_new_tokens, if it is one."""
    if type(max_new_tokens) is not int or max_new_tokens < 0:
        raise ArgumentError(f"{name}: max_new_tokens must be an integer >= 0, got {max_new_tokens!r}")
    return max_new_tokens
