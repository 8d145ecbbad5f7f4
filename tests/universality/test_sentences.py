"""Reading translations and texts: which files belong together, what is dropped, and that nothing goes in silently."""

import gzip
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.universality.sentences import LEAST_TEXTS, _Draw, find_parallel, find_texts


def numbered(word, count):
    return [f"{word} {number}" for number in range(count)]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def found(paths, **options):
    pairs, left_out = find_parallel(paths, **{"least": 1, **options})
    return {pair.name: (pair.language, pair.other, pair.texts, pair.others) for pair in pairs}, left_out


# --- translations ---


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["tatoeba.deu-eng.deu", "tatoeba.deu-eng.eng"], {"de-en": "deu"}),
        (["tatoeba.cmn-eng.cmn.gz", "tatoeba.cmn-eng.eng"], {"zh-en": "cmn"}),
        # Unknown codes stay as they are where the name tells that it is a pair.
        (["tatoeba.kzj-eng.kzj", "tatoeba.kzj-eng.eng"], {"kzj-en": "kzj"}),
        # `als` is Wikipedia's Alemannic beside `en`, and the standard's Tosk Albanian beside `eng`.
        (["x.als-eng.als", "x.als-eng.eng"], {"sq-en": "als"}),
        (["x.als-en.als", "x.als-en.en"], {"als-en": "als"}),
        (["books.en-nds-nl.nds-nl", "books.en-nds-nl.en"], {"nds-nl-en": "nds-nl"}),
        (["books.fr-de.de", "books.fr-de.fr"], {"fr-de": "fr"}),
        (["flores.de", "flores.en", "flores.sw.gz"], {"de-en": "de", "sw-en": "sw"}),
        (["flores.fr", "flores.de", "flores.sw"], {"fr-de": "fr", "sw-de": "sw"}),
        (["flores.deu_Latn", "flores.eng_Latn"], {"de-en": "deu_Latn"}),
        (
            ["flores.zho_Hans", "flores.zho_Hant", "flores.eng_Latn"],
            {"zh-en (flores.zho_Hans)": "zho_Hans", "zh-en (flores.zho_Hant)": "zho_Hant"},
        ),
        (
            ["a.de", "a.en", "b.de-en.de", "b.de-en.en"],
            {"de-en (a)": "de", "de-en (b.de-en)": "de"},
        ),
        (["dev/x.de", "dev/x.en", "test/x.de", "test/x.en"], {"de-en (dev/x.de)": "de", "de-en (test/x.de)": "de"}),
        # What is no language's code is not taken for one.
        (["a.de", "a.en", "a.md", "a.json", "run.sh", "LICENSE", ".a.fr"], {"de-en": "de"}),
    ],
)
def test_pairs_by_their_files_names(tmp_path, names, expected):
    for name in names:
        write(tmp_path / name, numbered(name.removesuffix(".gz").rpartition(".")[2], 3))
    pairs, left_out = found([tmp_path])
    assert {name: texts[0].rpartition(" ")[0] for name, (_, _, texts, _) in pairs.items()} == expected
    assert left_out == {}
    for name, (language, other, texts, others) in pairs.items():
        assert name.split(" ")[0] == f"{language}-{other}"
        assert [text.split()[-1] for text in texts] == [text.split()[-1] for text in others] == ["0", "1", "2"]


def test_two_files_are_named_one_by_one_or_by_a_glob(tmp_path):
    files = [write(tmp_path / f"a.{code}", numbered(code, 3)) for code in ("de", "en", "fr")]
    assert list(found(files[:2])[0]) == ["de-en"]
    assert list(found([tmp_path / "a.*"])[0]) == ["de-en", "fr-en"]


def test_of_a_file_in_both_forms_the_plain_one_is_read(tmp_path):
    for name in ("a.de", "a.en", "a.de.gz"):
        write(tmp_path / name, numbered(name, 2))
    assert found([tmp_path])[0]["de-en"][2] == ["a.de 0", "a.de 1"]


def test_a_line_whose_other_side_is_empty_goes_on_both_sides(tmp_path):
    write(tmp_path / "a.de", ["eins", "", " zwei\t zwei\r", "\u200b", "drei", "\u2028"])
    write(tmp_path / "a.en", ["one", "no", "two", "no", "", "no"])
    pairs, left_out = found([tmp_path])
    assert pairs["de-en"][2:] == (["eins", "zwei zwei"], ["one", "two"])
    assert left_out == {"de-en": "4 of 6 lines, because a side of them is empty"}


def test_other_separators_do_not_end_a_line(tmp_path):
    write(tmp_path / "a.de", ["eins\u2028eins", "zwei\x0bzwei", "drei\x85drei"])
    write(tmp_path / "a.en", numbered("x", 3))
    assert found([tmp_path])[0]["de-en"][2] == ["eins eins", "zwei zwei", "drei drei"]


