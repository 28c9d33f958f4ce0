"""Text: tokenizers with one interface (`Tokenizer`), and `Vocab`."""

from pydl.data.text.bpe import BPETokenizer
from pydl.data.text.characters import ByteTokenizer, CharTokenizer
from pydl.data.text.tokenizer import Tokenizer
from pydl.data.text.vocabulary import Vocab, build_vocab_from_iterator, vocab
from pydl.data.text.words import WordTokenizer, split_words

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Tokenizer",
    "Vocab",
    "WordTokenizer",
    "build_vocab_from_iterator",
    "split_words",
    "vocab",
]
