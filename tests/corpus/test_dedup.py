import itertools
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from unibert.corpus import dedup, dedup_plan
from unibert.corpus.dedup import PartFiles, clean, deduplicate
from unibert.corpus.executors import run_tasks
from unibert.errors import DataError
from unibert.recipe import Deduplication, Executor

EXACT = Deduplication(exact=True)
NEAR = Deduplication(minhash=True)
BOTH = Deduplication(exact=True, minhash=True)


def write_parts(folder, language, parts):
    """One Parquet file per list of texts, in row groups of three; their PartFiles."""
    files = []
    for number, texts in enumerate(parts):
        path = folder / f"{language}-{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"text": pa.array(texts, pa.string()), "language": [language] * len(texts)})
        pq.write_table(table, path, row_group_size=3)
        files.append(PartFiles(path.stem, path))
    return files


class Runner:
    """Runs tasks one after the other, the last one first, each from its pickle; remembers which."""

    def __init__(self, broken=""):
        self.ran, self.broken = [], broken

    def __call__(self, tasks, label):
        assert label
        for task in reversed(tasks):
            if task.finished():
                continue
            if self.broken and self.broken in task.name:
                raise KeyboardInterrupt
            done = []
            pickle.loads(pickle.dumps(task)).run(done.append)
            assert sum(done) == task.size
            assert task.finished()
            self.ran.append(task.name)


def kept(tmp_path, corpus, settings, run=None):
    """Texts of each language that are left, part by part; and what was removed, as (exact, near) row lists."""
    files = {language: write_parts(tmp_path / "parts", language, parts) for language, parts in corpus.items()}
    removed = deduplicate(files, settings, run or Runner(), tmp_path / "dedup")
    left, gone = {}, {}
    for language, parts in corpus.items():
        left[language] = []
        for file, texts in zip(files[language], parts, strict=True):
            exact, near = (rows.tolist() for rows in removed[file.name].load())
            assert not set(exact) & set(near)
            assert (exact, near) == (sorted(exact), sorted(near))
            left[language].append([text for row, text in enumerate(texts) if row not in {*exact, *near}])
            gone.setdefault(language, []).append((exact, near))
    return left, gone


def shards_of(monkeypatch, rows):
    monkeypatch.setattr(dedup_plan, "SHARD_ROWS", rows)


def prose(seed, words=120):
    chosen = random.Random(seed)
    return " ".join("".join(chosen.choices("aeioubdlmnrst", k=6)) for _ in range(words)) + "."


def changed(text, place=20):
    words = text.split()
    words[place] = "something"
    return " ".join(words)


def chained(lists):
    return list(itertools.chain.from_iterable(lists))


def without_repeats(texts):
    return list(dict.fromkeys(texts))


# --- exact ---


@pytest.mark.parametrize("folder", ["plain", "a[1] *b?"])
@pytest.mark.parametrize("settings", [EXACT, BOTH], ids=["exact", "both"])
def test_the_first_of_equal_texts_stays_in_its_language(tmp_path, settings, folder):
    corpus = {
        "de": [["a", "b", "a"], [], ["c", "a", "b"], ["d"]],
        "fr": [["a", "b"]],
        "it": [[]],
    }
    left, gone = kept(tmp_path / folder, corpus, settings)
    assert left == {"de": [["a", "b"], [], ["c"], ["d"]], "fr": [["a", "b"]], "it": [[]]}
    assert gone["de"] == [([2], []), ([], []), ([1, 2], []), ([], [])]


def test_texts_must_be_equal_to_the_last_character(tmp_path):
    texts = ["Ein Satz.", "Ein Satz. ", "ein Satz.", "Ein Satz", "Ein  Satz.", ""]
    assert kept(tmp_path, {"de": [texts]}, EXACT)[0] == {"de": [texts]}