def test_the_last_newline_may_be_missing(tmp_path):
    write(tmp_path / "a.de", ["eins", "zwei"])
    (tmp_path / "a.en").write_text("one\ntwo")
    assert found([tmp_path])[0]["de-en"][2:] == (["eins", "zwei"], ["one", "two"])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: write(path, numbered("x", 998)), "not aligned: a.de has 998 lines, a.en has 1,000"),
        (lambda path: path.write_bytes(b"gut\n" * 10 + "schön\n".encode("latin-1")), "a.de:11: not UTF-8 (byte 0xf6)"),
        (lambda path: path.write_bytes("schön\n".encode("utf-16")), "a.de:1: UTF-16, not UTF-8"),
        (lambda path: path.write_bytes(b""), "a.de: the file is empty"),
        (lambda path: path.write_bytes(gzip.compress(b"gut\n" * 1000)[:-9]), "a.de: damaged gzip file"),
        (lambda path: write(path, [*numbered("x", 60), *[""] * 940]), "60 sentences, fewer than 100; 940 of 1,000"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_is_read(tmp_path, damage, reason):
    for code in ("en", "fr"):
        write(tmp_path / f"a.{code}", numbered(code, 1000))
    damage(tmp_path / "a.de")
    pairs, left_out = find_parallel([tmp_path])
    assert [(pair.name, len(pair.texts)) for pair in pairs] == [("fr-en", 1000)]
    assert list(left_out) == ["de-en"]
    assert left_out["de-en"].startswith(reason)
    assert str(tmp_path) not in left_out["de-en"], "where the file lay is nobody's business"


def test_a_file_without_its_partner_is_named(tmp_path):
    for name in ("t.deu-eng.eng", "t.fra-eng.fra", "t.fra-eng.eng"):
        write(tmp_path / name, numbered("x", 3))
    pairs, left_out = found([tmp_path])
    assert list(pairs) == ["fr-en"]
    assert left_out == {"t.deu-eng.eng": "the file that it should be aligned with is not there"}


def test_only_some_languages(tmp_path):
    for name in ("a.de", "a.fr", "a.en", "b.de-fr.de", "b.de-fr.fr"):
        write(tmp_path / name, numbered("x", 3))
    pairs, left_out = found([tmp_path], languages=["de", "sw"])
    assert list(pairs) == ["de-en"]
    assert left_out == {"sw": "no translations of it were found"}
    assert list(found([tmp_path], languages=["de", "fr"])[0]) == ["de-en", "de-fr", "fr-en"]


@pytest.mark.parametrize("names", [["a.de"], ["a.txt", "a.md"], ["de.txt", "en.txt"], []])
def test_no_pair_at_all(tmp_path, names):
    for name in names:
        write(tmp_path / name, ["x"])
    write(tmp_path / "other" / "b.de", ["x"])
    write(tmp_path / "other" / "b.en", ["x"])
    (tmp_path / "here").mkdir()
    for name in names:
        (tmp_path / name).rename(tmp_path / "here" / name)
    with pytest.raises(DataError, match="here: no pair of line-aligned files") as caught:
        find_parallel([tmp_path / "other", tmp_path / "here"])
    assert "flores.de" in caught.value.fix


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        find_parallel([tmp_path / "nothing"])


# --- texts ---


def long_lines(word, count):
    return [f"{word * 20} {number}" for number in range(count)]


def test_texts_are_drawn_from_what_is_long_enough_and_each_once(tmp_path):
    lines = long_lines("a", 80)
    write(tmp_path / "de.txt", [*lines, *lines, *["short"] * 50, "b" * 19])
    write(tmp_path / "th.txt.gz", [f"ไทยไทยไ{number}" for number in range(60)] + ["ไทยไทยไ"])
    texts, left_out = find_texts([tmp_path], None, 70, 1)
    assert (list(texts), left_out) == (["de", "th"], {})
    assert len(texts["de"]) == len(set(texts["de"])) == 70
    assert set(texts["de"]) < set(lines)
    assert len(texts["th"]) == 60, "in a script without spaces 8 characters are enough, and fewer texts are taken"


def test_the_seed_alone_decides_and_not_the_order_nor_the_files(tmp_path):
    lines = long_lines("a", 300)
    write(tmp_path / "one" / "de.txt", lines)
    shuffled = random.Random(1).sample(lines, len(lines))
    write(tmp_path / "two" / "de.txt", shuffled[:100])
    write(tmp_path / "two" / "wiki.de.txt.gz", shuffled[90:])
    first, second = (find_texts([tmp_path / folder], None, 60, 3)[0] for folder in ("one", "two"))
    assert first == second
    assert find_texts([tmp_path / "one"], None, 60, 4)[0] != first
    # More include fewer: a larger draw does not replace what was measured on before.
    assert find_texts([tmp_path / "one"], None, 100, 3)[0]["de"][:60] == first["de"]


def test_every_line_is_as_likely():
    counts = Counter()
    for seed in range(400):
        draw = _Draw(5, seed)
        draw.add_from((str(number) for number in range(20)), 1)
        counts.update(draw.texts)
    # Binomial with p = 1/4: six standard deviations.
    assert len(counts) == 20
    assert all(abs(count - 100) < 6 * (400 * 0.25 * 0.75) ** 0.5 for count in counts.values())


@given(st.lists(st.text(max_size=3)), st.integers(1, 10), st.integers(0, 5))
def test_a_draw_is_of_distinct_texts_and_as_many_as_there_are(texts, count, seed):
    draw = _Draw(count, seed)
    draw.add_from(texts, 2)
    there = {text for text in texts if len(text) >= 2}
    assert len(draw.texts) == len(set(draw.texts)) == min(count, len(there))
    assert set(draw.texts) <= there


def test_a_run_s_corpus(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder = tmp_path / "run" / "corpus"
    folder.mkdir(parents=True)
    for code in ("de", "sw"):
        pq.write_table(pa.table({"text": long_lines(code, 90), "title": [code] * 90}), folder / f"{code}.parquet")
    (folder / "statistics.json").write_text("{}")
    write(folder / "parts" / "xx.txt", long_lines("x", 90))
    write(folder / "README.txt", long_lines("x", 90))
    expected, _ = find_texts([folder], None, 60, 1)
    assert {code: len(found) for code, found in expected.items()} == {"de": 60, "sw": 60}
    assert find_texts([tmp_path / "run"], None, 60, 1) == (expected, {})
    # The same lines in a text file are the same texts.
    write(tmp_path / "plain" / "sw.txt", long_lines("sw", 90))
    assert find_texts([tmp_path / "plain"], None, 60, 1)[0]["sw"] == expected["sw"]


def test_of_a_large_file_some_row_groups_are_read(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    lines = long_lines("a", 400)
    pq.write_table(pa.table({"text": lines}), tmp_path / "de.parquet", row_group_size=20)
    monkeypatch.setattr("unibert.universality.sentences._ROW_GROUPS", 4)
    texts = find_texts([tmp_path], None, 400, 1)[0]["de"]
    groups = {lines.index(text) // 20 for text in texts}
    assert len(texts) == 80
    assert len(groups) == 4
    assert groups != {lines.index(text) // 20 for text in find_texts([tmp_path], None, 400, 2)[0]["de"]}


def test_few_texts_and_damage_are_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    write(tmp_path / "de.txt", long_lines("a", LEAST_TEXTS))
    write(tmp_path / "fr.txt", [*long_lines("a", LEAST_TEXTS - 1), *["short"] * 99])
    good = "".join(f"{line}\n" for line in long_lines("a", 60)).encode()
    (tmp_path / "sw.txt").write_bytes(good + b"\xff" * 30 + b"\n")
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / "ru.parquet")
    (tmp_path / "uk.parquet").write_bytes(b"PAR1 nothing")
    texts, left_out = find_texts([tmp_path], ["de", "fr", "sw", "ru", "uk", "yo"], 100, 1)
    assert {code: len(found) for code, found in texts.items()} == {"de": 50, "sw": 60}
    assert left_out["fr"] == "49 different texts of 20 characters or more, fewer than 50, in fr.txt"
    assert left_out["yo"] == "no text of it was found"
    assert left_out["sw.txt"].startswith("1 of 61 lines are not UTF-8")
    assert left_out["ru.parquet"] == "no column 'text'"
    assert left_out["uk.parquet"].startswith("not a readable Parquet file")
    assert {"ru", "uk"} < set(left_out)
    assert len(left_out) == 7
    assert find_texts([tmp_path], ["fr"], 20, 1)[0].keys() == {"fr"}, "no more is needed than is asked for"


def test_no_text_at_all(tmp_path):
    write(tmp_path / "notes" / "README.txt", ["x"])
    with pytest.raises(DataError, match="no text file in it with a language in its name"):
        find_texts([tmp_path / "notes"], None, 10, 1)
    with pytest.raises(DataError, match="no such text file"):
        find_texts([tmp_path / "nothing"], None, 10, 1)
    with pytest.raises(DataError, match="no language"):
        find_texts([tmp_path / "notes" / "README.txt"], None, 10, 1)
