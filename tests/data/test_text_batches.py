"""Windows, streams, padding, buckets; Tiny Shakespeare and the sunspots."""

import hashlib
import itertools
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl.data import (
    BPTTBatches,
    BucketBatchSampler,
    DataLoader,
    PadCollate,
    RandomSampler,
    SlidingWindows,
    Sunspots,
    TinyShakespeare,
    TokenWindows,
    key_padding_mask,
)
from pydl.errors import ArgumentError, BoundsError, DtypeError, FileFormatError, ShapeError

TOKENS = np.arange(100, dtype=np.int32)
LENGTHS = np.random.default_rng(0).integers(0, 40, 203)


def test_token_windows():
    data = TokenWindows(TOKENS, 10)
    assert len(data) == 9  # the tenth has no target for its last token
    x, y = data[3]
    assert x.tolist() == list(range(30, 40)) and y.tolist() == list(range(31, 41)) and x.dtype == pydl.int64
    assert data[-1][0].tolist() == list(range(80, 90)) and len(TokenWindows(TOKENS, 10, 1)) == 90
    x, y = next(iter(DataLoader(TokenWindows(TOKENS, 8, 1), 5, shuffle=True, seed=1)))
    assert x.shape == (5, 8) and (y - x).tolist() == [[1] * 8] * 5
    sampler = RandomSampler(range(90), replacement=True, num_samples=500)
    starts = np.concatenate([x.numpy()[:, 0] for x, _ in DataLoader(TokenWindows(TOKENS, 10, 1), 50, sampler=sampler)])
    assert len(starts) == 500 and len(np.unique(starts)) > 80
    x.numpy()[:] = -1
    assert data.tokens.tolist() == TOKENS.tolist()
    again = pickle.loads(pickle.dumps(data))
    assert len(again) == 9 and again[3][0].tolist() == data[3][0].tolist()
    assert len(pickle.dumps(data)) < 2000


def test_streams_carry_on():
    tokens = np.random.default_rng(0).integers(0, 9, 103)
    data = BPTTBatches(tokens, 4, 7)
    batches = list(DataLoader(data, batch_size=None))
    assert len(batches) == len(data) == 4 and [x.shape[1] for x, _ in batches] == [7, 7, 7, 3]
    x = np.concatenate([x.numpy() for x, _ in batches], 1)
    y = np.concatenate([y.numpy() for _, y in batches], 1)
    streams = tokens[:100].reshape(4, 25)
    np.testing.assert_array_equal(x, streams[:, :-1])
    np.testing.assert_array_equal(y, streams[:, 1:])
    assert [p[0].tolist() for p in data] == [p[0].tolist() for p in batches]
    assert len(BPTTBatches(tokens, 4, 7, drop_last=True)) == 3 and len(BPTTBatches(tokens, 4, 8, drop_last=True)) == 3


