"""Universality in tables: every number is the files', and nothing is made up where one is missing."""

from __future__ import annotations

from statistics import fmean

import pytest

from unibert.report import universality_tables as tables
from unibert.report.tables import to_csv, to_html, to_markdown
from unibert.universality.schema import Pair
from universality_support import make_disparity, make_universality

FEW = ["de", "fr", "es", "ru", "uk", "zh", "hi", "am", "xae"]


@pytest.fixture(scope="module")
def pair():
    return [
        make_universality("small", FEW, points=0, skill=0.3),
        make_universality("acme/base", FEW, layers=7, points=0, parameters=178_000_000),
    ]


def cells(table, *first: str) -> dict[str, object]:
    """The row that begins with these words, by column."""
    (row,) = [row for row in table.rows if [cell.text for cell in row[: len(first)]] == list(first)]
    return {column.label: cell for column, cell in zip(table.columns, row, strict=True)}


def test_overview_is_of_the_last_layer(pair):
    table = tables.overview_table(pair)
    row = cells(table, "acme/base")
    base = pair[1]
    raw, centred = (base.retrieval_at(7, "cosine", treatment).mean for treatment in ("raw", "centred"))
    assert row["Retrieval, cosine, raw"].value == raw and row["Retrieval, cosine, centred"].value == centred
    assert row["Gap, points"].value == pytest.approx(100 * (centred - raw))
    linear = next(probe for probe in base.probes if (probe.kind, probe.layer) == ("linear", 7))
    assert row["Probe, linear"].value == pytest.approx(fmean(linear.accuracies)) and "±" in row["Probe, linear"].small
    assert row["Chance, probe"].value == pytest.approx(1 / 10)
    assert row["Chance, retrieval"].value == pytest.approx(fmean(its.chance for its in base.pairs.values()))
    assert row["Best layer, cosine"].small == "layer 6"
    assert row["Best layer, cosine"].value == base.retrieval_at(6, "cosine", "centred").mean
    assert row["Parameters"].text == "178.00 M" and row["Anisotropy"].value == base.geometry[-1].anisotropy
    # The best retrieval is in bold, and it alone.
    strong = [(cells(table, model), model) for model in ("small", "acme/base")]
    assert {model for of, model in strong if of["Retrieval, CSLS, centred"].strong} == {"acme/base"}
    assert not any(cell.strong for cell in cells(tables.overview_table(pair[:1]), "small").values())


def test_what_was_not_measured_is_a_dash_with_its_reason(pair):
    bare = pair[0].model_copy(update={"probes": [], "geometry": [], "retrieval": pair[0].retrieval[:1]})
    row = cells(tables.overview_table([bare, pair[1]]), "small")
    for name in ("Probe, linear", "Chance, probe", "Retrieval, CSLS, raw", "Gap, points", "Anisotropy", "Between"):
        assert row[name].text == "—" and row[name].value is None and row[name].note == "not measured"
    one_seed = [probe.model_copy(update={"accuracies": probe.accuracies[:1]}) for probe in pair[0].probes]
    row = cells(tables.overview_table([pair[0].model_copy(update={"probes": one_seed})]), "small")
    assert row["Probe, linear"].small == ""
    empty = pair[0].model_copy(update={"probes": [], "geometry": [], "retrieval": [], "pairs": {}, "spelling": {}})
    for table in (tables.overview_table([empty]), tables.languages_table([empty]), tables.disparity_table([empty])):
        to_html(table), to_markdown(table), to_csv(table)
    assert tables.group_tables([empty]) == [] and tables.spelling_table([empty]).rows == []


def test_every_layer_has_a_row(pair):
    table = tables.layers_table(pair)
    assert [(row[0].text, row[1].value) for row in table.rows] == [
        *(("small", layer) for layer in range(5)), *(("acme/base", layer) for layer in range(8)),
    ]  # fmt: skip
    row = cells(table, "small", "2")
    assert row["Retrieval, CSLS, projected"].value == pair[0].retrieval_at(2, "csls", "projected").mean
    assert row["Anisotropy, centred"].value == pair[0].geometry[2].anisotropy_centred


