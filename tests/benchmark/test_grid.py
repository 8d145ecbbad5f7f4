"""The grid: what is repeated, what happens when a run breaks, and when several processes work on it."""

import contextlib
import json
import threading
import time

import pytest

from grid_support import QuickOutcome, files_of, models_of, quick, settings_of, write_grid_world
from ner_support import read_json
from unibert.benchmark import grid, worker
from unibert.benchmark import results as results_module
from unibert.benchmark.grid import run_benchmark
from unibert.benchmark.plan import plan
from unibert.benchmark.predictions import read_predictions, read_statistics
from unibert.benchmark.results import format_table, load_results
from unibert.benchmark.run import claim_file
from unibert.errors import DataError, UniBertError
from unibert.runs import claim
from unibert.tasks.task import find_task


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setenv("UNIBERT_QUIET", "1")
    monkeypatch.setattr(grid, "_POLL", 0.05)


@pytest.fixture
def world(tmp_path):
    return write_grid_world(tmp_path)


@pytest.fixture
def calls(monkeypatch):
    """Fine-tunings take no time; the list gets the model, the languages and the seed of each."""
    found = []

    def noted(task, encoder, data, settings, seed, advance):
        found.append((encoder.name, *data, seed))
        return quick(task, encoder, data, settings, seed, advance)

    monkeypatch.setattr(worker, "fine_tune", noted)
    return found


def run(world, retry_failed=False, **changes):
    return run_benchmark(settings_of(world, **changes), models_of(world), world / "out", retry_failed=retry_failed)


def addresses(world, **changes):
    return [entry.address for entry in plan(settings_of(world, **changes), models_of(world)).runs]


def files(world):
    return sorted((world / "out" / "results").iterdir())


def failures(world):
    return sorted((world / "out" / "failures").glob("*"))


def test_results_are_whole_and_not_repeated(world, monkeypatch):
    results = run(world)
    assert len(results) == len(files(world)) == 12
    assert {path.stem: read_json(path) for path in files(world)} == {entry["address"]: entry for entry in results}
    joint = next(entry for entry in results if entry["setting"] == "all")
    assert set(joint["scores"]) == {"xx", "yy"} == set(joint["languages"])
    assert set(joint["data"]["xx"]) == {"train", "dev", "test"}
    assert joint["data"]["xx"]["train"]["samples"] == 40
    assert joint["settings"]["precision"] == "float32"
    assert len(joint["dev_scores"]) == joint["best_epoch"] == 1
    score = joint["scores"]["xx"]
    assert set(score["metrics"]) == {"f1", "precision", "recall"}
    assert score["low"] <= score["metrics"]["f1"] <= score["high"]
    predicted = read_predictions(world / "out", joint["predictions"])
    assert {language: len(found) for language, found in predicted.items()} == {"xx": 15, "yy": 15}
    assert load_results(world / "out" / "results")[1] == []
    assert not failures(world)
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("a finished run was repeated"))
    monkeypatch.setattr(results_module, "write_json", lambda *_: pytest.fail("an equal plan was written again"))
    assert run(world) == results


def test_only_what_is_missing_damaged_or_of_another_address_is_done_again(world):
    before = run(world, seeds=[1], settings=["each"])
    assert len(before) == 4
    damaged, foreign, missing, kept = files(world)
    damaged.write_text(damaged.read_text()[:100])
    foreign.write_text(json.dumps({**read_json(foreign), "address": "0" * 16}))
    missing.unlink()
    stamp = kept.stat().st_mtime_ns
    after = run(world, seeds=[1], settings=["each"])
    assert kept.stat().st_mtime_ns == stamp
    assert [entry["scores"] for entry in after] == [entry["scores"] for entry in before]
    assert [entry["predictions"] for entry in after] == [entry["predictions"] for entry in before]
    assert load_results(world / "out" / "results")[1] == []


