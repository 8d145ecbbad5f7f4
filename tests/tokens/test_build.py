import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

import unibert.tokens.build as build
import unibert.tokens.encode as encode
from unibert.errors import DataError, RunMismatch
from unibert.recipe import Tokens
from unibert.tokenizer_files import wordpiece_tokenizer
from unibert.tokens.build import build_tokens
from unibert.tokens.store import HELD_OUT, SPLITS, TRAIN, TokenStore
from unibert.tokens.vocabulary import save_tokenizer, tokenizer_fingerprint

WORDS = {
    "de": "der Fluss fließt durch die Stadt und mündet in das Meer".split(),
    "en": "the river flows through the town and ends in the sea".split(),
    "sw": "mto unapita katikati ya mji na kuishia baharini".split(),
}


def write_corpus(folder: Path, language: str, rows: list[tuple[str, int, str]], **options: Any) -> Path:
    """Write (source, page, text) rows as the corpus stage does."""
    folder.mkdir(parents=True, exist_ok=True)
    sources, pages, texts = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "language": pa.array([language] * len(texts), pa.string()),
            "title": pa.array([""] * len(texts), pa.string()),
            "page_id": pa.array(pages, pa.int64()),
            "section": pa.array([""] * len(texts), pa.string()),
            "source": pa.array(sources, pa.string()),
        }
    )
    pq.write_table(table, folder / f"{language}.parquet", compression="zstd", **options)
    return folder


def pages(language: str, number: int = 60) -> list[tuple[str, int, str]]:
    """Pages of one to three paragraphs, every text different and one in five repeated on the next page."""
    words = WORDS[language]
    rows = []
    for page in range(1, number + 1):
        for part in range(1 + page % 3):
            start = (page * 3 + part) % len(words)
            rows.append((f"{language}.xml", page, " ".join([*words[start:], *words[:start], str(page), str(part)])))
        if page % 5 == 0:
            rows.append((f"{language}.xml", page + 1, rows[-1][2]))
    return rows


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for language in WORDS:
        write_corpus(tmp_path / "corpus", language, pages(language), row_group_size=17)
    return tmp_path / "corpus"


def run(corpus: Path, name: str = "run", seed: int = 1, **settings: Any) -> dict[str, Any]:
    tree = {"vocabulary_size": 200, "held_out_share": 0.1, **settings}
    root = corpus.parent / name
    return build_tokens(Tokens(**tree), corpus, root / "tokens", root / "tokenizer", {"name": name}, seed)


def texts_of(corpus: Path, name: str = "run") -> dict[tuple[str, str], list[str]]:
    """Every sample of the store, decoded."""
    store = TokenStore(corpus.parent / name / "tokens")
    tokenizer = AutoTokenizer.from_pretrained(corpus.parent / name / "tokenizer")
    return {
        (language, split): [
            tokenizer.decode(store.sample(language, split, index)) for index in range(store.samples(language, split))
        ]
        for language in store.languages
        for split in SPLITS
    }


def contents(folder: Path) -> dict[str, bytes]:
    names = {"run.json"}  # it holds the time of the start
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in names}


def test_every_paragraph_is_in_one_split_in_the_order_of_the_corpus(corpus, capsys):
    result = run(corpus)
    found = texts_of(corpus)
    for language in WORDS:
        rows = pages(language)
        train, held_out = found[language, TRAIN], found[language, HELD_OUT]
        every = [text for _, _, text in rows]
        held = set(held_out)
        assert held and not held & set(train)
        page_of_held = {page for _, page, text in rows if text in held}
        # Training lacks the pages that are held out, and nothing else.
        assert train == [text for _, page, text in rows if text in set(train) and page not in page_of_held]
        lost = set(every) - held - set(train)
        assert not lost
        # What is held out keeps its order; copies of a text that training has too are gone.
        assert held_out == [text for _, page, text in rows if text in held and page in page_of_held]
        entry = result["languages"][language]
        assert (entry[TRAIN]["samples"], entry[HELD_OUT]["samples"]) == (len(train), len(held_out))
        assert entry["unknown"] == 0
    printed = capsys.readouterr().err
    assert all(language in printed for language in WORDS)
    assert result["built"] == ["de", "en", "sw"] and result["reused"] == [] and result["warnings"] == []


def test_index_and_tokenizer_belong_together(corpus):
    result = run(corpus)
    store = TokenStore(corpus.parent / "run" / "tokens")
    store.check_tokenizer(AutoTokenizer.from_pretrained(corpus.parent / "run" / "tokenizer"))
    assert store.vocabulary_size == result["vocabulary_size"] == 200
    assert store.tokenizer_sha256 == result["tokenizer_sha256"]
    assert store.index["languages"] == result["languages"]
    with pytest.raises(DataError, match="another tokenizer"):
        store.check_tokenizer(
            wordpiece_tokenizer({name: i for i, name in enumerate("[PAD] [UNK] [CLS] [SEP] [MASK] x".split())})
        )