@pytest.mark.parametrize("shard", [1, 4, 7, 1000])
def test_the_first_stays_whatever_the_shards(tmp_path, monkeypatch, shard):
    shards_of(monkeypatch, shard)
    monkeypatch.setattr(dedup_plan, "FINDER_ROWS", 20)  # and whatever the number of tasks that merge hashes
    chosen = random.Random(3)
    parts = [[str(chosen.randrange(30)) for _ in range(size)] for size in (17, 0, 1, 40, 5)]
    left, _ = kept(tmp_path, {"de": parts}, EXACT)
    assert chained(left["de"]) == without_repeats(chained(parts))


def test_many_shards_become_fewer_larger_ones(tmp_path, monkeypatch):
    shards_of(monkeypatch, 1)
    monkeypatch.setattr(dedup_plan, "SHARDS", 4)
    files = write_parts(tmp_path, "de", [["a"] * 10, ["b"] * 20, ["c"] * 9])
    job = dedup_plan.plan_job("de", files, EXACT, tmp_path / "dedup")
    assert len(job.shards) <= 4
    assert chained(texts for shard in job.shards for texts in shard.texts()) == ["a"] * 10 + ["b"] * 20 + ["c"] * 9
    assert [shard.start for shard in job.shards] == [
        sum(before.rows for before in job.shards[:number]) for number in range(len(job.shards))
    ]


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.lists(st.text("abñ日 ", max_size=2), max_size=12), min_size=1, max_size=4),
    shard=st.integers(1, 9),
)
def test_exact_is_what_a_dictionary_does(tmp_path_factory, parts, shard):
    with pytest.MonkeyPatch.context() as monkeypatch:
        shards_of(monkeypatch, shard)
        left, _ = kept(tmp_path_factory.mktemp("dedup"), {"de": parts}, EXACT)
    assert chained(left["de"]) == without_repeats(chained(parts))


# --- near ---


@pytest.mark.parametrize("settings", [NEAR, BOTH], ids=["minhash", "both"])
@pytest.mark.parametrize("folder, shard", [("plain", 1), ("plain", 5), ("plain", 1000), ("a[1] *b?", 5)])
def test_a_text_with_one_other_word_is_found_and_the_first_stays(tmp_path, monkeypatch, settings, folder, shard):
    shards_of(monkeypatch, shard)
    own = [prose(seed) for seed in range(12)]
    parts = [own[:6], [changed(own[2], 119), own[6], changed(own[4])], own[7:], [changed(own[11]), changed(own[4], 0)]]
    left, gone = kept(tmp_path / folder, {"de": parts, "fr": [[changed(own[0])]]}, settings)
    assert left["de"] == [own[:6], [own[6]], own[7:], []]
    assert left["fr"] == [[changed(own[0])]]
    assert gone["de"][1] == ([], [0, 2])


def test_as_many_pairs_are_found_as_the_theory_says(tmp_path):
    """One word of 40 changed in the middle: 31 of 41 n-grams in common, 1 - (1 - 0.756 ** 8) ** 14 = 0.79 are found."""
    texts = [prose(seed, words=40) for seed in range(300)]
    _, gone = kept(tmp_path, {"de": [texts, [changed(text) for text in texts]]}, NEAR)
    assert gone["de"][0] == ([], [])
    assert 0.72 < len(gone["de"][1][1]) / len(texts) < 0.86


def test_a_chain_of_near_texts_is_one_cluster_and_its_first_stays(tmp_path):
    chain = [prose(1, words=60)]
    for place in range(0, 36, 6):
        chain.append(changed(chain[-1], place))
    other = prose(2)
    # The longest cluster grows from its end: union by size would keep one of the last.
    left, _ = kept(tmp_path, {"de": [[chain[6], other], chain[:6]]}, NEAR)
    assert left["de"] == [[chain[6], other], []]


def test_unrelated_texts_stay(tmp_path):
    texts = [prose(seed, words) for seed, words in enumerate([5, 10, 20, 40, 80, 160] * 20)]
    assert kept(tmp_path, {"de": [texts]}, BOTH)[0] == {"de": [texts]}


