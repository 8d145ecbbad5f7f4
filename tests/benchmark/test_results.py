"""Reading results, good and damaged, and the arithmetic over them."""

import copy
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_support import make_result as make
from unibert.benchmark.gains import gains
from unibert.benchmark.results import add_to_plan, format_table, load_plan, load_results, write_plan
from unibert.benchmark.scores import boards, mean_over_seeds


def planned(*trees):
    keys = ("benchmark", "model", "setting", "languages", "seed")
    return {tree["address"]: {key: tree[key] for key in keys} | {"tested": [*tree["scores"]]} for tree in trees}


def save(folder, *trees):
    folder.mkdir(parents=True, exist_ok=True)
    for tree in trees:
        (folder / f"{tree['address']}.json").write_text(json.dumps(tree))
    return folder


def test_an_empty_and_a_missing_folder(tmp_path):
    assert load_results(tmp_path) == ([], [])
    assert load_results(tmp_path / "nothing") == ([], [])
    assert format_table([]) == "no results"


def changed(path, value):
    tree = make(seed=2)
    node = tree
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not valid JSON"),
        (json.dumps(make(seed=2))[:200], "not valid JSON"),
        ("[1, 2]", "schema None, not 2"),
        (changed(["schema"], 1), "schema 1, not 2: written by an older version"),
        (changed(["schema"], 3), "schema 3, not 2: written by another version"),
        (changed(["schema"], None), "schema None, not 2"),
        (changed(["scores", "es", "metrics", "f1"], float("nan")), "scores.es.metrics.f1: nan is not a number from 0"),
        (changed(["scores", "es", "metrics", "f1"], None), "scores.es.metrics.f1: missing"),
        (changed(["scores", "es", "metrics", "recall"], float("inf")), "scores.es.metrics.recall"),
        (changed(["scores", "es", "metrics", "precision"], 101.0), "scores.es.metrics.precision"),
        (changed(["per_cent"], False), "scores.es.metrics.f1: 50.0 is not a number from -1 to 1"),
        (changed(["scores", "es", "low"], -1.0), "scores.es.low"),
        (changed(["dev_scores"], [200.0]), "dev_scores.0"),
        (changed(["scores", "es", "support"], None), "scores.es.support"),
        (changed(["scores"], {}), "scores"),
        (changed(["setting"], "some"), "setting"),
        (changed(["address"], "another"), "address another"),
    ],
)
def test_bad_files_are_named_and_do_not_hide_the_others(tmp_path, text, part):
    good = make()
    save(tmp_path, good)
    name = make(seed=2)["address"]
    (tmp_path / f"{name}.json").write_text(text)
    results, problems = load_results(tmp_path)
    assert [result.as_json() for result in results] == [good]
    assert len(problems) == 1
    assert f"{name}.json" in problems[0]
    assert part in problems[0]


def test_a_model_trained_again_is_not_mixed_with_its_older_self(tmp_path):
    old = [make(seed=seed, f1=10.0, address=f"old{seed}", model_fingerprint="old") for seed in (1, 2, 3)]
    new = make(seed=1, f1=90.0, model_fingerprint="new", provenance={"finished": "2025-02-01T00:00:00Z"})
    results, problems = load_results(save(tmp_path, *old, new))
    assert [result.model_fingerprint for result in results] == ["new"]
    assert len(problems) == 3
    assert all("other weights, data or settings" in problem for problem in problems)


def test_a_language_that_was_added_makes_all_another_run(tmp_path):
    old = make(setting="all", languages=("es", "nl"), f1=10.0)
    new = make(setting="all", languages=("de", "es", "nl"), f1=90.0, provenance={"finished": "2025-02-01T00:00:00Z"})
    results, problems = load_results(save(tmp_path, old, new))
    assert [result.languages for result in results] == [["de", "es", "nl"]]
    assert len(problems) == 1


def test_a_copied_result_is_used_once(tmp_path):
    results, problems = load_results(save(tmp_path, make(), make(address="zcopy")))
    assert len(results) == 1
    assert "the same run as" in problems[0]


ELSEWHERE = {"benchmark": "b", "model": "m", "setting": "each", "languages": ["xx"], "tested": ["xx"], "seed": 1}


