"""Tokenizers: there and back, special tokens, files, damage; BPE against the tokenizers package."""

import contextlib
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl.data.text import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, Vocab, WordTokenizer, split_words
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, MissingExtraError

ROLES = {"pad": "<pad>", "bos": "<bos>", "eos": "<eos>"}
CORPUS = ["low lower lowest", "new newer newest", "wide wider widest"] * 4


def made():
    """One of each kind that needs no other package."""
    return [
        CharTokenizer("abc <>", **ROLES, unk="<unk>"),
        ByteTokenizer(**ROLES),
        WordTokenizer(["the", "cat", ".", "<bos>"], lower=True, newlines=True, **ROLES),
    ]


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_characters_and_bytes_come_back(text):
    for tokenizer in (CharTokenizer.train(text), CharTokenizer.train([text, "xyz"], **ROLES), ByteTokenizer(**ROLES)):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and all(type(i) is int and 0 <= i < len(tokenizer) for i in ids)
        assert not set(ids) & set(tokenizer.special_tokens.values())
        if tokenizer.bos_id is not None:
            both = tokenizer.encode(text, bos=True, eos=True)
            assert both == [tokenizer.bos_id, *ids, tokenizer.eos_id] and tokenizer.decode(both) == text
            assert tokenizer.decode(both, skip_special_tokens=False) == f"<bos>{text}<eos>"


