"""A dictionary gives words numbers, and an embedding is a linear layer on one-hot words, without the zeros."""

from dataclasses import dataclass

import numpy as np

from pydl import from_numpy, matmul, nn
from pydl.data.text import Vocab
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="one-hot",
    ids=("N01",),
    title="One-hot words and their embedding",
    source="Bengio et al. 2003, A neural probabilistic language model",
    time="t0",
)
TEXT = "the cat sat on the mat and the dog sat on the cat"


@dataclass
class Settings:
    """What can be set on the command line."""

    width: int = setting(8, "of the words' vectors", least=1)
    unknown: int = setting(20, "words of the dictionary that the text does not use", least=1)


def run(settings: Settings, report: Report) -> None:
    """Checks the dictionary, the lookup, and which rows of the table get a gradient."""
    words = TEXT.split()
    vocab = Vocab(["<pad>", *dict.fromkeys(words), *(f"word{i}" for i in range(settings.unknown))])
    ids = from_numpy(np.array(vocab(words)))
    report.check("words that come back from their numbers", vocab.lookup_tokens(ids.tolist()) == words, equals=True)
    table = nn.Embedding(len(vocab), settings.width, padding_idx=0)
    found, product = table(ids), matmul(F.one_hot(ids, len(vocab)).float(), table.weight)
    report.check("lookup against one-hot times table", float((found - product).abs().max()), equals=0.0)
    padded = F.pad(ids, (0, 3))
    (table(padded) * 2).sum().backward()
    assert table.weight.grad is not None
    touched = np.flatnonzero(np.abs(table.weight.grad.numpy()).sum(1)).tolist()
    report.check(
        "rows with a gradient are those of the words, without padding", touched, equals=sorted(set(vocab(words)))
    )
    count = np.bincount(vocab(words), minlength=len(vocab))
    gap = np.abs(table.weight.grad.numpy() - 2 * count[:, None]).max()
    report.check("gradient of a row over how often its word comes", gap, equals=0.0)