def test_a_group_is_the_mean_of_its_files_at_the_best_layer(pair):
    by_name = {table.name: table for table in tables.group_tables(pair)}
    assert list(by_name) == ["universality-script", "universality-family", "universality-resources"]
    row = cells(by_name["universality-script"], "Cyrillic", "small")
    best = pair[0].retrieval_at(3, "cosine", "centred")
    assert row["Cosine, centred"].value == pytest.approx(fmean(best.pairs[name].mean for name in ("ru-en", "uk-en")))
    assert row["Files"].value == 2
    worst = min(("ru", "uk"), key=lambda code: best.pairs[f"{code}-en"].mean)
    assert row["Worst language"].small == f"({worst})"
    assert row["Worst language"].value == best.pairs[f"{worst}-en"].mean
    resources = by_name["universality-resources"]
    assert [row[0].text for row in resources.rows] == ["high", "high", "middle", "middle", "low", "low"]
    # xae has no size.
    assert sum(row[2].value for row in resources.rows) == 2 * (len(FEW) - 1)
    unsized = [encoder.model_copy(update={"bytes": {}}) for encoder in pair]
    assert [table.name for table in tables.group_tables(unsized)] == ["universality-script", "universality-family"]


def test_every_file_of_every_encoder_is_a_row(pair):
    table = tables.languages_table(pair)
    assert len(table.rows) == 2 * len(FEW)
    row = cells(table, "small", "zh-en")
    score = pair[0].retrieval_at(3, "cosine", "centred").pairs["zh-en"]
    assert row["Forth, cosine, centred"].value == score.forth and row["Back, cosine, centred"].value == score.back
    assert (row["Language"].text, row["Script"].text, row["Family"].text) == ("Chinese", "Chinese", "Sinitic")
    # A file that one table lacks is a dash, and is in no mean.
    more = pair[0].pairs | {"it-en": Pair(language="it", other="en", sentences=200, chance=1 / 200)}
    with_one = pair[0].model_copy(update={"pairs": more})
    row = cells(tables.languages_table([with_one]), "small", "it-en")
    assert row["Cosine, raw"].note == "not measured"
    row = cells(tables.group_tables([with_one])[1], "Romance", "small")
    assert row["Files"].value == 2


def test_disparity_has_its_intervals_and_its_worst(pair):
    table = tables.disparity_table(pair)
    row = cells(table, "retrieval, raw", "small")
    found = pair[0].disparity[0]
    rank = found.correlations["bytes"]
    assert row["ρ with bytes of text"].value == rank.value
    assert row["ρ with bytes of text"].small == f"({rank.low:.2f} to {rank.high:.2f})".replace("-", "−")
    assert row["Gini coefficient"].value == found.gini.value
    assert row["Worst tenth"].text == ", ".join(found.worst) and row["Worst tenth, mean"].value == found.worst_mean
    assert cells(table, "unknown pieces", "small")["ρ with unknown pieces"].note == "the measure itself"
    odd = make_disparity("x", {"de": 61.25, "fr": 60.0}, {"bytes": {}}).model_copy(update={"gini": None})
    row = cells(tables.disparity_table([pair[0].model_copy(update={"disparity": [odd, found]})]), "x", "small")
    assert row["Gini coefficient"].note == "has no meaning for these values"
    assert row["ρ with fertility"].note.startswith("no rank correlation")
    assert row["Worst tenth, mean"].text == "60.0"


def test_high_against_low(pair):
    table = tables.resources_table(pair)
    row = cells(table, "retrieval, centred", "acme/base")
    resources = pair[1].disparity[1].resources
    assert row["High, mean"].value == resources["high"]["mean"] and row["Low, worst"].value == resources["low"]["worst"]
    assert row["High, mean"].small == f"({int(resources['high']['languages'])})"
    without = [d.model_copy(update={"resources": {}}) for d in pair[0].disparity]
    assert tables.resources_table([pair[0].model_copy(update={"disparity": without})]) is None
    part = [d.model_copy(update={"resources": {"high": d.resources["high"]}}) for d in pair[0].disparity]
    row = cells(tables.resources_table([pair[0].model_copy(update={"disparity": part})]), "retrieval, raw", "small")
    assert row["Low, mean"].note == "no language in this group"


def test_spelling_begins_with_what_cannot_be_spelled(pair):
    table = tables.spelling_table(pair)
    assert table.rows[0][1].text == "am" and table.rows[0][5].value > 0.5
    row = cells(table, "small", "xae")
    assert row["Text"].note == "size not known" and row["Language"].text == "xae"


def test_what_was_left_out_is_told_with_its_reason(pair):
    table = tables.left_out_table(pair)
    assert [cell.text for cell in table.rows[0]] == ["small", "pair jv-en.2", "37 sentences, fewer than 100"]
    assert table.caption == "What was left out: 4 parts"
    assert tables.left_out_table([pair[0].model_copy(update={"left_out": {}})]) is None
