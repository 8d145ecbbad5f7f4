"""The section on universality: what is said of which numbers, and how it gets on the page."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from significance_support import write_scored_run
from unibert.errors import DataError, RecipeError
from unibert.report.blocks import Details, FigureBlock
from unibert.report.collect import collect
from unibert.report.origin import provenance_table
from unibert.report.page import build_report, write_report
from unibert.report.subsets import chosen
from unibert.report.tables import Table
from unibert.report.universality import (
    DETAILED,
    cautions,
    universality_numbers,
    universality_section,
    universality_sentence,
)
from unibert.universality.schema import Geometry, Probe, Score
from universality_support import make_universality, points_of, write_universality

FEW = ["de", "fr", "es", "ru", "uk", "zh", "hi", "am", "xae"]


@pytest.fixture(scope="module")
def small():
    return make_universality("small", FEW, points=60, skill=0.5)


@pytest.fixture(scope="module")
def large():
    return make_universality("large", FEW, points=60, skill=0.9, parameters=178_000_000)


@pytest.fixture(scope="module")
def last_only(small):
    """Of one layer, one map and two measures: what takes long to draw is drawn once."""
    parts = {name: [x for x in getattr(small, name) if x.layer == 4] for name in ("probes", "retrieval", "geometry")}
    return small.model_copy(update=parts | {"maps": small.maps[:1], "disparity": small.disparity[2:]})


def with_probe(encoder, *accuracies: float):
    probe = Probe(layer=4, kind="linear", accuracies=list(accuracies), chance=0.1, languages=dict.fromkeys(FEW, 0.1))
    return encoder.model_copy(update={"probes": [probe], "retrieval": []})


def with_retrieval(encoder, raw: float, centred: float | None):
    found = []
    for treatment, value in (("raw", raw), ("centred", centred)):
        if value is not None:
            table = encoder.retrieval_at(4, "cosine", treatment)
            pairs = {name: Score(forth=value + 0.001, back=value - 0.001) for name in table.pairs}
            found.append(table.model_copy(update={"pairs": pairs}))
    return encoder.model_copy(update={"probes": [], "retrieval": found})


@pytest.mark.parametrize(
    ("accuracies", "told"),
    [
        ((0.99, 0.98, 0.99), "So the embeddings nearly always tell which language a sentence is in."),
        ((0.7, 0.71), "So the embeddings mostly tell"),
        ((0.2, 0.21, 0.2), "So the embeddings tell something of the language."),
        ((0.11, 0.09, 0.12), "So this probe cannot tell the languages apart, which does not prove that none could."),
        ((0.1,), "So this probe cannot tell"),
    ],
)
def test_a_probe_s_accuracy_is_judged_against_chance_and_its_margin(small, accuracies, told):
    sentence = universality_sentence([with_probe(small, *accuracies)])
    mean = sum(accuracies) / len(accuracies)
    assert f"{mean * 100:.1f} % of the held-out sentences; guessing among 10 languages reads 10.0 %" in sentence
    assert told in sentence


@pytest.mark.parametrize(
    ("raw", "centred", "told"),
    [
        (0.1, 0.4, "So most of what it can find is hidden behind a mere shift between the languages (30.0 points)."),
        (0.3, 0.4, "So a shift between the languages hides a part of what it can find (10.0 points)."),
        (0.4, 0.402, "So removing the means buys next to nothing."),
        (0.4, 0.3, "So removing the means does harm (10.0 points)."),
        (0.01, 0.03, "Both are so low that nothing can be concluded from their difference."),
        (0.4, None, "40.0 % of the cases (chance"),
    ],
)
def test_what_removing_the_means_buys_is_told(small, raw, centred, told):
    sentence = universality_sentence([with_retrieval(small, raw, centred)])
    assert told in sentence and sentence.startswith("A sentence finds its translation in")


def test_the_best_layer_is_told_where_it_is_not_the_last(small):
    best = small.retrieval_at(3, "cosine", "centred")
    assert f"best at layer 3, in {best.mean * 100:.1f} %" in universality_sentence([small])


def test_several_encoders_are_told_in_one_sentence_each_thing(small, large):
    sentence = universality_sentence([small, large])
    assert "2 encoders" in sentence and "large finds the most translations" in sentence
    crossed = with_retrieval(large, 0.5, 0.51).model_copy(update={"model": "third"})
    sentence = universality_sentence([with_retrieval(small, 0.2, 0.6), crossed])
    assert "found by third as it is (50.0 %) and small with each language's mean removed (60.0 %)." in sentence
    assert universality_sentence([]) == ""


def test_key_numbers_are_the_best_retrieval_and_the_lowest_probe(small, large):
    probe, retrieval = universality_numbers([small, large])
    centred, raw = (large.retrieval_at(4, "cosine", treatment).mean for treatment in ("centred", "raw"))
    assert retrieval.value == f"{centred * 100:.1f} %" and retrieval.label == "Translations found, centred"
    assert retrieval.hint.startswith(f"large, raw {raw * 100:.1f} %, chance ")
    assert "chance 10.0 %" in probe.hint
    assert [number.label for number in universality_numbers([with_retrieval(small, 0.3, None)])] == [
        "Translations found, raw"
    ]
    assert universality_numbers([]) == []


def test_cautions_are_those_that_apply(small, large):
    told = " ".join(cautions([small, large]))
    assert "UMAP" in told and "same languages or files" not in told and "stays below" not in told
    other = make_universality("other", FEW[:4], points=0)
    assert "not measured on the same languages or files" in " ".join(cautions([small, other]))
    assert "small: retrieval stays below 5 %" in " ".join(cautions([with_retrieval(small, 0.01, 0.02)]))
    assert "1 seed" in " ".join(cautions([with_probe(small, 0.5)]))
    nothing = small.model_copy(update={"probes": [], "retrieval": [], "disparity": [], "maps": []})
    assert cautions([nothing]) == []


def names(section) -> list[str]:
    return [
        table.name
        for block in section.blocks
        for table in ([block] if isinstance(block, Table) else block.tables if isinstance(block, Details) else [])
    ]


def test_section_has_words_first_and_everything_once(small, large):
    gaps = []
    section = universality_section([small, large], gaps)
    assert isinstance(section.blocks[0], str) and section.blocks[0].startswith("From the last layer of small")
    assert isinstance(section.blocks[1], str) and isinstance(section.blocks[2], Table)
    assert sorted(names(section)) == sorted(set(names(section)))
    pictures = [picture for block in section.blocks if isinstance(block, FigureBlock) for picture in block.pictures]
    assert len({picture.name for picture in pictures}) == len(pictures)
    assert all(len(picture.label) > 40 for picture in pictures)
    assert [(gap.part, gap.kind) for gap in gaps] == [
        ("universality of small", "left out"), ("universality of large", "left out"),
    ]  # fmt: skip
    assert any(isinstance(block, str) and "cannot spell Amharic (am)" in block for block in section.blocks)
    assert universality_section([], gaps).blocks == []


def test_a_damaged_distance_is_a_gap_and_the_rest_is_shown(last_only):
    shape = last_only.geometry[-1]
    lacking: Geometry = shape.model_copy(update={"distances": shape.distances | {"de": {"de": 0.0}}})
    gaps = []
    section = universality_section([last_only.model_copy(update={"geometry": [lacking], "left_out": {}})], gaps)
    assert [gap.kind for gap in gaps] == ["damaged"] and "de" in gaps[0].reason
    assert "universality-languages" in names(section)


def test_further_encoders_are_in_the_tables_only(last_only):
    bare = {"maps": [], "disparity": [], "geometry": []}
    many = [last_only.model_copy(update=bare | {"model": f"m{number}"}) for number in range(DETAILED + 2)]
    section = universality_section(many, [])
    drawn = [block.title for block in section.blocks if isinstance(block, FigureBlock)]
    assert [title for title in drawn if title.startswith("Retrieval by language")] == [
        f"Retrieval by language, m{number}" for number in range(DETAILED)
    ]
    assert any(isinstance(block, str) and "the others are m4 and m5" in block for block in section.blocks)
    assert {row[0].text for row in section.blocks[len(many)].rows} == {f"m{number}" for number in range(DETAILED + 2)}


@pytest.mark.parametrize("part", ["probes", "retrieval", "geometry", "maps", "disparity", "spelling", "bytes", "pairs"])
def test_whatever_is_missing_does_not_stop_the_rest(last_only, part):
    empty = type(getattr(last_only, part))()
    spoilt = last_only.model_copy(update={part: empty} | ({"retrieval": []} if part == "pairs" else {}))
    section = universality_section([spoilt], [])
    assert section.blocks
    for block in section.blocks:
        if isinstance(block, FigureBlock):
            assert not any(re.search(r"\bnan\b|\binf\b", picture.inline) for picture in block.pictures)


# --- The run ---


def test_a_folder_of_universality_alone_is_a_run(tmp_path, last_only, large):
    run = write_universality(tmp_path / "study", large.model_copy(update={"maps": []}), last_only)
    found = collect(run)
    assert [encoder.model for encoder in found.universality] == ["small", "large"] and found.gaps == []
    assert found.universality[0] == last_only
    index = build_report(run)
    page = index.read_text(encoding="utf-8")
    assert '<section id="universality"' in page and 'href="#universality"' in page
    for text in ("Language read by a probe", "How alike the languages are was measured of 2 encoders"):
        assert page.count(text) == 1
    assert len(points_of((index.parent / "figures/universality-map-1-1.svg").read_text())) == 120
    assert (index.parent / "tables/universality-languages.csv").read_text().count("\n") == 2 * len(FEW) + 1


def test_where_the_measures_come_from(tmp_path, last_only):
    """Each set-up once, however many encoders were measured in it."""
    commits = {"one": "abc", "two": "abc", "three": "def"}
    found = [
        last_only.model_copy(update={"model": name, "provenance": {"commit": commit}})
        for name, commit in commits.items()
    ]
    rows = provenance_table(collect(write_universality(tmp_path / "study", *found))).rows
    told = {(str(row[0].text), str(row[2].text)) for row in rows}
    assert {commit for _, commit in told} == {"abc", "def"}
    assert {name for name, _ in told} == {"universality, set-up 1", "universality, set-up 2"}


def test_damaged_files_are_named_and_the_others_shown(tmp_path, small):
    run = write_universality(tmp_path / "study", small)
    folder = run / "universality"
    shutil.copy(folder / "small.json", folder / "zz.json")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    tree = small.as_json()
    (folder / "newer.json").write_text(json.dumps(tree | {"schema": 9}), encoding="utf-8")
    (folder / "wrong.json").write_text(json.dumps(tree | {"layers": -1}), encoding="utf-8")
    (folder / "run.json").write_text("{}", encoding="utf-8")  # of the stage
    found = collect(run)
    assert [encoder.model for encoder in found.universality] == ["small"]
    told = {gap.part: (gap.kind, gap.reason) for gap in found.gaps}
    assert set(told) == {f"universality/{name}.json" for name in ("broken", "newer", "wrong", "zz")}
    assert told["universality/newer.json"] == ("damaged", "schema 9, not 1: written by another version")
    assert told["universality/wrong.json"][1].startswith("layers: ")
    assert told["universality/zz.json"] == ("left out", "small is there twice; the first file is used")
    assert str(tmp_path) not in " ".join(reason for _, reason in told.values())


def test_a_folder_without_any_of_it_is_refused_still(tmp_path):
    (tmp_path / "universality").mkdir()
    with pytest.raises(DataError, match="holds nothing of a run"):
        collect(tmp_path)


def test_it_stands_between_benchmarks_and_significance(tmp_path, last_only):
    folder = write_scored_run(tmp_path / "study", languages=("de", "fr"), samples=40)
    page = write_report(collect(write_universality(folder, last_only))).read_text(encoding="utf-8")
    places = [page.index(f'<section id="{anchor}"') for anchor in ("benchmark-ner", "universality", "significance")]
    assert places == sorted(places)


def test_only_what_is_asked_for_is_left(tmp_path, small, large):
    whole = collect(write_universality(tmp_path / "study", small, large))
    part = chosen(whole, models=["small"], languages=["de", "zh", "en"])
    (encoder,) = part.universality
    assert set(encoder.pairs) == {"de-en", "zh-en"} == set(encoder.retrieval[0].pairs)
    assert set(encoder.spelling) == {"de", "zh", "en"} == set(encoder.geometry[0].distances)
    assert all(set(row) == {"de", "zh", "en"} for row in encoder.geometry[0].distances.values())
    assert set(encoder.maps[0].languages) <= {"de", "zh", "en"}
    assert len(encoder.maps[0].x) == len(encoder.maps[0].languages) == len(encoder.maps[0].meanings)
    # What was measured over all languages stays.
    assert encoder.probes == small.probes and encoder.disparity == small.disparity
    assert [gap.part for gap in part.gaps] == ["universality/"]
    assert small.pairs.keys() == whole.universality[0].pairs.keys()
    assert chosen(whole, models=["large"]).universality == [large]
    for choice in ({"models": ["smal"]}, {"languages": ["xx"]}):
        with pytest.raises(RecipeError, match="not in this run"):
            chosen(whole, **choice)
    last = [table for table in encoder.retrieval if table.layer == 4]
    cut = encoder.model_copy(update={"retrieval": last, "probes": [], "disparity": []})
    assert universality_section([cut], []).blocks


def test_the_page_of_all_languages_stays_small(tmp_path):
    index = build_report(write_universality(tmp_path / "study", make_universality(points=1500)))
    assert index.stat().st_size < 1_500_000


def test_it_is_told_when_the_projection_has_seen_what_is_looked_for(small, large):
    text = {"settings": {"text": ["data/text"]}}
    assert "translations themselves" in " ".join(cautions([small]))
    own = [encoder.model_copy(update=text) for encoder in (small, large)]
    told = " ".join(cautions(own))
    assert "fitted on the probe's sentences" in told
    assert "translations themselves" not in told
    assert "These of small were drawn from the translations themselves" in " ".join(cautions([small, own[1]]))
    raw = [table for table in small.retrieval if table.treatment != "projected"]
    assert "rojected" not in " ".join(cautions([small.model_copy(update={"retrieval": raw})]))
