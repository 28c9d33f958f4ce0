"""Vocab: torchtext's behaviour, files, errors."""

import json
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydl.data.text import Vocab, build_vocab_from_iterator, vocab
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, KeyMissingError

SAMPLES = [["b", "a", "b"], ["c", "b", "a"], ["d"]]


def test_order_and_limits():
    assert build_vocab_from_iterator(SAMPLES).get_itos() == ["b", "a", "c", "d"]
    assert build_vocab_from_iterator(SAMPLES, 2, ["<u>"]).get_itos() == ["<u>", "b", "a"]
    assert build_vocab_from_iterator(SAMPLES, specials=["<u>", "a"], special_first=False).get_itos() == [
        "b", "c", "d", "<u>", "a",
    ]  # fmt: skip
    assert build_vocab_from_iterator(SAMPLES, specials=["<u>"], max_tokens=3).get_itos() == ["<u>", "b", "a"]
    assert vocab(OrderedDict([("z", 1), ("y", 3)]), min_freq=1).get_itos() == ["z", "y"]
    assert Vocab.build(SAMPLES, 2, 3, ["<pad>", "<u>"], default="<u>") == Vocab(["<pad>", "<u>", "b"], 1)
    assert len(build_vocab_from_iterator([])) == 0


def test_lookups():
    v = Vocab(["<u>", "a", "b"])
    assert v["a"] == 1 and v(["b", "<u>"]) == [2, 0] and "a" in v and "z" not in v and list(v) == ["<u>", "a", "b"]
    assert v.lookup_tokens([2, 0]) == ["b", "<u>"] and v.get_stoi() == {"<u>": 0, "a": 1, "b": 2}
    for look in (lambda: v["z"], lambda: v(["a", "z"])):
        with pytest.raises(KeyMissingError, match="'z' is not one of the 3 tokens: expected a default_index"):
            look()
    v.set_default_index(0)
    assert v["z"] == 0 and v(["a", "z"]) == [1, 0] and v.get_default_index() == 0 and v.get("z") is None
    v.insert_token("new", 1)
    v.append_token("last")
    assert v.get_itos() == ["<u>", "new", "a", "b", "last"] and v(["a", "last"]) == [2, 4]
    v.get_itos().append("x")
    assert len(v) == 5
    with pytest.raises(TypeError):
        hash(v)


def test_wrong_arguments():
    v = Vocab(["a", "b"])
    for call, error, text in (
        (lambda: v.append_token("a"), ArgumentError, "'a' is there already, with index 0"),
        (lambda: v.insert_token("c", 3), BoundsError, "cannot insert at 3: expected 0 to 2"),
        (lambda: v.insert_token(3, 0), DtypeError, "a token must be a string, got int"),
        (lambda: v.lookup_token(2), BoundsError, "index 2 is out of range"),
        (lambda: v.lookup_token(-1), BoundsError, "index -1 is out of range"),
        (lambda: v.set_default_index(2), BoundsError, "default_index 2"),
        (lambda: Vocab(["a", "a"]), ArgumentError, "there already"),
        (lambda: vocab({"a": 1}, min_freq=0), ArgumentError, "min_freq must be an integer >= 1, got 0"),
        (lambda: vocab({"a": 1}, specials=["x", "y"], max_tokens=1), ArgumentError, "does not leave room"),
        (lambda: Vocab.build(SAMPLES, default="<u>"), KeyMissingError, "'<u>'"),
    ):
        with pytest.raises(error, match=text):
            call()


@given(st.lists(st.text(), unique=True))
def test_there_and_back(tokens):
    v = Vocab(tokens)
    assert v.lookup_tokens(v(tokens)) == tokens and v(tokens) == list(range(len(tokens)))
    assert Vocab.from_json(json.loads(json.dumps(v.to_json()))) == v


def test_files(tmp_path):
    v, path = Vocab(["<u>", "é", "\n"], 0), tmp_path / "v.json"
    v.save(path)
    assert Vocab.load(path) == v
    good = json.loads(path.read_text())
    for change in ({"kind": 3}, {"tokens": 3}, {"tokens": [3]}, {"tokens": ["a", "a"]}, {"default_index": 9},
                   {"default_index": "a"}, {"default_index": True}):  # fmt: skip
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(FileFormatError, match=r"v\.json"):
            Vocab.load(path)
    with pytest.raises(OSError):
        v.save(tmp_path / "none" / "v.json")
