import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.tokens.store import HELD_OUT, SPLITS, TRAIN, TokenStore, shard_path, write_split

SAMPLES = st.lists(st.lists(st.integers(0, 49), min_size=1, max_size=12), max_size=10)


@given(languages=st.dictionaries(st.sampled_from(["de", "sw", "zh-yue"]), st.tuples(SAMPLES, SAMPLES), min_size=1))
def test_what_is_written_is_read(store_writer, tmp_path_factory, languages):
    folder = tmp_path_factory.mktemp("round")
    samples = {name: {TRAIN: train, HELD_OUT: rest} for name, (train, rest) in languages.items()}
    store = TokenStore(store_writer(folder, samples))
    assert store.languages == sorted(samples)
    for name in samples:
        for split in SPLITS:
            wanted = samples[name][split]
            assert store.samples(name, split) == len(wanted)
            assert store.tokens(name, split) == sum(map(len, wanted))
            for index, ids in enumerate(wanted):
                found = store.sample(name, split, index)
                assert found.dtype == np.uint32
                assert found.tolist() == ids
            with pytest.raises(IndexError):
                store.sample(name, split, len(wanted))
            with pytest.raises(IndexError):
                store.sample(name, split, -1)


def test_appending_in_parts_is_the_same_as_at_once(tmp_path):
    parts = [[[1, 2], [3]], [], [[4, 5, 6]]]
    with write_split(tmp_path / "a", "de", TRAIN) as writer:
        for part in parts:
            writer.add(part)
    with write_split(tmp_path / "b", "de", TRAIN) as other:
        other.add([ids for part in parts for ids in part])
    assert writer.entry() == other.entry()
    assert shard_path(tmp_path / "a", "de", TRAIN, "bin").read_bytes() == np.arange(1, 7, dtype="<u4").tobytes()
    assert shard_path(tmp_path / "a", "de", TRAIN, "idx").read_bytes() == np.array([0, 2, 3, 6], "<u8").tobytes()


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_split(tmp_path, "de", TRAIN) as writer:
        writer.add([[1, 2]])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_empty_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="without ids"), write_split(tmp_path, "de", TRAIN) as writer:
        writer.add([[1], []])


@pytest.fixture
def folder(store_writer, tmp_path) -> Path:
    return store_writer(
        tmp_path / "tokens", {"de": {TRAIN: [[5, 6, 7], [8, 9]], HELD_OUT: [[10]]}, "en": {TRAIN: [[5]]}}
    )


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["bin", "idx"])
@pytest.mark.parametrize("split", SPLITS)
def test_one_flipped_bit_is_found(folder, split, kind):
    path = shard_path(folder, "de", split, kind)
    wanted = json.loads((folder / "index.json").read_text())["languages"]["de"][split]["sha256"][kind]
    flip(path, path.stat().st_size - 4)
    with pytest.raises(DataError) as caught:
        TokenStore(folder)
    assert str(path) in caught.value.message and wanted in caught.value.message
    assert "de.*" in caught.value.fix and "tokens build" in caught.value.fix
    TokenStore(folder, verify=False)  # sizes alone do not tell


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: os.truncate(path, 8), "8 bytes, but 20 were written"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "21 bytes, but 20 were written"),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_a_missing_or_cut_shard_is_always_found(folder, damage, message, verify):
    damage(shard_path(folder, "de", TRAIN, "bin"))
    with pytest.raises(DataError, match=message) as caught:
        TokenStore(folder, verify=verify)
    assert "de.train.bin" in caught.value.message


def test_ids_beyond_the_vocabulary(store_writer, tmp_path):
    with pytest.raises(DataError, match=r"de\.train\.bin: holds the id 50, but the vocabulary has 50 pieces"):
        TokenStore(store_writer(tmp_path, {"de": {TRAIN: [[50]]}}))


def edit(path: Path, change) -> None:
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("offsets", [[0, 5, 5], [1, 3, 5], [0, 6, 5], [0, 3, 4]])
def test_offsets_that_do_not_ascend_though_their_checksum_agrees(folder, offsets):
    path = shard_path(folder, "de", TRAIN, "idx")
    path.write_bytes(np.array(offsets, "<u8").tobytes())
    edit(
        folder / "index.json",
        lambda tree: tree["languages"]["de"][TRAIN]["sha256"].update(idx=sha256_of_file(path)),
    )
    with pytest.raises(DataError, match=r"de\.train\.idx: its offsets do not ascend from 0 to 5"):
        TokenStore(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(schema=2), "schema 2, but this version reads schema 1"),
        (lambda tree: tree.pop("vocabulary_size"), "not an index.*vocabulary_size"),
        (lambda tree: tree["languages"]["de"].pop(HELD_OUT), "not an index.*heldout"),
        (lambda tree: tree["languages"]["de"][TRAIN].update(tokens=-1), "not an index"),
        (lambda tree: tree["languages"]["de"][TRAIN].update(sha256=None), "not an index"),
        (lambda tree: tree.update(languages=[]), "not an index"),
    ],
)
def test_a_wrong_index(folder, change, message):
    edit(folder / "index.json", change)
    with pytest.raises(DataError, match=message):
        TokenStore(folder)


@pytest.mark.parametrize("text", ["[]", '"x"', "{", ""])
def test_an_index_that_is_none(folder, text):
    (folder / "index.json").write_text(text)
    with pytest.raises(DataError, match=r"index\.json"):
        TokenStore(folder)


def test_no_index(tmp_path):
    with pytest.raises(DataError, match="no such file") as caught:
        TokenStore(tmp_path)
    assert "unibert tokens build" in caught.value.fix


def test_the_fingerprint_stands_for_the_contents(store_writer, tmp_path):
    prints = [
        TokenStore(store_writer(tmp_path / name, {"de": {TRAIN: [ids]}})).fingerprint
        for name, ids in (("a", [5, 6]), ("b", [5, 6]), ("c", [5, 7]))
    ]
    assert prints[0] == prints[1] != prints[2]