def test_two_builds_are_the_same_byte_for_byte(corpus, monkeypatch):
    run(corpus, "one")
    monkeypatch.setattr(encode, "_ROWS", 7)  # nor does the size of the pieces matter
    run(corpus, "two")
    for part in ("tokens", "tokenizer"):
        assert contents(corpus.parent / "one" / part) == contents(corpus.parent / "two" / part)
    run(corpus, "three", seed=2)
    assert contents(corpus.parent / "one" / "tokens") != contents(corpus.parent / "three" / "tokens")


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_change_nothing(corpus, monkeypatch, workers):
    run(corpus, "one", workers=1)
    monkeypatch.setattr(encode, "_SMALL", 0)
    run(corpus, "more", workers=workers)
    assert contents(corpus.parent / "one" / "tokens") == contents(corpus.parent / "more" / "tokens")


def kill_this_process(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told_and_what_is_finished_is_kept(corpus, monkeypatch):
    monkeypatch.setattr(encode, "_SMALL", 0)
    monkeypatch.setattr(build, "encode", kill_this_process)
    with pytest.raises(DataError, match="ended unexpectedly") as caught:
        run(corpus, workers=2)
    assert "tokens.workers" in caught.value.fix
    monkeypatch.undo()
    assert run(corpus)["built"] == ["de", "en", "sw"]


def test_damage_that_a_process_finds_is_told(corpus, monkeypatch):
    run(corpus, "before")
    monkeypatch.setattr(encode, "_SMALL", 0)
    path = corpus / "en.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[40:400] = bytes(360)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"en\.parquet: damaged") as caught:
        run(corpus, workers=2, tokenizer=str(corpus.parent / "before" / "tokenizer"))
    assert "corpus build" in caught.value.fix


def test_a_finished_build_is_not_repeated(corpus, monkeypatch):
    first = run(corpus)
    before = contents(corpus.parent / "run" / "tokens")
    monkeypatch.setattr(build, "_build_language", None)
    monkeypatch.setattr(build, "train_tokenizer", None)
    second = run(corpus, workers=1)  # the number of processes is not part of the run
    assert (second["built"], second["reused"]) == ([], ["de", "en", "sw"])
    assert second["languages"] == first["languages"]
    assert contents(corpus.parent / "run" / "tokens") == before


@pytest.mark.parametrize("language", ["de", "sw"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder, language: (folder / f"{language}.train.bin").write_bytes(b"x" * 400),
        lambda folder, language: os.truncate(folder / f"{language}.train.idx", 16),
        lambda folder, language: (folder / f"{language}.heldout.bin").unlink(),
        lambda folder, language: (folder / f"{language}.record.json").write_text("{"),
        lambda folder, language: (folder / f"{language}.record.json").write_text("[]"),
        lambda folder, language: [path.unlink() for path in folder.glob(f"{language}.*")],
    ],
)
def test_a_damaged_language_is_built_again_alone(corpus, language, damage):
    run(corpus)
    folder = corpus.parent / "run" / "tokens"
    before = contents(folder)
    damage(folder, language)
    assert run(corpus)["built"] == [language]
    assert contents(folder) == before
    TokenStore(folder)


def test_one_flipped_bit_is_repaired(corpus):
    run(corpus)
    path = corpus.parent / "run" / "tokens" / "en.train.bin"
    original = path.read_bytes()
    path.write_bytes(bytes([original[0] ^ 1]) + original[1:])
    with pytest.raises(DataError, match=r"en\.train\.bin: damaged"):
        TokenStore(path.parent)
    assert run(corpus)["built"] == ["en"]
    assert path.read_bytes() == original


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_goes_on_where_it_was(corpus, monkeypatch, error):
    run(corpus, "whole")
    original = build.write_split
    calls = []

    def failing(folder: Path, language: str, split: Any) -> Any:
        calls.append((language, split))
        if language == "en" and split == HELD_OUT:
            raise error("stop")
        return original(folder, language, split)

    monkeypatch.setattr(build, "write_split", failing)
    with pytest.raises(error):
        run(corpus)
    folder = corpus.parent / "run" / "tokens"
    assert sorted(path.name for path in folder.glob("en.*")) == []
    assert not list(folder.glob(".*"))
    with pytest.raises(DataError, match="no such file"):
        TokenStore(folder)
    monkeypatch.setattr(build, "write_split", original)
    result = run(corpus)
    assert (result["built"], result["reused"]) == (["en", "sw"], ["de"])
    assert contents(folder) == contents(corpus.parent / "whole" / "tokens")


def test_an_interrupted_rebuild_leaves_no_index_that_names_old_files(corpus, monkeypatch):
    run(corpus)
    (corpus.parent / "run" / "tokens" / "de.train.bin").unlink()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_build_language", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(corpus)
    with pytest.raises(DataError, match=r"index\.json: no such file"):
        TokenStore(corpus.parent / "run" / "tokens")


def test_a_changed_language_is_built_again_with_a_tokenizer_that_stays(corpus, tmp_path):
    run(corpus, "first")
    tokenizer = str(tmp_path / "first" / "tokenizer")
    run(corpus, tokenizer=tokenizer)
    write_corpus(corpus, "en", pages("en")[:-4])
    (corpus / "sw.parquet").unlink()
    result = run(corpus, tokenizer=tokenizer)
    assert (result["built"], result["reused"]) == (["en"], ["de"])
    assert TokenStore(corpus.parent / "run" / "tokens").languages == ["de", "en"]


def test_a_changed_corpus_trains_the_tokenizer_again(corpus):
    first = run(corpus)
    write_corpus(corpus, "en", [*pages("en"), *(("new.xml", page, "quixotic quagmire") for page in range(1, 90))])
    second = run(corpus)
    assert second["tokenizer_sha256"] != first["tokenizer_sha256"]
    assert second["built"] == ["de", "en", "sw"]


def test_a_lost_or_damaged_tokenizer_is_made_again(corpus):
    first = run(corpus)
    folder = corpus.parent / "run" / "tokenizer"
    before = contents(folder)
    for damage in (
        lambda: (folder / "tokenizer.json").write_text("{"),
        lambda: (folder / "tokenizer_config.json").unlink(),
    ):
        damage()
        again = run(corpus)
        assert again["tokenizer_sha256"] == first["tokenizer_sha256"]
        assert again["built"] == []
        assert contents(folder) == before


def test_other_settings_need_another_folder(corpus):
    run(corpus)
    with pytest.raises(RunMismatch, match="held_out_samples: 100 -> 3"):
        run(corpus, held_out_samples=3)
    with pytest.raises(RunMismatch, match="seed: 1 -> 2"):
        run(corpus, seed=2)


def test_special_tokens_in_the_text_are_text(corpus):
    write_corpus(corpus, "de", [("de.xml", page, f"der [MASK] Fluss [SEP] [PAD] {page}") for page in range(1, 9)])
    run(corpus)
    store = TokenStore(corpus.parent / "run" / "tokens")
    ids = {int(number) for index in range(store.samples("de", TRAIN)) for number in store.sample("de", TRAIN, index)}
    assert not ids & {0, 2, 3, 4}


def test_truncation_of_the_named_tokenizer_is_ignored(corpus, tmp_path):
    run(corpus, "first")
    tokenizer = build.load_tokenizer_file(str(tmp_path / "first" / "tokenizer"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=40)
    tokenizer.save(str(tmp_path / "cut.json"))
    named = run(corpus, "named", tokenizer=str(tmp_path / "cut.json"))
    assert named["languages"] == run(corpus, "first")["languages"]
    assert AutoTokenizer.from_pretrained(tmp_path / "named" / "tokenizer").model_max_length == 512


def test_unknown_pieces_are_counted_and_warned_of(corpus, tmp_path, capsys):
    vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] der Fluss die mto".split()
    save_tokenizer(wordpiece_tokenizer({name: i for i, name in enumerate(vocabulary)}), tmp_path / "tiny")
    write_corpus(corpus, "de", [("de.xml", page, "der Fluss " * page) for page in range(1, 9)])
    write_corpus(corpus, "sw", [("sw.xml", page, "mto " * 18 + "mji mji") for page in range(1, 3)])
    result = run(corpus, tokenizer=str(tmp_path / "tiny"))
    assert result["languages"]["de"]["unknown"] == 0
    # Both pages of sw read the same, so what is held out is dropped as a copy: 2 of 20 tokens remain unknown.
    assert (result["languages"]["sw"]["unknown"], result["languages"]["sw"][TRAIN]["tokens"]) == (2, 20)
    assert any(warning.startswith("sw: 10.0% of the tokens are unknown") for warning in result["warnings"])
    assert any(warning.startswith("sw: no held-out sample") for warning in result["warnings"])
    assert not any(warning.startswith("de") for warning in result["warnings"])
    assert "warning: sw: 10.0%" in capsys.readouterr().err


def test_samples_without_any_token_are_dropped(corpus):
    # Zero-width characters vanish in BERT's normaliser.
    write_corpus(
        corpus, "de", [("de.xml", page, "\u200b" if page % 2 else f"der Fluss {page}") for page in range(1, 21)]
    )
    write_corpus(corpus, "sw", [("sw.xml", 1, "\u200b")])
    result = run(corpus)
    store = TokenStore(corpus.parent / "run" / "tokens")
    assert store.samples("de", TRAIN) + store.samples("de", HELD_OUT) == 10
    assert store.languages == ["de", "en"]
    assert any("sw: no sample yields a token" in warning for warning in result["warnings"])
    assert run(corpus)["built"] == []


def test_plain_text_is_split_by_the_text_itself(corpus):
    lines = [("a.txt", 0, f"der Fluss {number % 30}") for number in range(60)]
    write_corpus(corpus, "de", [*lines, ("b.txt", 0, "der Fluss 7")])
    run(corpus)
    found = texts_of(corpus)
    assert found["de", HELD_OUT] and not set(found["de", HELD_OUT]) & set(found["de", TRAIN])
    assert len(found["de", TRAIN]) + len(found["de", HELD_OUT]) == 61


@pytest.mark.parametrize(("most", "share"), [(3, 0.5), (1, 0.5), (1000, 0.5), (1000, 0.001)])
def test_bounds_of_what_is_held_out(corpus, most, share):
    entries = run(corpus, held_out_samples=most, held_out_share=share)["languages"]
    for entry in entries.values():
        assert 1 <= entry[HELD_OUT]["samples"] <= most
        assert entry[TRAIN]["samples"] > 0


def test_nothing_is_held_out_on_request_and_no_warning_then(corpus):
    result = run(corpus, held_out_share=0)
    assert all(entry[HELD_OUT]["samples"] == 0 for entry in result["languages"].values())
    assert result["warnings"] == []


def test_the_tokenizer_is_trained_on_equal_shares(corpus, monkeypatch):
    many = [("en.xml", page, f"the river flows {page}") for page in range(1, 3001)]
    write_corpus(corpus, "en", many, use_dictionary=False)
    monkeypatch.setattr(build, "CHARACTERS_PER_LANGUAGE", 2000)
    texts: list[str] = []
    original = build.train_tokenizer

    def spy(given: Any, size: int) -> Any:
        texts.extend(given)
        return original(given, size)

    monkeypatch.setattr(build, "train_tokenizer", spy)
    run(corpus)
    english = [text for text in texts if text.startswith("the river flows ")]
    numbers = [int(text.split()[-1]) for text in english if text.split()[-1].isdigit()]
    assert 1000 < sum(map(len, english)) < 2100
    assert max(numbers) > 2500 and min(numbers) < 100  # from the whole file, not only its beginning


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda corpus: [path.unlink() for path in corpus.iterdir()], r"no LANG\.parquet"),
        (
            lambda corpus: (corpus / "en.parquet").write_bytes(b"PAR1 but not really PAR1"),
            r"en\.parquet: not a readable",
        ),
        (lambda corpus: os.truncate(corpus / "en.parquet", 100), r"en\.parquet: not a readable"),
        (lambda corpus: pq.write_table(pa.table({"text": ["x"]}), corpus / "en.parquet"), "no column source, page_id"),
        (lambda corpus: [write_corpus(corpus, name, [(name, 1, "\u200b")]) for name in WORDS], "no text to train"),
    ],
)
def test_a_corpus_that_cannot_be_used(corpus, prepare, message):
    prepare(corpus)
    with pytest.raises(DataError, match=message) as caught:
        run(corpus)
    assert caught.value.fix


def test_a_damaged_column_of_the_corpus(corpus):
    path = corpus / "en.parquet"
    data = bytearray(path.read_bytes())
    data[4:300] = b"\0" * 296
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"en\.parquet: damaged Parquet file"):
        run(corpus)


def test_a_tokenizer_that_is_not_there(corpus):
    with pytest.raises(DataError, match=r"none/vocab\.txt"):
        run(corpus, tokenizer="none/vocab.txt")


def test_the_run_file_names_the_tokenizer_by_its_content(corpus, tmp_path):
    run(corpus, "first")
    run(corpus, tokenizer=str(tmp_path / "first" / "tokenizer"))
    identity = json.loads((tmp_path / "run" / "tokens" / "run.json").read_text())["identity"]
    wanted = tokenizer_fingerprint(build.load_tokenizer_file(str(tmp_path / "first" / "tokenizer")))
    assert identity["tokens"]["tokenizer"] == wanted
    (tmp_path / "first" / "tokenizer").rename(tmp_path / "moved")
    assert run(corpus, tokenizer=str(tmp_path / "moved"))["built"] == []
