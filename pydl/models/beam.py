"""Beam search: the most probable continuations that a narrow search finds. Axes: b prompts, k beams, v vocabulary."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pydl import _C, ops
from pydl.errors import ArgumentError
from pydl.models.generation import Decoder, LanguageModel, Prompt, as_count, as_left_padding, as_prompt, as_stops
from pydl.nn import functional as F
from pydl.tensor import Tensor

__all__ = ["BeamResult", "beam_search"]

Floats = npt.NDArray[np.float64]
Ended = list[tuple[float, list[int]]]  # score and tokens, the best first


class BeamResult(NamedTuple):
    """The n best continuations of each prompt, the best first.

    sequences: int64 (b, n, t'), prompt and continuation, filled up with pad_id.
    scores: float64 (b, n), -inf where there are fewer than n continuations.
    lengths: int64 (b, n), tokens with the prompt's.
    """

    sequences: Tensor
    scores: Tensor
    lengths: Tensor


def beam_search(
    model: LanguageModel | Callable[[Tensor], Any],
    prompt: Prompt,
    max_new_tokens: int,
    num_beams: int,
    *,
    length_penalty: float | Callable[[int], float] = 1.0,
    stop_tokens: int | Sequence[int] = (),
    num_return_sequences: int = 1,
    pad_id: int | None = None,
    attention_mask: Any = None,
) -> BeamResult:
    """The continuations with the highest score, log p(continuation) / penalty(its length).

    Each step keeps the num_beams most probable continuations that have not ended. Whatever ends from one of them, with
    a stop token or after max_new_tokens, is a candidate. The search stops when no beam can become better than the
    candidates it has. With num_beams >= v^(max_new_tokens - 1) the best of all continuations is found.

    Args:
        prompt: int64 (b, t), or (t,), which is taken as (1, t).
        max_new_tokens: at least 1.
        length_penalty: penalty(n) = n^length_penalty, or a function of n; n counts the new tokens and the stop token.
            0: the plain probability, which favours short ones; Wu et al. use ((5 + n) / 6)^0.6.
        stop_tokens: what ends a continuation, as its last token.
        num_return_sequences: n, at most num_beams.
        pad_id: fills up; default the first of stop_tokens.
        attention_mask: shaped like prompt, 0 for padding on the left; as of `generate`.
    Raises: ArgumentError, ShapeError, DtypeError.
    Source: Wu et al. 2016 (arXiv:1609.08144), section 7.
    """
    ids = as_prompt("beam_search", prompt)
    stops, count = as_stops("beam_search", stop_tokens), as_count("beam_search", max_new_tokens)
    _check("num_beams", num_beams, None)
    _check("num_return_sequences", num_return_sequences, num_beams)
    if count == 0:
        raise ArgumentError("beam_search: max_new_tokens must be at least 1")
    penalties = _penalties(length_penalty, count)
    rows = ids if ids.ndim == 2 else ids.unsqueeze(0)
    search = _Search(rows.shape[0], num_beams, num_return_sequences, stops, penalties)
    search.run(Decoder(model, rows, as_left_padding("beam_search", attention_mask, ids)))
    fill = pad_id if pad_id is not None else (stops[0] if stops else 0)
    return _packed(rows, [ended[:num_return_sequences] for ended in search.ended], num_return_sequences, fill)


def _check(name: str, value: int, most: int | None) -> None:
    if type(value) is not int or value < 1 or (most is not None and value > most):
        limit = "" if most is None else f" and <= num_beams = {most}"
        raise ArgumentError(f"beam_search: {name} must be an integer >= 1{limit}, got {value!r}")


def _penalties(length_penalty: float | Callable[[int], float], count: int) -> Floats:
    """(count,) of the lengths 1, 2, ..."""
    lengths = range(1, count + 1)
    if callable(length_penalty):
        values = np.array([length_penalty(n) for n in lengths], np.float64)
    else:
        values = np.arange(1, count + 1, dtype=np.float64) ** length_penalty
    if not (np.isfinite(values) & (values > 0)).all():
        raise ArgumentError("beam_search: length_penalty must give finite numbers above 0")
    return values


class _Search:
    """The beams of all prompts side by side, row i * k + j is beam j of prompt i; a score of -inf: no such beam."""

    def __init__(self, b: int, k: int, wanted: int, stops: tuple[int, ...], penalties: Floats) -> None:
        self.b, self.k, self.wanted, self.stops, self.penalties = b, k, wanted, stops, penalties
        self.scores: Floats = np.full((b, k), -np.inf)
        self.scores[:, 0] = 0.0
        self.tokens: npt.NDArray[np.int64] = np.empty((b, k, 0), np.int64)
        self.ended: list[Ended] = [[] for _ in range(b)]

    def run(self, decoder: Decoder) -> None:
        """Walks until nothing can get better."""
        logits = decoder.advance()
        rows = np.repeat(np.arange(self.b), self.k)
        decoder.select(_tensor(rows, decoder.ids))
        logits = logits[_tensor(rows, decoder.ids)]
        last = len(self.penalties)
        for length in range(1, last + 1):
            origin, new = self.step(logits, length)
            if length == last or self.settled(length):
                break
            decoder.select(_tensor(origin, decoder.ids))
            logits = decoder.advance(_tensor(new[:, None], decoder.ids))
        if length == last:
            self.end_all()

    def step(self, logits: Tensor, length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Extends the beams by a token; which row each came from, and its token, (b k,) both."""
        log_p = F.log_softmax(logits.to(_C.float64), -1).numpy()
        v = log_p.shape[-1]
        if np.isnan(log_p).any():
            raise ArgumentError("beam_search: the model gave logits that are not numbers")
        total = self.scores[..., None] + log_p.reshape(self.b, self.k, v)
        for stop in self.stops:
            if 0 <= stop < v:
                self.end(total[..., stop], stop, length)
                total[..., stop] = -np.inf
        flat = total.reshape(self.b, self.k * v)
        best = _largest(flat, self.k)  # (b, k)
        self.scores = np.take_along_axis(flat, best, 1)
        beam, token = best // v, best % v
        self.tokens = np.concatenate(
            [np.take_along_axis(self.tokens, beam[..., None], 1), token[..., None].astype(np.int64)], 2
        )
        return (np.arange(self.b)[:, None] * self.k + beam).ravel(), token.ravel().astype(np.int64)

    def end(self, total: Floats, stop: int, length: int) -> None:
        """total (b, k): the log probabilities of beams that now end with `stop`."""
        for i, j in zip(*np.nonzero(total > -np.inf), strict=True):
            self.add(int(i), float(total[i, j]) / self.penalties[length - 1], [*self.tokens[i, j].tolist(), stop])

    def end_all(self) -> None:
        """The beams end because there is no more room."""
        for i, j in zip(*np.nonzero(self.scores > -np.inf), strict=True):
            self.add(int(i), float(self.scores[i, j]) / self.penalties[-1], self.tokens[i, j].tolist())

    def add(self, prompt: int, score: float, tokens: list[int]) -> None:
        """Keeps the candidate if it is among the best."""
        ended = self.ended[prompt]
        ended.append((score, tokens))
        ended.sort(key=lambda one: -one[0])
        del ended[self.wanted :]

    def settled(self, length: int) -> bool:
        """Whether no beam can get a score above those that ended: its log probability only falls from here."""
        room = self.penalties[length:].max()
        hopes = self.scores.max(1) / room
        return all(
            hope == -np.inf or (len(ended) == self.wanted and ended[-1][0] >= hope)
            for hope, ended in zip(hopes, self.ended, strict=True)
        )


def _largest(values: Floats, k: int) -> npt.NDArray[np.int64]:
    """(b, n) -> (b, k): places of the k largest, falling, equal ones by place; n >= k."""
    n = values.shape[1]
    if n > 4 * k:  # sorting all would cost more than the model
        part = np.sort(np.argpartition(-values, k - 1, 1)[:, :k], 1)
        return np.take_along_axis(part, np.argsort(-np.take_along_axis(values, part, 1), 1, kind="stable"), 1)
    order = np.argsort(-values, 1, kind="stable")
    return order[:, :k].astype(np.int64)


def _tensor(values: npt.NDArray[np.int64], like: Tensor) -> Tensor:
    return ops.tensor(np.ascontiguousarray(values), device=like.device)


def _packed(prompts: Tensor, ended: list[Ended], n: int, fill: int) -> BeamResult:
    """All as arrays."""
    b, t = prompts.shape
    width = max((len(tokens) for one in ended for _, tokens in one), default=0)
    sequences = np.full((b, n, t + width), fill, np.int64)
    scores, lengths = np.full((b, n), -np.inf), np.full((b, n), t, np.int64)
    sequences[:, :, :t] = prompts.numpy()[:, None]
    for i, one in enumerate(ended):
        for j, (score, tokens) in enumerate(one):
            sequences[i, j, t : t + len(tokens)] = tokens
            scores[i, j], lengths[i, j] = score, t + len(tokens)
    return BeamResult(ops.from_numpy(sequences), ops.from_numpy(scores), ops.from_numpy(lengths))
