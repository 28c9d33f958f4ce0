"""One recurrent network, three shapes of task: a tag for every word, a tune from one number, a number from a tune.

Measured over seeds 0-2: all tags and all notes right, 99.5 to 99.7 % of the noisy tunes recognised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pydl import from_numpy, manual_seed, nn, no_grad, optim
from pydl.data import PadCollate
from pydl.data.text import Vocab
from pydl.models import RNNLanguageModel, generate
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="sequence-topologies",
    ids=("R03",),
    title="Many to many, one to many, many to one",
    source="Karpathy 2015, The unreasonable effectiveness of recurrent neural networks",
    time="t1",
)

TAGS = ("pronoun", "verb", "article", "adjective", "noun")
WORDS = {
    "pronoun": ("I", "you", "we", "they"),
    "verb": ("saw", "fly", "cook", "watch", "paint", "hear"),  # after a pronoun
    "article": ("the", "a"),
    "adjective": ("green", "light", "cold", "fair"),
    "noun": ("saw", "fly", "cook", "watch", "paint", "bird"),  # after an article
}
TUNES = 8


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: int = setting(48, "units", least=1)
    steps: int = setting(250, "of each of the three trainings", least=1)
    batch: int = setting(64, "sentences in a step", least=1)
    lr: float = setting(0.01, "step size of Adam")
    seed: int = setting(0, "of weights, sentences and tunes")


def run(settings: Settings, report: Report) -> None:
    """Checks the share of right tags on fresh sentences, the tunes note by note, and the recognised tunes."""
    s = settings
    manual_seed(s.seed)
    rng = np.random.default_rng(s.seed)
    report.check("many to many: share of right tags", _tag(rng, s), at_least=0.99)
    tunes = rng.integers(TUNES, TUNES + 7, (TUNES, 24))  # tokens: the numbers of the tunes, then seven notes
    report.check("one to many: notes of all tunes that are wrong", _play(tunes, s), equals=0)
    report.check("many to one: share of noisy tunes that are recognised", _recognise(tunes, rng, s), at_least=0.99)


class _Reader(nn.Module):
    """Scores from what a recurrent network has read: of every step, or of the last."""

    def __init__(self, words: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(words, 16), nn.GRU(16, hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(b, t) -> (b, t, classes)."""
        h, _ = self.rnn(self.embedding(ids))
        y: Tensor = self.output(h)
        return y


def _descend(model: nn.Module, s: Settings, loss_of: Callable[[], Tensor]) -> None:
    """s.steps of Adam on loss_of()."""
    optimizer = optim.Adam(model.parameters(), s.lr)
    for _ in range(s.steps):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()


def _sentence(rng: np.random.Generator) -> list[tuple[str, int]]:
    """Pronoun verb article adjectives noun, once or twice: words and their tags."""
    tags = []
    for _ in range(rng.integers(1, 3)):
        tags += [0, 1, 2, *[3] * rng.integers(0, 3), 4]
    return [(str(rng.choice(WORDS[TAGS[tag]])), tag) for tag in tags]


def _tag(rng: np.random.Generator, s: Settings) -> float:
    """Many to many: a tag for every word, as it is read. Sentences are padded; -100 is no tag."""
    vocab = Vocab(["<pad>", *sorted({word for words in WORDS.values() for word in words})])
    pad = PadCollate((0, -100))

    def batch() -> tuple[Tensor, Tensor]:
        pairs = [tuple(zip(*_sentence(rng), strict=True)) for _ in range(s.batch)]
        (x, _), (y, _) = pad([(vocab(words), list(tags)) for words, tags in pairs])
        return x, y

    model = _Reader(len(vocab), len(TAGS), s.hidden)

    def loss() -> Tensor:
        x, y = batch()
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    _descend(model, s, loss)
    with no_grad():
        x, y = batch()
        return float((model(x).argmax(-1) == y).sum() / (y >= 0).sum())


def _play(tunes: np.ndarray, s: Settings) -> int:
    """One to many: the first token names the tune, every note is fed back. How many notes are wrong."""
    model = RNNLanguageModel(TUNES + 7, 16, s.hidden, 1, "gru")
    names = np.arange(TUNES)[:, None]
    whole = np.concatenate([names, tunes], 1)
    x, y = from_numpy(whole[:, :-1].copy()), from_numpy(whole[:, 1:].copy())
    _descend(model, s, lambda: F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten()))
    return int((generate(model, names, tunes.shape[1], temperature=0).numpy()[:, 1:] != tunes).sum())


def _recognise(tunes: np.ndarray, rng: np.random.Generator, s: Settings) -> float:
    """Many to one: the tune's number from the last state. A tenth of the notes are drawn anew."""

    def batch() -> tuple[Tensor, Tensor]:
        which = rng.integers(0, TUNES, s.batch)
        wrong = rng.random((s.batch, tunes.shape[1])) < 0.1
        notes = np.where(wrong, rng.integers(TUNES, TUNES + 7, wrong.shape), tunes[which])
        return from_numpy(notes), from_numpy(which)

    model = _Reader(TUNES + 7, TUNES, s.hidden)

    def loss() -> Tensor:
        x, y = batch()
        return F.cross_entropy(model(x)[:, -1], y)

    _descend(model, s, loss)
    with no_grad():
        tests = [batch() for _ in range(10)]
        return float(np.mean([(model(x)[:, -1].argmax(-1) == y).numpy() for x, y in tests]))
