"""mBERT's vocabulary and text of languages in many scripts."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer, BertTokenizer

from unibert.recipe import Pretrain, Tokens
from unibert.tokens.batches import Batches, held_out_batches
from unibert.tokens.build import build_tokens
from unibert.tokens.store import HELD_OUT, TRAIN, TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer, save_tokenizer, tokenizer_fingerprint

LANGUAGES = ["ar", "de", "dv", "el", "hi", "ja", "ka", "ko", "sw", "th", "vi", "yo", "zh"]


def lines_of(shared_data: Path, language: str, most: int) -> list[str]:
    with gzip.open(shared_data / "text" / f"{language}.txt.gz", "rt", encoding="utf-8") as stream:
        return [line.strip() for line, _ in zip(stream, range(most), strict=False) if line.strip()]


@pytest.fixture(scope="module")
def vocabulary_file(shared_data: Path) -> Path:
    return shared_data / "mbert" / "vocab.txt"


@pytest.fixture(scope="module")
def corpus(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for language in LANGUAGES:
        texts = lines_of(shared_data, language, 600)
        pages = pa.array([0] * len(texts), pa.int64())
        table = {"text": texts, "language": [language] * len(texts), "page_id": pages, "source": ["text"] * len(texts)}
        pq.write_table(pa.table(table), folder / f"{language}.parquet")
    return folder


@pytest.fixture(scope="module")
def built(corpus: Path, vocabulary_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    build_tokens(Tokens(tokenizer=str(vocabulary_file)), corpus, root / "tokens", root / "tokenizer", {}, 1)
    return root


def test_mbert_special_ids(vocabulary_file: Path) -> None:
    special = SpecialIds.of(load_tokenizer(vocabulary_file))
    assert special == SpecialIds(pad=0, unk=100, cls=101, sep=102, mask=103, vocabulary_size=119_547)
    assert special.all == (0, 100, 101, 102, 103)


def test_encodings_equal_those_of_transformers_and_survive_saving(
    shared_data: Path, vocabulary_file: Path, tmp_path: Path
) -> None:
    ours = load_tokenizer(vocabulary_file)
    save_tokenizer(ours, tmp_path / "saved")
    reloaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    theirs = BertTokenizer(str(vocabulary_file), do_lower_case=False)
    assert tokenizer_fingerprint(ours) == tokenizer_fingerprint(theirs) == tokenizer_fingerprint(reloaded)
    assert tokenizer_fingerprint(ours) != tokenizer_fingerprint(BertTokenizer(str(vocabulary_file), do_lower_case=True))
    for path in sorted((shared_data / "text").glob("*.txt.gz")):
        texts = lines_of(shared_data, path.name.removesuffix(".txt.gz"), 60)
        wanted = theirs(texts)["input_ids"]
        assert ours(texts)["input_ids"] == wanted, path.name
        assert reloaded(texts)["input_ids"] == wanted, path.name
    pair = theirs("eins [MASK]", "两个")
    assert ours("eins [MASK]", "两个").data == reloaded("eins [MASK]", "两个").data == pair.data


def test_the_store_holds_what_the_tokenizer_says(corpus: Path, built: Path) -> None:
    store = TokenStore(built / "tokens")
    tokenizer = AutoTokenizer.from_pretrained(built / "tokenizer")
    store.check_tokenizer(tokenizer)
    assert store.languages == LANGUAGES
    for language in LANGUAGES:
        texts = pq.read_table(corpus / f"{language}.parquet")["text"].to_pylist()
        wanted = [ids for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] if ids]
        found = [
            store.sample(language, split, index).tolist()
            for split in (TRAIN, HELD_OUT)
            for index in range(store.samples(language, split))
        ]
        assert sorted(found) == sorted(wanted)
        assert store.samples(language, HELD_OUT) > 0
        assert store.index["languages"][language]["unknown"] == sum(ids.count(100) for ids in found)


def test_thaana_is_unknown_to_mbert_and_is_warned_of(corpus: Path, built: Path, vocabulary_file: Path) -> None:
    again = build_tokens(Tokens(tokenizer=str(vocabulary_file)), corpus, built / "tokens", built / "tokenizer", {}, 1)
    assert again["built"] == []
    assert [warning.split(":")[0] for warning in again["warnings"]] == ["dv"]


def test_batches_of_real_text_hold_no_padding(built: Path) -> None:
    store = TokenStore(built / "tokens")
    special = SpecialIds.of(load_tokenizer(built / "tokenizer"))
    settings = Pretrain(batch_size=128, context=128, micro_batch_tokens=4096, alpha=0.5)
    batches = Batches(store, special, settings, seed=1)
    tokens = held = predicted = choosable = 0
    for step in range(10):
        for batch in batches.batch(step):
            tokens += batch.tokens
            held += batch.input_ids.numel()
            predicted += len(batch.labels)
            original = batch.input_ids.clone()
            original[batch.rows] = batch.labels
            choosable += int((~special.is_special[original.numpy()]).sum())
    assert tokens == held
    assert 0.14 < predicted / choosable < 0.17  # 15 %, and at least one per sample
    assert list(held_out_batches(store, special, settings, 1)) == LANGUAGES


def test_a_tokenizer_trained_on_real_text_is_the_same_twice(corpus: Path, tmp_path: Path) -> None:
    results = [
        build_tokens(
            Tokens(vocabulary_size=3000), corpus, tmp_path / name / "tokens", tmp_path / name / "tokenizer", {}, 1
        )
        for name in ("one", "two")
    ]
    assert results[0]["vocabulary_size"] == 3000
    assert results[0]["languages"] == results[1]["languages"]
    one, two = ((tmp_path / name / "tokenizer" / "tokenizer.json").read_bytes() for name in ("one", "two"))
    assert one == two