def test_sliding_windows():
    series = np.stack([np.arange(20.0), -np.arange(20.0)], 1)
    data = SlidingWindows(series, 5, horizon=2, stride=3, gap=1)
    assert len(data) == (20 - 8) // 3 + 1 == 5
    x, y = data[-1]
    assert x.numpy()[:, 0].tolist() == [12, 13, 14, 15, 16] and y.numpy()[:, 1].tolist() == [-18, -19]
    all_x, all_y = data.tensors()
    assert all_x.shape == (5, 5, 2) and all_y.shape == (5, 2, 2) and all_x.dtype == pydl.float64
    batch_x, batch_y = next(iter(DataLoader(data, 3, sampler=[4, -1, 0])))
    assert batch_x[0].tolist() == batch_x[1].tolist() == x.tolist() and batch_y[0].tolist() == y.tolist()
    assert len(SlidingWindows(pydl.arange(6), 5)) == 1


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: TokenWindows([1, 2], 2), ShapeError, "2 tokens: expected more than the length 2"),
        (lambda: TokenWindows([[1, 2]], 1), ShapeError, r"expected tokens \(n,\), got \(1, 2\)"),
        (lambda: TokenWindows([1.0, 2.0], 1), DtypeError, "tokens must be integers"),
        (lambda: TokenWindows(TOKENS, 0), ArgumentError, "length must be an integer >= 1, got 0"),
        (lambda: TokenWindows(TOKENS, 3, 0), ArgumentError, "stride"),
        (lambda: TokenWindows(TOKENS, 9)[11], BoundsError, "index 11 is out of range for length 11"),
        (lambda: BPTTBatches(TOKENS, 51, 3), ShapeError, "fewer than two for each of 51 streams"),
        (lambda: BPTTBatches([], 1, 3), ShapeError, "0 tokens"),
        (lambda: BPTTBatches(TOKENS, True, 3), ArgumentError, "batch_size"),
        (lambda: SlidingWindows([1.0, 2.0], 2), ShapeError, "expected at least 3 places"),
        (lambda: SlidingWindows(3.0, 1), ShapeError, "expected at least 2"),
        (lambda: SlidingWindows(TOKENS, 2, gap=-1), ArgumentError, "gap must be an integer >= 0"),
        (lambda: key_padding_mask([3, 4], 3), ArgumentError, "within 0 and 3"),
        (lambda: key_padding_mask([-1]), ArgumentError, "lengths must lie within"),
        (lambda: key_padding_mask([[1]]), ShapeError, "expected lengths"),
        (lambda: key_padding_mask([0.5]), DtypeError, "must be integers"),
        (lambda: PadCollate()([]), ShapeError, "empty"),
        (lambda: PadCollate()([np.ones((2, 3)), np.ones((2, 4))]), ShapeError, "sample 1 has shape"),
        (lambda: PadCollate()([([1], 2), ([1],)]), ShapeError, "same number of parts"),
        (lambda: PadCollate((0,))([([1], [2])]), ArgumentError, "part 1 has none"),
        (lambda: PadCollate(multiple_of=0), ArgumentError, "multiple_of"),
        (lambda: BucketBatchSampler([1, 2]), ArgumentError, "either batch_size or max_tokens"),
        (lambda: BucketBatchSampler([1, 2], 2, max_tokens=3), ArgumentError, "either"),
        (lambda: BucketBatchSampler([-1, 2], 2), ArgumentError, "lengths must be integers >= 0"),
        (lambda: BucketBatchSampler([1.5], 2), ArgumentError, "lengths must be integers >= 0"),
        (lambda: BucketBatchSampler([1], 0), ArgumentError, "batch_size must be a positive integer"),
        (lambda: BucketBatchSampler([1], max_tokens=0), ArgumentError, "max_tokens must be an integer >= 1"),
        (lambda: BucketBatchSampler([1], 1, bucket_factor=0), ArgumentError, "bucket_factor"),
    ],
)
def test_wrong_arguments(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_key_padding_mask():
    assert key_padding_mask(pydl.tensor([2, 0, 3])).tolist() == [
        [False, False, True],
        [True, True, True],
        [False, False, False],
    ]
    assert key_padding_mask([1], 3).tolist() == [[False, True, True]] and key_padding_mask([]).shape == (0, 0)


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=5), st.booleans(), st.integers(1, 4))
@settings(deadline=None)
def test_padding(rows, batch_first, multiple):
    padded, lengths = PadCollate(-1, batch_first, multiple)([np.array(row, np.int64) for row in rows])
    values = padded.numpy() if batch_first else padded.numpy().T
    assert lengths.tolist() == [len(row) for row in rows] and values.shape[1] % multiple == 0
    assert values.shape == (len(rows), -(-max(map(len, rows)) // multiple) * multiple)
    assert [[v for v in line if v != -1] for line in values.tolist()] == rows
    assert (key_padding_mask(lengths, values.shape[1]).numpy() == (values == -1)).all()


def test_padded_parts():
    samples = [([1, 2, 3], 0, "a"), ([], 1, "b"), ([4], 0, "c")]
    (padded, lengths), labels, names = PadCollate()(samples)
    assert padded.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]] and padded.dtype == pydl.int64
    assert lengths.tolist() == [3, 0, 1] and labels.tolist() == [0, 1, 0] and names == ["a", "b", "c"]
    (source, _), (target, _) = PadCollate((0, -100))([([1], [2]), ([1, 2], [3, 4])])
    assert source.tolist() == [[1, 0], [1, 2]] and target.tolist() == [[2, -100], [3, 4]]
    frames, _ = PadCollate(batch_first=False)([pydl.ones(2, 3), pydl.ones(4, 3)])
    assert frames.shape == (4, 2, 3) and frames.dtype == pydl.float32 and float(frames.sum()) == 18


