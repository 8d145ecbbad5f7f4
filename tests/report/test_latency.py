"""The section on latency: what is said of which numbers, its tables and its figure, and how it gets on a run's page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from latency_support import make_latency, make_measurement, make_round, write_latency_file
from unibert.errors import DataError, RecipeError
from unibert.report.blocks import Details, FigureBlock
from unibert.report.collect import collect
from unibert.report.latency import cautions, latency_numbers, latency_section, latency_sentence
from unibert.report.latency_figure import latency_figure
from unibert.report.latency_file import Cell, Machine, Model
from unibert.report.latency_tables import absent_table, cells_table, loading_table, models_table, overview_table
from unibert.report.page import build_report, write_report
from unibert.report.subsets import chosen
from unibert.report.tables import to_csv, to_markdown
from unibert.report.theme import SERIES
from unibert.report.wording import milliseconds


def exact(model: str, backend: str, threads: int, p50: float, **changes):
    """A measurement of 1 x 64 with that median in both of its rounds."""
    part = make_measurement(model, backend, threads, rounds=2)
    cells = [Cell(batch=1, length=64, rounds=[make_round(p50)] * 2)]
    return part.model_copy(update={"cells": cells} | changes)


@pytest.fixture(scope="module")
def few():
    parts = [
        exact("xxsmall", "torch", 1, 0.008),
        exact("xxsmall", "onnx-int8", 1, 0.0025),
        exact("xxsmall", "onnx-int8", 2, 0.0015),
        exact("distil-mbert", "torch", 1, 0.06),
        exact("distil-mbert", "torch", 2, 0.045),
    ]
    return make_latency(measurements=parts)


def column(table, label: str) -> list[str]:
    position = [each.label for each in table.columns].index(label)
    return [row[position].text for row in table.rows]


def test_the_fastest_is_set_against_the_slowest_with_as_many_threads(few):
    assert latency_sentence(few) == (
        "At 1 × 64 tokens a call of xxsmall (ONNX int8, 2 threads) takes 1.50 ms (median), one of distil-mbert "
        "(PyTorch float32, 2 threads, random weights) 45.0 ms, 30.0 times as long, on Imaginary 9000."
    )
    alone = make_latency(models=("xxsmall",), measurements=few.measurements[:1], absent=[], drawn=())
    assert latency_sentence(alone) == (
        "At 1 × 64 tokens a call of xxsmall (PyTorch float32, 1 thread) takes 8.00 ms (median), on Imaginary 9000."
    )
    assert latency_sentence(None) == latency_sentence(make_latency(measurements=[])) == ""


def test_key_numbers(few):
    time, file = latency_numbers(few)
    assert (time.value, time.hint) == ("1.50 ms", "xxsmall (ONNX int8, 2 threads)")
    assert (file.value, file.hint) == ("18.9 MB", "xxsmall, ONNX int8")
    assert latency_numbers(None) == [] == latency_numbers(make_latency(measurements=[]))


def test_the_overview_has_every_row_and_marks_the_fastest(few):
    table = overview_table(few)
    assert column(table, "Model") == ["xxsmall"] * 3 + ["distil-mbert"] * 2
    assert column(table, "p50, ms") == ["8.00", "2.50", "1.50", "60.0", "45.0"]
    assert column(table, "p99, ms") == ["12.0", "3.75", "2.25", "90.0", "67.5"]
    assert column(table, "Speed-up") == ["7.50", "24.0", "30.0", "1.00", "1.00"]
    assert column(table, "Texts per second")[2] == "634.9"  # 1 / (1.05 x 1.5 ms)
    assert [row[3].strong for row in table.rows] == [False, False, True, False, False]
    assert [row[0].small for row in table.rows] == [""] * 3 + ["random weights"] * 2
    assert "against distil-mbert in PyTorch float32 with as many threads" in table.notes[-1]
    csv = to_csv(table)
    assert csv.splitlines()[0].startswith('Model,"Model, weights",Backend,Threads,"p50, ms (s)"')
    assert csv.splitlines()[3].startswith("xxsmall,its own,ONNX int8,2,0.0015,")


def test_a_speed_up_needs_the_same_threads(few):
    table = overview_table(few.model_copy(update={"measurements": few.measurements[:4]}))
    assert column(table, "Speed-up") == ["7.50", "24.0", "—", "1.00"]
    alone = few.model_copy(update={"measurements": [few.measurements[1]]})
    assert "Speed-up" not in [each.label for each in overview_table(alone).columns]
    # Of a single backend and model there is nothing to set it against.
    alone = few.model_copy(update={"measurements": few.measurements[3:]})
    assert "Speed-up" not in [each.label for each in overview_table(alone).columns]


def test_few_calls_and_single_rounds_are_marked():
    part = make_measurement("xxsmall", "torch", 1, rounds=1, calls=7)
    table = overview_table(make_latency(measurements=[part]))
    (row,) = table.rows
    assert [cell.note for cell in row if cell.note] == ["of fewer than 100 calls in a round", "one round"]


def test_every_size_of_batch_is_in_a_table():
    found = make_latency()
    table = cells_table(found)
    assert len(table.rows) == sum(len(part.cells) for part in found.measurements) == 36
    assert column(table, "Batch")[:2] == ["1", "8"] and set(column(table, "Calls")) == {"300"}
    assert not any("Energy" in each.label for each in table.columns)


def test_energy_gets_a_column_where_there_is_any(few):
    cells = [Cell(batch=1, length=64, rounds=[make_round(0.001, joules=0.0123)])]
    parts = [few.measurements[0].model_copy(update={"cells": cells}), *few.measurements[1:]]
    table = cells_table(few.model_copy(update={"measurements": parts}))
    assert column(table, "Energy, mJ")[:2] == ["12.3", "—"]


def test_loading_and_memory():
    part = make_measurement("xxsmall", "torch", 1)
    table = loading_table(make_latency(measurements=[part]))
    assert column(table, "Load, ms") == ["310"] and column(table, "Memory") == ["94.5 MB"]
    assert column(table, "Process at most") == ["394 MB"] and column(table, "File") == ["75.6 MB"]
    longest = max(each.first for cell in part.cells for each in cell.rounds)
    assert column(table, "First call, ms") == [f"{longest * 1000:.0f}"]
    bare = part.model_copy(update={"memory_bytes": [], "peak_bytes": []})
    assert column(loading_table(make_latency(measurements=[bare])), "Memory") == ["—"]


def test_models_say_whether_their_weights_are_drawn():
    unknown = Model(name="exported", measures="fill-mask")
    found = make_latency()
    table = models_table(found.model_copy(update={"models": [*found.models, unknown]}))
    assert column(table, "Weights") == ["its own", "random weights", "its own"]
    assert column(table, "Parameters") == ["18.90 M", "134.70 M", "—"]
    assert column(table, "Measured")[-1] == "fill-mask"


def test_what_was_left_out_has_its_reason():
    text = to_markdown(absent_table(make_latency()))
    assert "| distil-mbert | PyTorch bfloat16 | — (a) | cannot be measured | this processor does not multiply" in text
    assert absent_table(make_latency(absent=[])) is None


def test_cautions_are_of_what_was_measured(few):
    told = " ".join(cautions(few))
    assert "distil-mbert has random weights" in told and "neither tokenisation" in told
    assert "Energy was not measured: this machine does not expose RAPL counters." in told
    assert "From round to round medians differ by 0 % (median) to 0 %" in told
    assert "Other programs" not in told and "fewer than 100" not in told and "interrupted" not in told
    busy = Machine(processor="x", cores=2, system="Linux", versions={}, load_average=[0.1, 2.94])
    mixed = [few.models[0], few.models[1].model_copy(update={"measures": "fill-mask"})]
    told = " ".join(cautions(few.model_copy(update={"machine": busy, "models": mixed, "interrupted": True})))
    assert "a load of up to 2.9 on 2 cores" in told and "encoder and fill-mask" in told
    assert "It was interrupted" in told and "Energy" not in told
    single = make_latency(measurements=[make_measurement("xxsmall", "torch", 1, rounds=1, calls=6)])
    told = " ".join(cautions(single))
    assert "There was one round" in told and "the fewest were 6 in a round" in told


def test_the_largest_drift_is_named(few):
    drifted = [Cell(batch=8, length=16, rounds=[make_round(0.01), make_round(0.015)])]
    parts = [*few.measurements[:4], few.measurements[4].model_copy(update={"cells": drifted})]
    told = " ".join(cautions(few.model_copy(update={"measurements": parts})))
    assert "to 40 % (distil-mbert (PyTorch float32, 2 threads, random weights), 8 × 16 tokens)" in told


def test_the_figure_has_a_heading_per_model_and_a_row_per_backend():
    found = make_latency()
    picture = latency_figure(found)
    ElementTree.fromstring(picture.file)
    texts = re.findall(r">([^<>]+)</text>", picture.inline)
    assert texts.count("xxsmall") == texts.count("distil-mbert (random weights)") == 1
    assert texts.count("PyTorch float32") == texts.count("ONNX int8") == 2 and texts.count("PyTorch bfloat16") == 1
    assert {"1 thread", "2 threads", "milliseconds per call"} <= set(texts)
    for part, cell in found.at(1, 64):
        if part.threads == 2:  # the faster one's number stands beside the row
            assert milliseconds(cell.p50) in texts
    assert "on a logarithmic scale: xxsmall, PyTorch float32, 1 thread," in picture.label
    assert "series-1" in picture.inline and "series-2" in picture.inline and SERIES[2] not in picture.inline
    assert picture.png().startswith(b"\x89PNG")
    assert latency_figure(make_latency(measurements=[])) is None


def test_a_single_number_and_many_threads_can_be_drawn():
    assert latency_figure(make_latency(measurements=[exact("xxsmall", "torch", 1, 0.0)]))
    parts = [exact("xxsmall", "torch", number, 1e-3 * number) for number in (1, 2, 4, 8, 16, 32)]
    assert "32 threads" in latency_figure(make_latency(measurements=parts)).inline


def test_names_may_hold_anything():
    found = make_latency(models=("a_$b$<script>&amp;\u202e" + "x" * 90,), drawn=(), absent=[], backends=("torch",))
    picture = latency_figure(found)
    ElementTree.fromstring(picture.file)
    assert "<script" not in picture.inline


def test_the_section_in_order():
    gaps = []
    section = latency_section(make_latency(), gaps)
    kinds = [type(block).__name__ for block in section.blocks]
    assert kinds == ["str", "FigureBlock", "Table", "Table", "list", "Details", "Table"]
    assert isinstance(section.blocks[1], FigureBlock) and isinstance(section.blocks[5], Details)
    assert [(gap.part, gap.kind) for gap in gaps] == [("latency", "left out")]
    assert latency_section(None, []).blocks == []


def test_a_section_without_measurements_tells_why():
    section = latency_section(make_latency(measurements=[]), [])
    assert [type(block).__name__ for block in section.blocks] == ["Table", "list", "Table"]


def test_a_folder_with_nothing_but_latency_is_a_run(tmp_path):
    write_latency_file(tmp_path)
    index = build_report(tmp_path)
    text = index.read_text(encoding="utf-8")
    assert 'id="latency"' in text and 'href="#latency"' in text and "no such file" not in text
    markdown = (index.parent / "report.md").read_text(encoding="utf-8")
    assert "## Latency" in markdown and "(figures/latency.svg)" in markdown
    assert (index.parent / "figures" / "latency.png").is_file() and (index.parent / "tables" / "latency.csv").is_file()


def test_of_a_folder_with_nothing_but_a_damaged_file_that_is_told(tmp_path):
    write_latency_file(tmp_path).write_text("{")
    run = collect(tmp_path)
    assert run.latency is None
    assert [gap.kind for gap in run.gaps if gap.part == "latency/latency.json"] == ["damaged"]
    assert 'id="latency"' not in build_report(tmp_path).read_text(encoding="utf-8")
    (tmp_path / "latency" / "latency.json").unlink()
    with pytest.raises(DataError, match="holds nothing of a run"):
        collect(tmp_path)


def test_only_some_models_are_asked_for(tmp_path):
    write_latency_file(tmp_path)
    run = collect(tmp_path)
    part = chosen(run, models=["xxsmall"])
    assert [model.name for model in part.latency.models] == ["xxsmall"]
    assert "distil-mbert" not in write_report(part).read_text(encoding="utf-8").split('id="latency"')[1]
    with pytest.raises(RecipeError, match="distil-mbrt"):
        chosen(run, models=["distil-mbrt"])