def test_a_plan_decides_what_is_read(tmp_path):
    kept = [make(seed=seed, f1=10.0, model_fingerprint="old") for seed in (1, 2)]
    later = {"finished": "2025-02-01T00:00:00Z"}
    newer = [make(seed=seed, address=f"new{seed}", provenance=later) for seed in (1, 2)]
    dropped = make("teacher")
    folder = save(tmp_path / "results", *kept, *newer, dropped)
    (folder / "broken.json").write_text("{")
    write_plan(tmp_path, {**planned(*kept), "not-run-yet": ELSEWHERE})
    results, problems = load_results(folder)
    assert [result.as_json() for result in results] == kept
    assert problems == []
    write_plan(tmp_path, {"broken": ELSEWHERE, **planned(dropped)})
    results, problems = load_results(folder)
    assert [result.as_json() for result in results] == [dropped]
    assert len(problems) == 1 and "broken.json" in problems[0]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_runs_added_to_a_plan_replace_those_of_their_kind(tmp_path):
    old, other = make(address="old"), make("teacher")
    write_plan(tmp_path, planned(old, other))
    add_to_plan(tmp_path, planned(make()))
    assert load_plan(tmp_path) == {make()["address"], other["address"]}
    (tmp_path / "plan.json").write_text("{")
    add_to_plan(tmp_path, planned(make()))
    assert load_plan(tmp_path) == {make()["address"]}


def test_two_processes_add_to_a_plan_at_once(tmp_path, monkeypatch):
    from unibert.benchmark import results as module

    real = module.load_planned
    monkeypatch.setattr(module, "load_planned", lambda folder: (real(folder), time.sleep(0.2))[0])
    trees = [make(model) for model in ("student", "teacher")]
    threads = [threading.Thread(target=add_to_plan, args=(tmp_path, planned(tree))) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load_plan(tmp_path) == {tree["address"] for tree in trees}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"schema": 2, "ru',
        "[]",
        '{"schema": 1, "addresses": []}',
        '{"schema": 2, "runs": {"a": 1}}',
        '{"schema": 2, "runs": {"a": {"model": "student", "benchmark": "ner"}}}',
    ],
)
def test_a_damaged_plan_is_told_and_hides_nothing(tmp_path, text):
    folder = save(tmp_path / "results", make())
    (tmp_path / "plan.json").write_text(text)
    results, problems = load_results(folder)
    assert len(results) == len(problems) == 1
    assert "plan.json: not " in problems[0] and "older results may be shown" in problems[0]


def test_the_interval_is_students():
    # Three values: mean 2, standard deviation 1, t(0.975, 2 degrees of freedom) = 4.302653.
    mean = mean_over_seeds([1.0, 2.0, 3.0])
    assert (mean.value, mean.seeds) == (2.0, 3)
    assert mean.margin == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert mean_over_seeds([4.0]).margin is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6), st.floats(-50, 50))
def test_the_interval_moves_with_the_scores(values, shift):
    mean, moved = mean_over_seeds(values), mean_over_seeds([value + shift for value in values])
    assert moved.value == pytest.approx(mean.value + shift, abs=1e-9)
    assert moved.margin == pytest.approx(mean.margin, abs=1e-9)


def grid():
    trees = []
    for model, base in (("teacher", 60.0), ("student", 40.0)):
        for seed in (1, 2):
            for language, extra in (("es", 0.0), ("nl", 10.0)):
                trees.append(make(model, "each", (language,), seed, base + extra + seed))
            joint = {"es": base + 5 + seed, "nl": base + 20 + seed}
            trees.append(make(model, "all", ("es", "nl"), seed, joint))
    return trees


def test_averages_and_gain(tmp_path):
    results, problems = load_results(save(tmp_path, *grid()))
    assert not problems
    (board,) = boards(results)
    assert [(row.model, row.setting) for row in board.rows] == [
        ("student", "each"),
        ("student", "all"),
        ("teacher", "each"),
        ("teacher", "all"),
    ]
    each, joint = board.rows[:2]
    assert each.cell("nl").value == pytest.approx(51.5)
    assert each.average(board.languages).value == pytest.approx(46.5)
    assert joint.average(board.languages).value == pytest.approx(54.0)
    gain = gains(board)[0]
    assert (gain.model, gain.seeds) == ("student", 2)
    assert gain.percent == pytest.approx(100 * 7.5 / 46.5)


def printed(folder, *trees):
    """The cells of every row of the terminal's table."""
    lines = format_table(load_results(save(folder, *trees))[0]).splitlines()
    return [line.replace(" ± ", "±").replace(" %", "%").split() for line in lines[2:]]


def test_an_average_needs_every_language(tmp_path):
    trees = [tree for tree in grid() if (tree["model"], tree["languages"], tree["seed"]) != ("student", ["nl"], 2)]
    (board,) = boards(load_results(save(tmp_path / "a", *trees))[0])
    average = board.rows[0].average(board.languages)
    assert (average.value, average.seeds) == (46.0, 1)
    trees = [tree for tree in grid() if (tree["model"], tree["languages"]) != ("student", ["nl"])]
    each, joint = printed(tmp_path / "b", *trees)[:2]
    assert each[3:] == ["-", "-", "-"]
    assert joint[5] == "-", "a gain over es alone, beside an average over both"