@pytest.mark.parametrize("settings, left", [(NEAR, ["four words are few"] * 2), (BOTH, ["four words are few"])])
def test_texts_shorter_than_an_n_gram_are_never_near(tmp_path, settings, left):
    assert kept(tmp_path, {"en": [["four words are few"] * 2]}, settings)[0] == {"en": [left]}


def test_numbers_case_and_punctuation_make_no_difference_but_vowel_marks_do(tmp_path):
    towns = [
        "Der Ort hat heute 1234 Einwohner und liegt am Fluss im Norden des Landes.",
        "der Ort hat heute 98 Einwohner, und liegt am Fluss im Norden des Landes",
    ]
    letters, marks = "कगतनपमरलसहदब", "ुेैंूेुैंूेु"
    hindi = [" ".join(map("".join, zip(letters, vowels, strict=True))) for vowels in (marks, marks[3:] + marks[:3])]
    left, _ = kept(tmp_path, {"de": [towns], "hi": [hindi]}, NEAR)
    assert left == {"de": [towns[:1]], "hi": [hindi]}


@pytest.mark.parametrize(
    "text", ["日本語の文章はここにあります。" * 6, "ภาษาไทยเป็นภาษาราชการของประเทศไทย " * 6], ids=["ja", "th"]
)
def test_scripts_without_spaces(tmp_path, text):
    assert kept(tmp_path, {"xx": [[text, text[:-1] + "x", prose(1)]]}, NEAR)[0] == {"xx": [[text, prose(1)]]}


def test_exact_repeats_are_counted_as_exact_when_both_are_on(tmp_path):
    text = prose(1)
    _, gone = kept(tmp_path, {"de": [[text, text, changed(text), changed(text)]]}, BOTH)
    assert gone["de"] == [([1, 3], [2])]


def test_many_bands_on_their_own_are_the_same(tmp_path, monkeypatch):
    texts = [prose(seed) for seed in range(9)]
    parts = [texts, [changed(text) for text in texts[::2]]]
    expected = kept(tmp_path / "together", {"de": parts}, NEAR)
    monkeypatch.setattr(dedup, "_BAND_ROWS", 0)
    run = Runner()
    assert kept(tmp_path / "apart", {"de": parts}, NEAR, run) == expected
    assert sum("near-pairs" in name for name in run.ran) == NEAR.buckets


# --- restarts ---


CORPUS = {
    "de": [[prose(1), prose(2), prose(1)], [changed(prose(2))]],
    "fr": [[prose(3)], [prose(3), prose(4)]],
}


def test_nothing_is_computed_twice(tmp_path):
    files = {language: write_parts(tmp_path / "parts", language, parts) for language, parts in CORPUS.items()}
    expected = deduplicate(files, BOTH, Runner(), tmp_path / "dedup")
    again = Runner()
    assert deduplicate(files, BOTH, again, tmp_path / "dedup") == expected
    assert again.ran == []


@pytest.mark.parametrize(
    "place", ["de-exact-hashes", "exact-repeats", "near-signatures", "near-pairs", "clusters", "rows"]
)
def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, monkeypatch, place):
    shards_of(monkeypatch, 2)
    files = {language: write_parts(tmp_path / "parts", language, parts) for language, parts in CORPUS.items()}
    whole = Runner()
    expected = {
        name: [rows.tolist() for rows in removed.load()]
        for name, removed in deduplicate(files, BOTH, whole, tmp_path / "whole").items()
    }
    first, second = Runner(broken=place), Runner()
    with pytest.raises(KeyboardInterrupt):
        deduplicate(files, BOTH, first, tmp_path / "dedup")
    removed = deduplicate(files, BOTH, second, tmp_path / "dedup")
    assert sorted(first.ran + second.ran) == sorted(whole.ran)
    assert {name: [rows.tolist() for rows in value.load()] for name, value in removed.items()} == expected


