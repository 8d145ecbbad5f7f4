"""Counting: it adds up in any grouping, equals counting by hand, and shows what it counted."""

import copy
import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.corpus.statistics import (
    ALL_RULES,
    CHANGING_RULES,
    EXAMPLE_CHARACTERS,
    EXAMPLES,
    QUANTILES,
    Recorder,
    add_counts,
    empty_counts,
    format_examples,
    format_statistics,
    length_summary,
    merge_statistics,
    read_statistics,
    remove_sample,
)
from unibert.errors import DataError
from unibert.files import write_json


def part(file, language, size, damage=None, **more):
    counts = empty_counts()
    counts |= {
        "bytes": size,
        "characters": size,
        "tokens": size // 5,
        "samples": size // 100,
        "pages": 3,
        "paragraphs": size // 50,
        "lengths": {"20": size // 100} if size >= 100 else {},
    }
    counts["rules"]["short"]["dropped"] = 1_234
    return {
        "file": file, "language": language, "kind": "dump", "file_bytes": 10, "damage": damage, "counts": counts, **more
    }  # fmt: skip


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("kept"), st.text(st.characters(codec="utf-8")), st.integers(0, 30)),
        st.tuples(st.just("dropped"), st.sampled_from(ALL_RULES), st.text(st.characters(codec="utf-8"))),
        st.tuples(st.just("changed"), st.sampled_from(CHANGING_RULES), st.text("ab<", max_size=9), st.text("ab")),
    ),
    max_size=30,
)


def record(events):
    recorder = Recorder()
    for what, *arguments in events:
        getattr(recorder, what)(*arguments)
    return recorder.counts


def total(parts):
    into = empty_counts()
    for counts in parts:
        add_counts(into, counts)
    return into


@given(EVENTS, EVENTS, EVENTS)
def test_merging_does_not_depend_on_where_the_corpus_is_cut(first, second, third):
    whole = record([*first, *second, *third])
    parts = [record(first), record(second), record(third)]
    before = copy.deepcopy(parts)
    assert total(parts) == whole
    assert total([total(parts[:2]), parts[2]]) == total([parts[0], total(parts[1:])]) == whole
    assert parts == before, "merging changed what it merged"
    assert json.loads(json.dumps(whole)) == whole


@given(EVENTS)
def test_counts_equal_counting_by_hand(events):
    counts = record(events)
    kept = [(text, tokens) for what, text, tokens in (event for event in events if event[0] == "kept") if what]
    assert counts["samples"] == len(kept)
    assert counts["characters"] == sum(len(text) for text, _ in kept)
    assert counts["bytes"] == sum(len(text.encode()) for text, _ in kept)
    assert counts["tokens"] == sum(tokens for _, tokens in kept)
    assert counts["lengths"] == {str(length): number for length, number in Counter(t for _, t in kept).items()}
    for rule in ALL_RULES:
        for what in ("changed", "dropped"):
            assert counts["rules"][rule][what] == sum(event[:2] == (what, rule) for event in events)
        said = [event for event in events if event[0] != "kept" and event[1] == rule]
        assert len(counts["examples"].get(rule, [])) == min(len(said), EXAMPLES)


@given(EVENTS, st.text(st.characters(codec="utf-8")), st.integers(0, 30))
def test_a_sample_taken_back_leaves_only_its_rule(events, text, tokens):
    counts = record(events)
    expected = record([*events, ("dropped", "duplicate", text)])
    with_it = record([*events, ("kept", text, tokens)])
    remove_sample(with_it, "duplicate", text, tokens)
    assert with_it == expected
    assert with_it["samples"] == counts["samples"]