def test_only_the_results_of_the_present_plan_are_shown(world, monkeypatch):
    calls = []

    def shown(**changes):
        def quick(task, encoder, data, settings, seed, advance):
            calls.append(seed)
            if settings.epochs == 5 and seed == 2:
                raise RuntimeError("out of memory")
            return QuickOutcome(settings.epochs * 10.0, sorted(data))

        monkeypatch.setattr(worker, "fine_tune", quick)
        with contextlib.suppress(UniBertError):
            run(world, settings=["each"], files=files_of(world, ["xx"]), **changes)
        results, problems = load_results(world / "out" / "results")
        assert problems == []
        return {(entry.model, *entry.languages, entry.seed): entry.scores["xx"].metrics["f1"] for entry in results}

    three, five = ({**settings_of(world).finetune.model_dump(), "epochs": epochs} for epochs in (3, 5))
    cells = {(model, "xx", seed) for model in ("student", "teacher") for seed in (1, 2)}
    assert shown(finetune=three) == dict.fromkeys(cells, 30.0)
    assert shown(finetune=five) == {cell: 50.0 for cell in cells if cell[2] == 1}
    assert len(calls) == 8
    assert shown(finetune=three) == dict.fromkeys(cells, 30.0)
    assert len(calls) == 8, "a finished run was repeated"
    assert len(files(world)) == 6
    assert shown(finetune=three, models=["teacher"], seeds=[2]) == {("teacher", "xx", 2): 30.0}
    assert len(calls) == 8


def test_the_plan_stands_before_training_begins(world, monkeypatch):
    monkeypatch.setattr(worker, "fine_tune", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(world)
    written = read_json(world / "out" / "plan.json")
    assert (written["schema"], list(written["runs"])) == (2, addresses(world))


def test_filters_do_a_part_and_leave_the_rest_of_the_plan(world, calls):
    data = {name: {"task": "ner", "files": files_of(world, ["xx"])} for name in ("one", "two")}
    settings = settings_of(world, data=data, settings=["each"], seeds=[1])
    for only in ({"only_benchmarks": ["one"]}, {"only_models": ["teacher"]}):
        run_benchmark(settings, models_of(world), world / "out", **only)
    assert calls == [("student", "xx", 1), ("teacher", "xx", 1), ("teacher", "xx", 1)]
    assert len(load_results(world / "out" / "results")[0]) == 3


def test_a_failing_run_costs_only_itself_and_is_done_again_on_request(world, monkeypatch, capsys):
    def breaking(task, encoder, data, settings, seed, advance):
        if encoder.name == "teacher" and list(data) == ["yy"]:
            advance(16)
            raise RuntimeError("out of\nmemory")
        return quick(task, encoder, data, settings, seed, advance)

    monkeypatch.setattr(worker, "fine_tune", breaking)
    with pytest.raises(UniBertError) as caught:
        run(world, seeds=[1])
    assert "1 of 6 runs" in caught.value.message
    assert "teacher, ner, yy, seed 1: RuntimeError: out of memory" in caught.value.message
    assert "--retry-failed" in caught.value.fix
    assert "failed: teacher, ner, yy, seed 1" in capsys.readouterr().err
    assert len(files(world)) == 5
    (details,) = failures(world)
    assert details.read_text().startswith("teacher, ner, yy, seed 1\n\nTraceback")
    assert details.read_text().endswith("\nRuntimeError: out of memory\n")
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("done again without being asked to"))
    with pytest.raises(UniBertError, match="1 of 6 runs"):
        run(world, seeds=[1])
    monkeypatch.setattr(worker, "fine_tune", quick)
    assert len(run(world, seeds=[1], retry_failed=True)) == 6
    assert not details.exists()