@given(st.lists(st.integers(0, 258)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_decode(ids):
    tokenizer = ByteTokenizer(**ROLES)
    plain = bytes(i for i in ids if i < 256)
    assert tokenizer.decode(ids) == plain.decode(errors="replace")
    assert tokenizer.decode(pydl.tensor(ids, dtype=pydl.int32)) == tokenizer.decode(ids)


def test_bytes():
    tokenizer = ByteTokenizer(eos="<eos>")
    assert tokenizer.encode("né") == [110, 195, 169] and tokenizer.vocab_size == 257 and tokenizer.unk_id is None
    assert tokenizer.tokenize("A\n") == ["<0x41>", "<0x0A>"] and tokenizer.token_to_id("<0x0A>") == 10
    assert tokenizer.id_to_token(256) == "<eos>" and tokenizer.token_to_id("<eos>") == 256
    assert tokenizer.token_to_id("A") is None and tokenizer.token_to_id("<0xZZ>") is None
    assert tokenizer.decode([195, 256, 169], skip_special_tokens=False) == "\ufffd<eos>\ufffd"
    with pytest.raises(ArgumentError, match="has no UTF-8"):
        tokenizer.encode("\ud800")


def test_characters():
    tokenizer = CharTokenizer("ba", pad="<pad>", unk="?")
    assert tokenizer.encode("abba!") == [3, 2, 2, 3, 1] and tokenizer.decode([3, 0, 2, 1]) == "ab"
    assert tokenizer.tokenize("a?") == ["a", "?"] and tokenizer.encode("?") == [tokenizer.unk_id]
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id) == (0, 1, None)
    assert tokenizer.special_tokens == {"<pad>": 0, "?": 1} and tokenizer.vocab_size == len(tokenizer) == 4
    assert tokenizer.token_to_id("b") == 2 and tokenizer.token_to_id("z") is None
    assert CharTokenizer.train("hello").vocab.get_itos() == ["e", "h", "l", "o"]
    with pytest.raises(ArgumentError, match="'c' is not in the alphabet: expected an unk token"):
        CharTokenizer("ab").encode("abc")
    for alphabet, text in ((["ab"], "single characters, got 'ab'"), ("aa", "'a' is there already"), ([""], "got ''")):
        with pytest.raises(ArgumentError, match=text):
            CharTokenizer(alphabet)
    with pytest.raises(ArgumentError, match="special tokens must differ"):
        CharTokenizer("ab", pad="<x>", eos="<x>")


def test_word_rules():
    text = "Don't stop, 'Tis\nwell-known: 3.5!"
    assert split_words(text) == ["Don't", "stop", ",", "'", "Tis", "well", "-", "known", ":", "3", ".", "5", "!"]
    assert split_words(text, lower=True, punctuation="drop") == ["don't", "stop", "tis", "well", "known", "3", "5"]
    assert split_words(text, punctuation="keep", newlines=True) == [
        "Don't",
        "stop,",
        "'Tis",
        "\n",
        "well-known:",
        "3.5!",
    ]
    assert split_words("a\n\nb", newlines=True) == ["a", "\n", "\n", "b"] and split_words(" \t") == []
    with pytest.raises(ArgumentError, match="punctuation must be one of"):
        split_words("", punctuation="none")


def test_words():
    text = "The cat sat. The (big) cat, the dog!\nDogs sat."
    tokenizer = WordTokenizer.train(text, newlines=True, **ROLES)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.tokenize("The fish.") == ["The", "<unk>", "."]
    assert tokenizer.vocab.get_itos()[:7] == ["<pad>", "<bos>", "<eos>", "<unk>", ".", "The", "cat"]
    small = WordTokenizer.train([text, text], min_freq=4, max_tokens=4, lower=True)
    assert small.vocab.get_itos() == ["<unk>", "the", ".", "cat"] and small.encode("THE dog") == [1, 0]
    strict = WordTokenizer(Vocab(["a", "b"]), unk=None)
    assert strict.encode("b a") == [1, 0]
    with pytest.raises(ArgumentError, match="'c' is not in the vocabulary"):
        strict.encode("a c")
    with pytest.raises(ArgumentError, match="punctuation"):
        WordTokenizer(["a"], punctuation="x")


def test_text_never_becomes_a_special_token():
    for tokenizer in (*made(), WordTokenizer(["a", "<bos>"], punctuation="keep", **ROLES)):
        ids = tokenizer.encode("<bos> <eos>")
        assert tokenizer.bos_id not in ids and tokenizer.eos_id not in ids and tokenizer.pad_id not in ids


def test_batches_and_errors():
    for tokenizer in made():
        texts = ["a cat.", "", "the cat"]
        rows = tokenizer.encode_batch(texts, bos=True)
        assert rows == [tokenizer.encode(text, bos=True) for text in texts]
        assert tokenizer.decode_batch(rows) == [tokenizer.decode(row) for row in rows]
        assert tokenizer.decode_batch(pydl.tensor([rows[0][:2]])) == [tokenizer.decode(rows[0][:2])]
        assert tokenizer.decode(np.array([0, 1])) == tokenizer.decode([0, 1]) and tokenizer.decode([]) == ""
        for wrong in ([-1], [len(tokenizer)], [2**40]):
            with pytest.raises(BoundsError, match="is out of range"):
                tokenizer.decode(wrong)
        for wrong in ([0.5], ["a"], pydl.tensor([[1]]), [True]):
            with pytest.raises(DtypeError, match="expected integers"):
                tokenizer.decode(wrong)
        for wrong in (None, b"abc", 3):
            with pytest.raises(DtypeError, match="expected a string"):
                tokenizer.encode(wrong)
        with pytest.raises(BoundsError):
            tokenizer.id_to_token(len(tokenizer))
    with pytest.raises(ArgumentError, match="made without a eos token"):
        ByteTokenizer().encode("a", eos=True)


def test_files(tmp_path):
    for i, tokenizer in enumerate(made()):
        path = tmp_path / f"{i}.json"
        tokenizer.save(path)
        for kind in (Tokenizer, type(tokenizer)):
            again = kind.load(path)
            assert type(again) is type(tokenizer) and repr(again) == repr(tokenizer)
            for text in ("the cat. <bos>\na", "CAT"):
                assert again.encode(text, bos=True) == tokenizer.encode(text, bos=True)
        other = ByteTokenizer if i != 1 else CharTokenizer
        with pytest.raises(FileFormatError, match=f"not the file of a {other.__name__}: its kind is"):
            other.load(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.json", "1.json", "2.json"]
    WordTokenizer(["a"], unk=None).save(tmp_path / "0.json")
    assert Tokenizer.load(tmp_path / "0.json").unk_id is None
    CharTokenizer(["\ud800", "é"]).save(tmp_path / "0.json")
    assert Tokenizer.load(tmp_path / "0.json").encode("é\ud800") == [1, 0]


def test_damaged_files(tmp_path):
    path = tmp_path / "t.json"
    for tokenizer in made():
        tokenizer.save(path)
        good = path.read_bytes()
        for cut in range(0, len(good) - 1, 7):
            path.write_bytes(good[:cut])
            with pytest.raises(FileFormatError, match="not a whole JSON file"):
                Tokenizer.load(path)
        content = json.loads(good)
        for key in content:
            for value in (None, 3, [], {"pad": 3}, [3], {"lower": 3, "no": 1}, ["ab", "ab"]):
                if type(value) is type(content[key]) and value in ([], {}):
                    continue
                path.write_text(json.dumps({**content, key: value}))
                expected = pytest.raises(FileFormatError) if key == "kind" else contextlib.suppress(FileFormatError)
                with expected:  # what was changed by hand may still be a tokenizer; no other error
                    Tokenizer.load(path)
    for text in ("[]", "3", '{"kind": 3}', '{"kind": "pydl.tokenizer.other"}', "[" * 100000):
        path.write_text(text)
        with pytest.raises(FileFormatError):
            Tokenizer.load(path)
    with pytest.raises(FileNotFoundError):
        Tokenizer.load(tmp_path / "none.json")


# ---- byte-pair encoding


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("tokenizers")


def test_bpe_learns_the_paper_s_merges(library):
    corpus = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    tokenizer = BPETokenizer.train(corpus, 256 + 4)  # Sennrich et al. 2016: es, est, lo, low come first
    assert {tokenizer.id_to_token(256 + i) for i in range(4)} == {"es", "est", "lo", "low"}
    assert tokenizer.tokenize("lowest") == ["low", "est"] and tokenizer.vocab_size == 260


def test_bpe_comes_back(library):
    rng = np.random.default_rng(0)
    tokenizer = BPETokenizer.train(CORPUS, 300, **ROLES)
    points = [(0x20, 0x7E), (0xA0, 0x24F), (0x3040, 0x30FF), (0x1F300, 0x1F5FF)]
    lows, highs = np.array(points).T
    texts = []
    for _ in range(10_000):
        kinds = rng.integers(0, len(points), rng.integers(0, 12))
        texts.append("".join(map(chr, rng.integers(lows[kinds], highs[kinds] + 1))))
    rows = tokenizer.encode_batch(texts)
    assert [tokenizer.decode(row) for row in rows] == texts
    assert rows[:50] == [tokenizer.encode(text) for text in texts[:50]]
    words = ["".join(rng.choice(list("abcde"), 6)) for _ in range(500)]
    assert BPETokenizer.train(words, 440, **ROLES).vocab_size == 440


def test_bpe_special_tokens_and_files(library, tmp_path):
    tokenizer = BPETokenizer.train(CORPUS, 290, **ROLES)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, None)
    ids = tokenizer.encode("lower<eos>", bos=True, eos=True)
    assert ids[0] == 1 and ids[-1] == 2 and 2 not in ids[1:-1] and tokenizer.decode(ids) == "lower<eos>"
    assert tokenizer.encode_batch(["low", "new"], eos=True) == [tokenizer.encode(t, eos=True) for t in ("low", "new")]
    tokenizer.save(tmp_path / "bpe.json")
    again = Tokenizer.load(tmp_path / "bpe.json")
    assert isinstance(again, BPETokenizer) and again.encode("widest <bos>", bos=True) == tokenizer.encode(
        "widest <bos>", bos=True
    )
    tokenizer.tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert BPETokenizer.from_file(tmp_path / "tokenizer.json", eos="<eos>").encode("low", eos=True)[-1] == 2
    characters = BPETokenizer.train(CORPUS, 40, byte_level=False, unk="<unk>")
    assert (
        characters.unk_id in characters.encode("lowé") and characters.decode(characters.encode("new low")) == "new low"
    )


def test_gpt2_files(library, tmp_path):
    """The two files that GPT-2 comes as, here of a small tokenizer of the package's own."""
    source = library.ByteLevelBPETokenizer(add_prefix_space=False)
    source.train_from_iterator(CORPUS, vocab_size=280, min_frequency=2, show_progress=False)
    vocab, merges = source.save_model(str(tmp_path))
    tokenizer = BPETokenizer.from_files(vocab, merges)
    text = "The lowest, newest:  é\n\n  x<|endoftext|>"
    assert tokenizer.encode(text) == source.encode(text).ids and tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == source.get_vocab_size() + 1
    assert tokenizer.bos_id == tokenizer.eos_id == tokenizer.vocab_size - 1
    tokenizer.save(tmp_path / "saved.json")
    assert Tokenizer.load(tmp_path / "saved.json").encode(text, eos=True) == tokenizer.encode(text, eos=True)
    assert BPETokenizer.from_files(vocab, merges, end_of_text=None).eos_id is None
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(FileFormatError, match="not the files of a BPE"):
        BPETokenizer.from_files(vocab, merges)
    with pytest.raises(FileNotFoundError):
        BPETokenizer.from_files(tmp_path / "none", merges)


def test_bpe_errors(library, tmp_path):
    with pytest.raises(FileFormatError, match="not the JSON of a tokenizer"):
        BPETokenizer("{}")
    with pytest.raises(DtypeError, match=r"expected a tokenizers\.Tokenizer"):
        BPETokenizer(3)
    with pytest.raises(ArgumentError, match="there is no token '<eos>'"):
        BPETokenizer(BPETokenizer.train(CORPUS, 280).tokenizer, eos="<eos>")
    with pytest.raises(ArgumentError, match="vocab_size must be an integer >= 257"):
        BPETokenizer.train(CORPUS, 256, eos="<eos>")
    with pytest.raises(ArgumentError, match="expected an unk token"):
        BPETokenizer.train(CORPUS, 100, byte_level=False)
    tokenizer = BPETokenizer.train(CORPUS, 280)
    for wrong in ("\ud800", ["a", "\ud800"]):
        with pytest.raises(ArgumentError, match="no UTF-8"):
            tokenizer.encode(wrong) if isinstance(wrong, str) else tokenizer.encode_batch(wrong)
    for wrong in ([-1], [280]):
        with pytest.raises(BoundsError):
            tokenizer.decode(wrong)
    with pytest.raises(BoundsError):
        tokenizer.id_to_token(2**40)
    with pytest.raises(DtypeError, match="expected a string"):
        tokenizer.encode_batch(["a", 3])
    tokenizer.save(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**content, "tokenizer": {}}))
    with pytest.raises(FileFormatError):
        Tokenizer.load(tmp_path / "t.json")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"needs tokenizers: pip install 'pydl\[text\]'"):
        BPETokenizer.train(CORPUS)