@given(st.lists(st.integers(0, 50), min_size=1))
def test_lengths_are_summed_up_as_a_sorted_list_would_be(lengths):
    found = length_summary({str(length): number for length, number in Counter(lengths).items()})
    ordered = sorted(lengths)
    assert math.isclose(found.mean, sum(lengths) / len(lengths))
    assert found.longest == max(lengths)
    assert found.median == ordered[(len(ordered) + 1) // 2 - 1]
    for share in QUANTILES:
        at_most = sum(length <= found.quantiles[share] for length in lengths)
        below = sum(length < found.quantiles[share] for length in lengths)
        assert at_most * 100 >= share * len(lengths) > below * 100


def test_no_samples_have_no_lengths():
    assert length_summary({}) is None


def test_a_huge_histogram_is_exact():
    found = length_summary({"5": 10**17, "7": 10**17 + 1})
    assert (found.median, found.quantiles[25]) == (7, 5)


def test_examples_show_the_place_of_the_change():
    recorder = Recorder()
    before, after = "x" * 500 + "<br>" + "y" * 500, "x" * 500 + " " + "y" * 500
    recorder.changed("html", before, after)
    recorder.changed("html", "a&amp;b", "a&b")
    recorder.dropped("short", "z" * 201)
    (long, short), (dropped,) = recorder.counts["examples"]["html"], recorder.counts["examples"]["short"]
    assert "<br>" in long["before"]
    assert "x y" in long["after"]
    assert long["before"].startswith("…x")
    assert short == {"before": "a&amp;b", "after": "a&b"}
    assert dropped["text"] == "z" * 199 + "…"
    assert max(len(text) for text in (*long.values(), *dropped.values())) == EXAMPLE_CHARACTERS


def test_files_become_languages_and_totals():
    merged = merge_statistics([part("b", "nl", 500), part("a", "de", 100), part("c", "de", 300)], "words", ["w"])
    assert list(merged["languages"]) == ["de", "nl"]
    assert merged["languages"]["de"]["bytes"] == 400
    assert merged["languages"]["de"]["lengths"] == {"20": 4}
    assert merged["totals"]["bytes"] == 900
    assert merged["files"][0] == {
        "file": "b", "language": "nl", "kind": "dump", "bytes": 10, "pages": 3, "samples": 5, "damage": None
    }  # fmt: skip
    assert (merged["schema"], merged["token_counter"], merged["warnings"]) == (2, "words", ["w"])


@pytest.mark.parametrize("first", [0, 1], ids=["from 0", "from 1"])
def test_slices_of_a_file_become_one_entry(first):
    parts = [
        part("a", "de", 100, "a: byte 5", slice=first),
        part("a", "de", 200, slice=first + 1),
        part("a", "de", 300, "a: byte 9", slice=first + 2),
        part("a", "de", 700, slice=first),  # of one name, in another folder
        part("b", "de", 500),
    ]
    files = merge_statistics(parts, "words", [])["files"]
    assert [(entry["file"], entry["samples"], entry["pages"]) for entry in files] == [
        ("a", 6, 9),
        ("a", 7, 3),
        ("b", 5, 3),
    ]
    assert [entry["damage"] for entry in files] == ["a: byte 5; a: byte 9", None, None]
    assert [entry["bytes"] for entry in files] == [10, 10, 10]


def test_lengths_stand_in_order():
    recorders = [Recorder(), Recorder()]
    for recorder, tokens in zip(recorders, ([100, 9], [10, 9, 5]), strict=True):
        for length in tokens:
            recorder.kept("x", length)
    parts = [part("a", "de", 100) | {"counts": recorder.counts} for recorder in recorders]
    assert list(merge_statistics(parts, "words", [])["totals"]["lengths"].items()) == [
        ("5", 1), ("9", 2), ("10", 1), ("100", 1)
    ]  # fmt: skip


def test_the_tables_show_the_largest_language_first_and_every_rule():
    merged = merge_statistics(
        [part("a", "de", 1_000), part("b", "nl", 2_000_000, "b: the XML ends"), part("c", "xqq", 50)], "words", ["note"]
    )
    lines = format_statistics(merged).splitlines()
    sizes = lines[: lines.index("")]
    assert [line.split()[0] for line in sizes if not line.startswith("-")][1:4] == ["nl", "de", "xqq"]
    assert "Dutch" in sizes[2]
    assert "2,000,000" in sizes[2]
    assert sizes[2].split()[-4:] == ["20.0", "20", "20", "20"]
    assert sizes[4].split()[-4:] == ["-"] * 4
    assert "2,001,050" in sizes[-1]
    assert "3 languages" in sizes[-1]
    assert len({len(line) for line in sizes[:-1] if not line.startswith("xqq")}) == 1
    text = "\n".join(lines)
    for shown in ("html changed", "links dropped", "digits dropped", "hidden dropped", "short dropped", "3,702"):
        assert shown in text
    (all_rules,) = [line for line in lines if line.startswith("all rules")]
    assert all_rules.split()[2:] == ["3,702", "9.25", "%"]
    assert "Damage in 1 of 3 files:\n  b: the XML ends" in text
    assert text.endswith("Warnings:\n  note")


def test_optional_rules_are_shown_where_they_dropped_something():
    entry = part("a", "de", 1_000)
    assert "duplicate" not in format_statistics(merge_statistics([entry], "words", []))
    entry["counts"]["rules"]["duplicate"]["dropped"] = 7
    text = format_statistics(merge_statistics([entry], "words", []))
    assert "duplicate dropped" in text
    assert "near-duplicate" not in text


def test_nothing_amiss_is_not_mentioned():
    text = format_statistics(merge_statistics([part("a", "de", 1_000)], "words", []))
    assert "Damage" not in text
    assert "Warnings" not in text
    assert "1 language " in text


def test_examples_come_from_several_languages():
    parts = []
    for code, size in (("de", 100), ("nl", 300)):
        recorder = Recorder()
        recorder.changed("hidden_characters", f"{code}\u200b", code)
        recorder.dropped("short", f"{code} 1")
        recorder.dropped("short", f"{code} 2")
        recorder.kept("x" * size, 5)
        parts.append({**part(code, code, 100), "counts": recorder.counts})
    merged = merge_statistics(parts, "words", [])
    assert format_examples(merged).splitlines() == [
        "hidden_characters:",
        "  nl: 'nl\\u200b'",
        "      → 'nl'",
        "  de: 'de\\u200b'",
        "      → 'de'",
        "",
        "short:",
        "  nl: dropped 'nl 1'",
        "  de: dropped 'de 1'",
        "  nl: dropped 'nl 2'",
    ]
    assert format_examples(merge_statistics([part("a", "de", 100)], "words", [])).startswith("No rule")


@pytest.mark.parametrize("content", [{"schema": 1, "languages": {}}, {"schema": 3}, {}, [1]])
def test_statistics_of_another_version_are_an_error(tmp_path, content):
    write_json(tmp_path / "statistics.json", content)
    with pytest.raises(DataError, match=r"statistics\.json: statistics of version") as error:
        read_statistics(tmp_path)
    assert "Build the corpus again" in error.value.fix


def test_statistics_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"statistics\.json: not there"):
        read_statistics(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s.pop("files"),
        lambda s: s.pop("totals"),
        lambda s: s["totals"].update(bytes="x"),
        lambda s: s["totals"].update(samples=s["totals"]["samples"] + 1),
        lambda s: s["totals"].update(lengths={"abc": 1}),
        lambda s: s["totals"].update(lengths={"5": -1}),
        lambda s: s["totals"]["rules"].pop("digits"),
        lambda s: s.update(files=[None]),
        lambda s: s.update(warnings=5),
        lambda s: s["languages"].update(de=None),
    ],
    ids=["files", "totals", "text", "sum", "length", "negative", "rule", "file", "warnings", "language"],
)
def test_statistics_that_were_changed_by_hand_are_named(tmp_path, spoil):
    statistics = merge_statistics([], "words", [])
    write_json(tmp_path / "statistics.json", statistics)
    assert read_statistics(tmp_path) == statistics
    spoil(statistics)
    write_json(tmp_path / "statistics.json", statistics)
    with pytest.raises(DataError, match=r"statistics\.json: damaged, or changed by hand"):
        read_statistics(tmp_path)
