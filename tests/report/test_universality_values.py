"""What is taken out of an encoder's measures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.report import universality_values as values
from unibert.universality.disparity import RESOURCES, disparity
from unibert.universality.schema import Pair, Retrieval, Score
from universality_support import UNKNOWN, make_disparity, make_universality

EIGHT = ["de", "fr", "es", "ru", "uk", "zh", "hi", "xae"]


@pytest.fixture(scope="module")
def encoder():
    return make_universality("small", EIGHT, points=60)


def test_last_layer_is_the_highest_that_was_measured(encoder):
    assert values.layers(encoder) == [0, 1, 2, 3, 4] and values.last(encoder) == 4
    cut = encoder.model_copy(
        update={name: [part for part in getattr(encoder, name) if part.layer < 3] for name in ("probes", "geometry")}
        | {"retrieval": []}
    )
    assert values.last(cut) == 2
    assert values.last(cut.model_copy(update={"probes": [], "geometry": []})) == 4


def test_best_layer_is_that_of_the_highest_mean(encoder):
    table = values.best(encoder, "cosine", "centred")
    means = {r.layer: r.mean for r in encoder.retrieval if (r.similarity, r.treatment) == ("cosine", "centred")}
    assert table and table.mean == max(means.values()) and means[table.layer] == table.mean
    assert values.reference_layer(encoder) == table.layer
    only_raw = [r for r in encoder.retrieval if r.treatment == "raw" and r.layer < 2]
    assert values.reference_layer(encoder.model_copy(update={"retrieval": only_raw})) == 1
    assert values.reference_layer(encoder.model_copy(update={"retrieval": []})) == 4


def test_chance_is_the_mean_of_the_files_in_the_table(encoder):
    table = Retrieval(layer=0, similarity="cosine", treatment="raw", pairs={"a": Score(forth=1, back=0.5)})
    pairs = {name: Pair(language="de", other="en", sentences=n, chance=1 / n) for name, n in (("a", 100), ("b", 50))}
    changed = encoder.model_copy(update={"pairs": pairs, "retrieval": [table]})
    assert values.chance(changed, table) == pytest.approx(0.01)
    both = table.model_copy(update={"pairs": dict.fromkeys("ab", Score(forth=1, back=0.5))})
    assert values.chance(changed, both) == pytest.approx(0.015)
    assert values.chance(changed, table.model_copy(update={"pairs": {}})) == 0
    # Two files of one language are told apart by their names.
    assert values.by_language(changed, both) == {"a": 0.75, "b": 0.75}
    assert values.by_language(changed, table) == {"de": 0.75}


def test_groups_hold_every_file_once(encoder):
    for key in (values.script, values.family):
        groups = values.grouped(encoder, key)
        assert sorted(name for names in groups.values() for name in names) == sorted(encoder.pairs)
        assert [len(names) for names in groups.values()] == sorted(map(len, groups.values()), reverse=True)
    assert values.grouped(encoder, values.script)["Cyrillic"] == ["ru-en", "uk-en"]
    assert values.grouped(encoder, lambda code: "x" if code == "zh" else None) == {"x": ["zh-en"]}
    assert values.family(UNKNOWN[0]) == "unknown"


@given(st.dictionaries(st.sampled_from([*EIGHT, "a", "b", "c"]), st.integers(0, 5), max_size=11))
def test_thirds_are_those_of_the_disparity(sizes):
    found = values.thirds(sizes)
    if len(sizes) < 3:
        assert found == {}
        return
    theirs = disparity("m", dict.fromkeys(sizes, 1.0), {"bytes": sizes}, draws=10).resources
    assert {name: float(list(found.values()).count(name)) for name in RESOURCES} == {
        name: of["languages"] for name, of in theirs.items()
    }
    for more, fewer in (("high", "middle"), ("middle", "low")):
        assert min(sizes[c] for c in found if found[c] == more) >= max(sizes[c] for c in found if found[c] == fewer)


def test_commonest_is_by_number_then_name():
    assert values.commonest(["b", "a", "unknown", "b", "unknown", "unknown", "c"]) == ["b", "a", "c"]


def test_ways_are_in_the_order_of_the_columns(encoder):
    assert values.ways([encoder]) == list(values.TABLES)
    some = [r for r in encoder.retrieval if r.treatment == "centred"]
    assert [values.way(*way) for way in values.ways([encoder.model_copy(update={"retrieval": some})])] == [
        "cosine, centred", "CSLS, centred",
    ]  # fmt: skip


def test_measures_are_by_name_and_encoder(encoder):
    other = encoder.model_copy(
        update={"model": "b", "disparity": [make_disparity("NER", {"de": 1.0, "fr": 2.0}, {"bytes": {}})]}
    )
    found = values.measures([encoder, other])
    assert list(found["NER"]) == ["b"] and list(found["retrieval, raw"]) == ["small"]