@pytest.mark.parametrize("limit", [{"batch_size": 8}, {"max_tokens": 100}, {"batch_size": 1000}])
@pytest.mark.parametrize("shuffle", [True, False])
def test_buckets(limit, shuffle):
    sampler = BucketBatchSampler(LENGTHS, **limit, shuffle=shuffle, bucket_factor=4, generator=np.random.default_rng(0))
    batches = list(sampler)
    assert sorted(itertools.chain(*batches)) == list(range(203)) and len(batches) == len(sampler)
    if "max_tokens" in limit:
        assert all(len(b) * LENGTHS[b].max() <= 100 for b in batches)
    else:
        assert sorted(map(len, batches))[1:] == [limit["batch_size"]] * (len(batches) - 1)
    waste = sum(len(b) * LENGTHS[b].max() for b in batches) / LENGTHS.sum()
    plain = sum(len(b) * LENGTHS[b].max() for b in np.array_split(np.arange(203), len(batches))) / LENGTHS.sum()
    assert waste <= plain and (len(batches) == 1 or waste < 0.8 * plain)
    assert (list(sampler) != batches) == shuffle


def test_a_longer_sample_is_a_batch_of_its_own():
    assert list(BucketBatchSampler([3, 50, 2, 0], max_tokens=6, shuffle=False)) == [[3, 2], [0], [1]]
    assert list(BucketBatchSampler([], max_tokens=6)) == [] and list(BucketBatchSampler([], 3)) == []
    assert [len(b) for b in BucketBatchSampler(LENGTHS, 50, drop_last=True)] == [50] * 4


def test_buckets_resume():
    data = [np.arange(n) for n in LENGTHS]

    def loader():
        sampler = BucketBatchSampler(LENGTHS, 8, bucket_factor=3, generator=np.random.default_rng(3))
        return DataLoader(data, batch_sampler=sampler, collate_fn=PadCollate())

    first = loader()
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    state = first.state_dict()
    rest = [(x.tolist(), n.tolist()) for x, n in iterator]
    resumed = loader()
    resumed.load_state_dict(state)
    assert [(x.tolist(), n.tolist()) for x, n in resumed] == rest and len(rest) == len(first) - 5


def test_sunspots():
    data = Sunspots()
    assert len(data) == 309 and data.years[0] == 1700 and data.years[-1] == 2008 and data[0] == 5.0
    assert data.series.max() == 190.2 and data.years[data.series.argmax()] == 1957 and data[-1] == 2.9
    assert data.tensor().dtype == pydl.float32 and data.tensor().shape == (309,)
    x, y = next(iter(DataLoader(SlidingWindows(data.series, 11), 4)))
    assert x.shape == (4, 11) and y[0].item() == data[11]


def write_play(folder, monkeypatch, text=b"First Citizen:\nSpeak.\n"):
    folder.mkdir(parents=True)
    (folder / "input.txt").write_bytes(text)
    monkeypatch.setattr(TinyShakespeare, "checksum", hashlib.sha256(text).hexdigest())
    return folder / "input.txt"


def test_shakespeare_files(tmp_path, monkeypatch):
    monkeypatch.delenv("PYDL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"no input\.txt in .*tinyshakespeare.*: pass download=True"):
        TinyShakespeare(tmp_path, download=False)
    path = write_play(tmp_path / "tinyshakespeare", monkeypatch)
    data = TinyShakespeare(tmp_path, "all", download=False)
    assert data.text == "First Citizen:\nSpeak.\n" and len(data) == 2 and data[1] == "Speak."
    train, valid = (TinyShakespeare(tmp_path, split) for split in ("train", "valid"))
    assert train.text + valid.text == data.text and len(train.text) == 19
    path.write_bytes(b"First Citizen:\nSpeak!\n")
    with pytest.raises(FileFormatError, match="is damaged: its sha256 is"):
        TinyShakespeare(tmp_path)
    with pytest.raises(ArgumentError, match="split must be"):
        TinyShakespeare(tmp_path, "test")


@pytest.mark.skipif("PYDL_DATA" not in os.environ, reason="PYDL_DATA is not set: no copy of Tiny Shakespeare")
def test_shakespeare():
    train, valid = TinyShakespeare(download=False), TinyShakespeare(split="valid", download=False)
    assert (len(train.text), len(valid.text)) == (1003854, 111540) and len(set(train.text + valid.text)) == 65
    assert len(TinyShakespeare(split="all")) == 40000 and train[0] == "First Citizen:"
    assert repr(valid) == "TinyShakespeare(valid: 111540 characters)"
