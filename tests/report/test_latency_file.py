"""What latency.json may hold, and how it is read."""

from __future__ import annotations

import json
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_support import make_latency, make_measurement, make_round, write_latency_file
from unibert.report.latency_file import PLACES, Cell, Latency, latency_of, load_latency, only


def test_it_comes_back_as_it_was(tmp_path):
    found = make_latency()
    assert load_latency(write_latency_file(tmp_path, found)) == found
    assert found.as_json()["schema"] == 1


def test_keys_of_a_later_day_do_not_disturb(tmp_path):
    tree = make_latency().as_json() | {"weather": "fine"}
    assert Latency.model_validate(tree) == make_latency()


def without(key):
    def change(tree):
        del tree[key]

    return change


def put(value, *place):
    def change(tree):
        for key in place[:-1]:
            tree = tree[key]
        tree[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put(0, "schema"), "schema 0, not 1: written by another version"),
        (put(2, "schema"), "schema 2, not 1: written by another version"),
        (without("machine"), "machine: Field required"),
        (put([], "models"), "models"),
        (put("nobody", "measurements", 0, "model"), "nobody is not among the models"),
        (put("nobody", "absent", 0, "model"), "nobody is not among the models"),
        (put("tpu", "measurements", 0, "backend"), "measurements.0.backend"),
        (put(float("nan"), "measurements", 0, "cells", 0, "rounds", 0, "p50"), "measurements.0.cells.0.rounds.0.p50"),
        (put(-1.0, "measurements", 0, "cells", 0, "rounds", 0, "first"), "rounds.0.first"),
        (put(9.0, "measurements", 0, "cells", 0, "rounds", 0, "p50"), "are not in order"),
        (put([], "measurements", 0, "cells", 0, "rounds"), "cells.0.rounds"),
        (put(0, "measurements", 0, "cells", 0, "batch"), "cells.0.batch"),
        (put(2, "measurements", 0, "threads"), "are there twice"),
        (put("distil-mbert", "models", 0, "name"), "a name is there twice"),
    ],
)
def test_what_is_damaged_is_told_with_its_place(tmp_path, change, told):
    tree = make_latency().as_json()
    change(tree)
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(tree))
    found = load_latency(path)
    assert isinstance(found, str) and told in found and found.startswith(str(path)) and "\n" not in found


@pytest.mark.parametrize("text", ["", '{"schema": 1, "mod', "[]", "null", "\ufeff{}"])
def test_half_written_files_are_told_by_name(tmp_path, text):
    path = write_latency_file(tmp_path)
    path.write_text(text, encoding="utf-8")
    gaps = []
    assert latency_of(tmp_path, gaps) is None
    assert [(gap.part, gap.kind) for gap in gaps] == [("latency/latency.json", "damaged")]
    assert str(tmp_path) not in gaps[0].reason


@pytest.mark.parametrize("place", ["latency", "deploy"])
def test_a_run_has_them_in_one_of_two_places(tmp_path, place):
    write_latency_file(tmp_path, place=place)
    gaps = []
    assert latency_of(tmp_path, gaps) == make_latency() and not gaps


def test_of_two_files_the_first_that_can_be_read_is_shown(tmp_path):
    first, second = make_latency(date="2031-01-01"), make_latency(date="2032-02-02")
    write_latency_file(tmp_path, first, "latency")
    write_latency_file(tmp_path, second, "deploy")
    gaps = []
    assert latency_of(tmp_path, gaps) == first
    assert [(gap.part, gap.kind, gap.reason) for gap in gaps] == [(PLACES[1], "left out", f"{PLACES[0]} is shown")]
    (tmp_path / PLACES[0]).write_text("{")
    gaps = []
    assert latency_of(tmp_path, gaps) == second
    assert [(gap.part, gap.kind) for gap in gaps] == [(PLACES[0], "damaged")]


def test_a_run_without_any():
    gaps = []
    from pathlib import Path

    assert latency_of(Path("/nowhere"), gaps) is None and not gaps


@given(st.lists(st.tuples(st.floats(1e-5, 10), st.integers(1, 200)), min_size=1, max_size=6))
def test_a_cell_tells_medians_over_its_rounds(rounds):
    cell = Cell(batch=8, length=16, rounds=[make_round(time, calls) for time, calls in rounds])
    times = [time for time, _ in rounds]
    assert cell.p50 == median(times)
    assert cell.p95 == pytest.approx(1.2 * median(times)) and cell.p99 == pytest.approx(1.5 * median(times))
    assert cell.first == pytest.approx(3 * max(times))
    assert cell.calls == sum(calls for _, calls in rounds)
    assert cell.sentences == pytest.approx(median(8 / (1.05 * time) for time in times))
    if len(times) == 1:
        assert cell.spread is None
    else:
        assert cell.spread == pytest.approx((max(times) - min(times)) / median(times))
    assert cell.joules is None


def test_energy_is_the_median_of_the_rounds_that_have_it():
    rounds = [make_round(1.0, joules=joules) for joules in (0.2, None, 0.4)]
    assert Cell(batch=1, length=1, rounds=rounds).joules == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("sizes", "reference"),
    [
        (((8, 64), (1, 16), (1, 64), (1, 128)), (1, 64)),
        (((8, 64), (1, 16), (1, 512)), (1, 16)),  # a factor of 4 against one of 8
        (((4, 32), (2, 128)), (2, 128)),
        (((1, 32), (1, 128)), (1, 32)),
    ],
)
def test_the_reference_is_what_is_nearest_to_one_text_of_64_tokens(sizes, reference):
    part = make_measurement("xxsmall", "torch", 1, sizes=sizes)
    assert make_latency(models=("xxsmall",), measurements=[part], absent=[]).reference == reference


def test_without_measurements_there_is_no_reference():
    assert make_latency(measurements=[]).reference is None


def test_some_models_of_all():
    found = make_latency()
    part = only(found, ["xxsmall", "another"])
    assert {each.model for each in part.measurements} == {"xxsmall"} == {model.name for model in part.models}
    assert part.absent == [] and only(part, ["distil-mbert"]) is None
    assert only(found, []) is found and only(None, ["x"]) is None