def test_a_score_of_zero_has_no_relative_gain(tmp_path):
    trees = [make(f1=0.0), make(setting="all", f1=10.0)]
    assert printed(tmp_path / "one", *trees)[1][-1] == "-"
    # Beside a seed with one the means have a ratio, but no bounds.
    trees += [make(seed=2, f1=5.0), make(setting="all", seed=2, f1=10.0)]
    assert printed(tmp_path / "two", *trees)[1][-1] == "+300.0%"


def test_a_language_of_older_weights_gets_a_row_of_its_own(tmp_path):
    # A folder without a plan: es was repeated with new weights, nl was dropped before that.
    trees = [make(languages=("nl",), model_fingerprint="old" * 4), make(model_fingerprint="new" * 4)]
    rows = printed(tmp_path, *trees)
    assert [row[-2] for row in rows] == ["-", "-"], "an average of two models"


def test_the_table(tmp_path):
    lines = format_table(load_results(save(tmp_path, *grid()))[0]).splitlines()
    assert lines[0] == "ner: entity F1 in per cent, mean over 2 seeds, ± half the 95 % interval; gain: its interval"
    assert lines[1].split() == ["model", "setting", "es", "nl", "average", "gain"]
    assert lines[2].startswith("student  each     41.50 ± 6.4")
    assert len({len(line) for line in lines[3::2]}) == 1
    assert lines[3].endswith("%")
    single = format_table(load_results(save(tmp_path / "one", make()))[0])
    assert single.splitlines()[0] == "ner: entity F1 in per cent, mean over 1 seed"
    split = format_table(load_results(save(tmp_path / "split", make(title="a split of XNER")))[0])
    assert split.startswith("ner, a split of XNER: entity F1")


def test_results_come_in_a_fixed_order(tmp_path):
    trees = grid()
    first = load_results(save(tmp_path / "a", *trees))[0]
    second = load_results(save(tmp_path / "b", *reversed(copy.deepcopy(trees))))[0]
    assert first == second


def correlation(languages=("es",), seed=1, value=0.5, **changes):
    names = {"task": "sts", "benchmark": "sts22", "title": "STS22", "address": f"sts22-{seed}"}
    tree = make(languages=languages, seed=seed, f1=value, **names, **changes)
    for score in tree["scores"].values():
        score["metrics"] = {"pearson": value, "spearman": value}
    return {**tree, "metric": "pearson", "per_cent": False}


def test_every_benchmark_has_a_table_in_its_own_metric(tmp_path):
    trees = [make(), correlation(seed=1, value=-0.25), correlation(seed=2, value=0.5)]
    ner, sts = format_table(load_results(save(tmp_path, *trees))[0]).split("\n\n")
    assert ner.splitlines()[0].startswith("ner: entity F1 in per cent")
    assert sts.splitlines()[0].lower().startswith("sts22: pearson")
    assert "per cent" not in sts
    assert sts.splitlines()[2].split()[2:5] == ["0.125", "±", "4.765"]
    assert [board.name for board in boards(load_results(tmp_path)[0])] == ["ner", "sts-sts22"]


def test_zero_shot_and_mono_have_rows_of_their_own_and_no_gain(tmp_path):
    both = {"de": 30.0, "es": 60.0}
    trees = [make(f1=50.0), make(setting="all", f1=55.0)]
    trees += [make(setting="zero-shot", languages=(code,), f1=both) for code in ("es", "de")]
    trees += [make(setting="mono", languages=("de", "es"), f1=both)]
    (board,) = boards(load_results(save(tmp_path, *trees))[0])
    labels = ["each", "all", "mono", "zero-shot from de", "zero-shot from es"]
    assert [row.setting for row in board.rows] == labels
    assert board.rows[-1].cell("de").value == 30.0
    assert len(gains(board)) == 1


def test_a_student_that_was_taught_is_told_from_one_that_was_not(tmp_path):
    lesson = {"epochs": 1, "distillation": {"teacher": "large", "weight": 0.5}}
    trees = [make(), make(settings=lesson, address="taught"), make("large")]
    trees = [{**tree, "settings": {"distillation": None, **tree["settings"]}} for tree in trees]
    write_plan(tmp_path, planned(*trees))
    (board,) = boards(load_results(save(tmp_path / "results", *trees))[0])
    assert [row.name for row in board.rows] == ["student", "student (taught by large)", "large"]


def test_two_scores_of_one_place_are_told(tmp_path):
    trees = [make(f1=50.0), make(f1=60.0, address="another")]
    write_plan(tmp_path, planned(*trees))
    (board,) = boards(load_results(save(tmp_path / "results", *trees))[0])
    assert len(board.repeated) == 1
    assert "es, seed 1" in board.repeated[0][1]