def test_other_input_and_other_settings_are_computed_anew_and_replace_the_old(tmp_path):
    files = {"de": write_parts(tmp_path / "parts", "de", CORPUS["de"])}
    deduplicate(files, EXACT, Runner(), tmp_path / "dedup")
    run = Runner()
    deduplicate(files, BOTH, run, tmp_path / "dedup")
    assert run.ran
    files = {"de": write_parts(tmp_path / "parts", "de", [["a", "a"], ["a"]])}
    removed = deduplicate(files, BOTH, Runner(), tmp_path / "dedup")
    assert [rows.tolist() for rows in removed["de-1"].load()] == [[0], []]
    assert len(list((tmp_path / "dedup").iterdir())) == 1


def test_a_part_that_was_written_again_is_read_again(tmp_path):
    files = {"de": write_parts(tmp_path, "de", [["a", "b"]])}
    deduplicate(files, EXACT, Runner(), tmp_path / "dedup")
    path = files["de"][0].samples
    os.utime(path, ns=(1, 1))
    run = Runner()
    deduplicate(files, EXACT, run, tmp_path / "dedup")
    assert run.ran


def test_only_the_result_is_left_and_clean_removes_it(tmp_path):
    kept(tmp_path, CORPUS, BOTH)
    left = [path for path in (tmp_path / "dedup").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["00000.npz", "00000.npz", "00001.npz", "00001.npz"]
    clean(tmp_path / "dedup")
    assert not (tmp_path / "dedup").exists()
    clean(tmp_path / "dedup")


def test_languages_in_groups_are_the_same(tmp_path, monkeypatch):
    expected = kept(tmp_path / "together", CORPUS, BOTH)
    monkeypatch.setattr(dedup, "_GROUP_ROWS", 1)
    run = Runner()
    assert kept(tmp_path / "apart", CORPUS, BOTH, run) == expected
    assert run.ran.index("de-rows") < run.ran.index("fr-exact-hashes-00000")


def test_processes_elsewhere_find_the_same(tmp_path, monkeypatch):
    """By the executor that the corpus uses, from relative paths, as recipes have them."""
    shards_of(monkeypatch, 2)
    expected = kept(tmp_path / "here", CORPUS, BOTH)
    monkeypatch.chdir(tmp_path)

    def run(tasks, label):
        run_tasks(tasks, Executor(), 3, Path("logs"), label)

    assert kept(Path("there"), CORPUS, BOTH, run) == expected


# --- what can go wrong ---


def test_off_does_nothing(tmp_path):
    files = {"de": write_parts(tmp_path, "de", [["a", "a"]])}
    assert deduplicate(files, Deduplication(), Runner(), tmp_path / "dedup") == {}
    assert not (tmp_path / "dedup").exists()


def test_a_task_left_unfinished_is_an_error_not_a_text_without_repeats(tmp_path):
    files = {"de": write_parts(tmp_path, "de", [["a", "a"]])}
    with pytest.raises(DataError, match="de-exact-hashes-00000 was not finished"):
        deduplicate(files, EXACT, lambda tasks, label: tasks, tmp_path / "dedup")


def test_missing_packages_are_named_with_the_command_to_install_them(tmp_path):
    """In a process of its own: here they are imported already."""
    script = """
import sys
sys.modules["xxhash"] = None
from pathlib import Path
from unibert.corpus.dedup import deduplicate
from unibert.recipe import Deduplication
deduplicate({}, Deduplication(exact=True), print, Path("nowhere"))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "DataError" in ended.stderr
    assert "xxhash" in ended.stderr
    assert "pip install 'unibert[filters]'" in ended.stderr


def test_nothing_is_printed(tmp_path, capfd):
    kept(tmp_path, CORPUS, BOTH)
    assert capfd.readouterr() == ("", "")