def test_an_interrupt_keeps_what_is_finished_and_nothing_half(world, monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return quick(*arguments)

    monkeypatch.setattr(worker, "fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(world, seeds=[1])
    assert len(files(world)) == 2
    assert len(run(world, seeds=[1])) == 6
    assert len(calls) == 3 + 4


def test_predictions_that_cannot_be_written_leave_no_result(world, calls, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    only = {"seeds": [1], "models": ["student"], "settings": ["all"]}
    monkeypatch.setattr(worker, "write_predictions", full)
    with pytest.raises(UniBertError, match=r"results/\w+\.json: cannot be written \(No space left"):
        run(world, **only)
    assert not list((world / "out").glob("results/*"))
    monkeypatch.setattr(worker, "atomic_file", full)
    with pytest.raises(DataError, match=r"failures/\w+\.txt: cannot be written \(No space left"):
        run(world, **only, retry_failed=True)


def test_what_killed_processes_left_half_written_is_removed(world, calls):
    results = world / "out" / "results"
    results.mkdir(parents=True)
    leftover = results / ".0123456789abcdef.json.a1b2c3d4.tmp"
    leftover.write_text("{")
    with grid.shared_work(world / "out"), contextlib.suppress(OSError):
        leftover.write_text("{")  # another process works there: what it writes stays
        run(world, seeds=[1], models=["student"], settings=["all"])
        assert leftover.exists()
    run(world, seeds=[1], models=["student"], settings=["all"])
    assert not leftover.exists()


def test_a_result_found_under_another_name_of_the_model(world, calls):
    (first,) = run(world, models=["student"], seeds=[1], settings=["all"])
    path = str(world / "student")
    (second,) = run(world, models=[path], seeds=[1], settings=["all"])
    assert second == {**first, "model": path}
    assert [read_json(file) for file in files(world)] == [second]
    assert len(calls) == 1


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_bad_data_is_reported_before_anything_is_trained(world, monkeypatch, split):
    with (world / "yy" / split).open("a") as stream:
        stream.write("\nword NN O\n")
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("training began"))
    with pytest.raises(DataError, match=rf"yy/{split}:\d+: 3 columns found, 2 expected"):
        run(world)
    assert not (world / "out").exists()


def test_models_that_cannot_be_used(world, monkeypatch):
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("training began"))
    with pytest.raises(DataError, match="teacher: not trained yet"):
        run_benchmark(settings_of(world), {"student": world / "student"}, world / "out")
    with pytest.raises(DataError, match="no such folder"):
        run(world, models=["student", "./nothing"])
    with pytest.raises(DataError, match="the same model"):
        run(world, models=["student", str(world / "student")])
    with pytest.raises(DataError, match=r"benchmark\.data is empty"):
        run(world, data={})


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(world, monkeypatch):
    (world / "out").write_text("a file")
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("training began"))
    with pytest.raises(OSError, match="out"):
        run(world)


# Tasks --------------------------------------------------------------------------------------------------------------


def pairs_of(folder, header, lines):
    path = folder / f"{header[-1]}.tsv"
    path.write_text("\n".join("\t".join(line) for line in [header, *lines]) + "\n")
    return {"train": str(path), "dev": str(path), "test": str(path)}


def test_all_four_tasks_in_one_grid(world):
    words = ["gona", "bora", "data", "kona"]
    labels = ["same", "other"]
    nli = [(f"{a} in {b}", a, labels[a == b]) for a in words for b in words]
    sts = [(f"{a} {b}", a, str(2.5 if a == b else 0.5)) for a in words for b in words]
    context = "mister Zoki in Qali and mister Zumi in Qolo"
    questions = [
        {"id": f"{number}", "question": f"in {name}", "answers": [{"text": name, "answer_start": context.index(name)}]}
        for number, name in enumerate(("Qali", "Qolo"))
    ]
    squad = world / "squad.json"
    squad.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}))
    parts = {
        "nli": pairs_of(world, ["premise", "hypothesis", "label"], nli),
        "sts": pairs_of(world, ["sentence1", "sentence2", "score"], sts),
        "qa": dict.fromkeys(("train", "dev", "test"), str(squad)),
    }
    data = {f"my-{task}": {"task": task, "files": {"xx": files}} for task, files in parts.items()}
    data["my-ner"] = {"task": "ner", "files": files_of(world, ["xx"])}
    finetune = {
        **settings_of(world).finetune.model_dump(),
        "distillation": {"teacher": "teacher", "hidden_weight": 0.1},
    }
    results = run(world, models=["student"], seeds=[1], settings=["each"], data=data, finetune=finetune)
    assert [entry["benchmark"] for entry in results] == [name for name in data for _ in range(2)]
    metrics = {entry["task"]: (entry["metric"], entry["per_cent"]) for entry in results}
    assert metrics == {"nli": ("macro_f1", True), "sts": ("pearson", False), "qa": ("f1", True), "ner": ("f1", True)}
    found, problems = load_results(world / "out" / "results")
    assert (len(found), problems) == (8, [])
    for entry in results:
        predicted = read_predictions(world / "out", entry["predictions"])["xx"]
        assert len(predicted) == entry["data"]["xx"]["test"]["samples"]
        statistics_NK = read_statistics(world / "out", entry["predictions"])["xx"]
        assert len(statistics_NK) == len(predicted)
        score = entry["scores"]["xx"]["metrics"][entry["metric"]]
        assert find_task(entry["task"]).value(statistics_NK.sum(axis=0)) == pytest.approx(score)
    shown = format_table(found)
    for heading in ("my-nli: macro F1 in per cent", "my-qa: F1 in per cent", "my-sts: Pearson's r, mean over 1 seed"):
        assert heading in shown


# Several processes -------------------------------------------------------------------------------------------------


def test_what_another_process_does_is_waited_for_and_read(world, calls):
    """The other process has claimed a run; meanwhile the rest is done; its result is taken as it comes."""
    first, *_ = plan(settings_of(world, seeds=[1]), models_of(world)).runs
    folder = world / "out"
    held, done = threading.Event(), threading.Event()

    def other():
        with claim(claim_file(folder, first.address)) as mine:
            assert mine
            held.set()
            end = time.monotonic() + 20
            while len(list(folder.glob("results/*.json"))) < 5 and time.monotonic() < end:
                time.sleep(0.01)
            done.set()
            worker._fine_tune(first, folder, lambda samples: None)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(20)
    results = run(world, seeds=[1])
    thread.join()
    assert done.is_set()
    assert len(results) == 6
    assert len(calls) == 6


def test_what_another_process_gave_up_is_done_here(world, calls):
    first, *_ = plan(settings_of(world, seeds=[1]), models_of(world)).runs
    held = threading.Event()

    def killed():
        with claim(claim_file(world / "out", first.address)):
            held.set()
            end = time.monotonic() + 20
            while len(calls) < 5 and time.monotonic() < end:
                time.sleep(0.01)

    thread = threading.Thread(target=killed)
    thread.start()
    held.wait(20)
    assert len(run(world, seeds=[1])) == 6
    thread.join()
    assert calls[-1] == (first.encoder.name, *first.languages, 1)


# Distillation ------------------------------------------------------------------------------------------------------


def taught(world, teacher="teacher", **changes):
    finetune = {**settings_of(world).finetune.model_dump(), "distillation": {"teacher": teacher}}
    return {"finetune": finetune, "seeds": [1], "settings": ["each"], **changes}


def test_a_student_learns_from_the_teachers_run(world):
    results = run(world, models=["student"], **taught(world, files=files_of(world, ["xx"])))
    assert [(entry["model"], entry["teacher"]) for entry in results] == [
        ("teacher", None),
        ("student", results[0]["address"]),
    ]
    assert (world / "out" / "models" / results[0]["address"] / "config.json").exists()
    assert len(list((world / "out" / "models").iterdir())) == 1
    alone = run(world, models=["student"], seeds=[1], settings=["each"], files=files_of(world, ["xx"]))
    assert alone[0]["address"] != results[1]["address"]
    assert read_json(files(world)[0])["schema"] == 2


def test_a_teacher_among_the_models_is_one_run_and_its_model_is_made_again_if_it_is_gone(world, monkeypatch):
    saved = []
    monkeypatch.setattr(worker, "fine_tune", quick)
    monkeypatch.setattr(worker, "save", lambda outcome, folder: saved.append((folder / "config.json").write_text("{}")))
    kept = run(world, seeds=[1], settings=["each"])
    assert not saved
    results = run(world, **taught(world))
    assert len(results) == 4
    assert len(saved) == 2, "the finished runs of the teacher had no model yet"
    assert {entry["address"] for entry in kept if entry["model"] == "teacher"} < {entry["address"] for entry in results}
    run(world, **taught(world))
    assert len(saved) == 2


def test_without_its_teacher_a_run_is_not_done(world, monkeypatch):
    def breaking(task, encoder, data, settings, seed, advance):
        assert encoder.name == "teacher"
        raise RuntimeError("no luck")

    monkeypatch.setattr(worker, "fine_tune", breaking)
    with pytest.raises(UniBertError) as caught:
        run(world, models=["student"], **taught(world))
    assert "4 of 4 runs" in caught.value.message
    assert "student, ner, xx, seed 1: not done, because its teacher's run has failed" in caught.value.message
    assert len(failures(world)) == 2


def test_a_teacher_that_is_not_there_is_told_first(world):
    with pytest.raises(DataError, match="no such folder"):
        run(world, **taught(world, "./nothing"))
