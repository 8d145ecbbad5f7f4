"""The grid of runs: what is planned, what is repeated, what happens when a run breaks."""

import contextlib
import json
from dataclasses import dataclass

import pytest

from ner_support import read_json, write_conll, write_tiny_bert
from unibert.benchmark import grid
from unibert.benchmark.grid import plan, run_benchmark
from unibert.benchmark.results import load_results
from unibert.errors import DataError, UniBertError
from unibert.recipe import Benchmark


@dataclass
class QuickOutcome:
    """What a fine-tuning would hand back, without one."""

    f1: float
    languages: list[str]

    def described(self):
        score = {"f1": self.f1, "precision": self.f1, "recall": self.f1, "support": 9, "types": {}}
        scores = {language: score for language in self.languages}
        return {"parameters": 7, "scores": scores, "dev_scores": [], "best_epoch": 1, "seconds": 1.0}


@pytest.fixture
def world(tmp_path):
    """Two languages' files, a student and a teacher."""
    for number, language in enumerate(("xx", "yy")):
        for split, sentences, seed in (("train", 40, 1), ("dev", 15, 2), ("test", 15, 3)):
            write_conll(tmp_path / language / split, sentences, seed + 10 * number)
    write_tiny_bert(tmp_path / "student", seed=1)
    write_tiny_bert(tmp_path / "teacher", seed=2)
    return tmp_path


def settings_of(world, **changes):
    tree = {
        "models": ["student", "teacher"],
        "seeds": [1, 2],
        "ner": {
            language: {split: str(world / language / split) for split in ("train", "dev", "test")}
            for language in ("yy", "xx")
        },
        "finetune": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-2, "precision": "float32"},
    }
    return Benchmark.model_validate({**tree, **changes})


def models_of(world):
    return {"student": world / "student", "teacher": world / "teacher"}


def run(world, **changes):
    return run_benchmark(settings_of(world, **changes), models_of(world), world / "out")


def addresses(world, models=None, **changes):
    return [entry.address for entry in plan(settings_of(world, **changes), models or models_of(world))]


def files(world):
    return sorted((world / "out" / "results").iterdir())


def test_the_plan_has_every_run_once_and_a_seed_at_a_time(world):
    runs = plan(settings_of(world), models_of(world))
    assert [(entry.seed, entry.setting, entry.languages, entry.encoder.name) for entry in runs[:6]] == [
        (1, "each", ("xx",), "student"),
        (1, "each", ("xx",), "teacher"),
        (1, "each", ("yy",), "student"),
        (1, "each", ("yy",), "teacher"),
        (1, "all", ("xx", "yy"), "student"),
        (1, "all", ("xx", "yy"), "teacher"),
    ]
    assert [entry.seed for entry in runs] == [1] * 6 + [2] * 6
    assert len({entry.address for entry in runs}) == 12
    assert addresses(world, seeds=[1, 2, 1]) == [entry.address for entry in runs]


def test_addresses_hold_what_decides_the_score_and_nothing_else(world):
    before = addresses(world)
    assert addresses(world) == before
    moved = world / "moved"
    (world / "xx").rename(moved)
    (world / "student").rename(world / "renamed")
    ner = {
        "xx": {split: str(moved / split) for split in ("train", "dev", "test")},
        "yy": {split: str(world / "yy" / split) for split in ("train", "dev", "test")},
    }
    assert addresses(world, {"student": world / "renamed", "teacher": world / "teacher"}, ner=ner) == before


@pytest.mark.parametrize("key", ["epochs", "batch_size", "learning_rate", "warmup_share", "weight_decay", "max_length"])
def test_every_setting_changes_every_address(world, key):
    tree = settings_of(world).finetune.model_dump()
    changed = {**tree, key: tree[key] * 2}
    assert not set(addresses(world, finetune=changed)) & set(addresses(world))


def test_auto_precision_has_the_address_of_what_it_stands_for(world, monkeypatch):
    tree = settings_of(world).finetune.model_dump()
    full, half = (addresses(world, finetune={**tree, "precision": name}) for name in ("float32", "bfloat16"))
    assert not set(full) & set(half)
    monkeypatch.setattr(grid, "resolved_precision", lambda name: "bfloat16")
    assert addresses(world, finetune={**tree, "precision": "auto"}) == half


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_changed_file_changes_the_runs_that_use_it(world, split):
    before = plan(settings_of(world), models_of(world))
    with (world / "xx" / split).open("a") as stream:
        stream.write("\nZaki B-PER\n")
    after = plan(settings_of(world), models_of(world))
    for old, new in zip(before, after, strict=True):
        assert (old.address == new.address) == (new.languages == ("yy",))


def test_results_are_whole_and_not_repeated(world, monkeypatch):
    results = run(world)
    assert len(results) == len(files(world)) == 12
    assert {path.stem: read_json(path) for path in files(world)} == {entry["address"]: entry for entry in results}
    joint = next(entry for entry in results if entry["setting"] == "all")
    assert set(joint["scores"]) == {"xx", "yy"} == set(joint["languages"])
    assert set(joint["data"]["xx"]) == {"train", "dev", "test"}
    assert joint["data"]["xx"]["train"]["sentences"] == 40
    assert joint["settings"]["precision"] == "float32"
    assert len(joint["dev_scores"]) == joint["best_epoch"] == 1
    assert load_results(world / "out" / "results")[1] == []
    assert not (world / "out" / "failures").exists()
    monkeypatch.setattr(grid, "fine_tune_ner", lambda *_: pytest.fail("a finished run was repeated"))
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
    assert load_results(world / "out" / "results")[1] == []


def test_only_the_results_of_the_present_plan_are_shown(world, monkeypatch):
    calls = []

    def shown(**changes):
        def quick(encoder, data, settings, seed, advance):
            calls.append(seed)
            if settings.epochs == 5 and seed == 2:
                raise RuntimeError("out of memory")
            return QuickOutcome(settings.epochs * 10.0, sorted(data))

        monkeypatch.setattr(grid, "fine_tune_ner", quick)
        with contextlib.suppress(UniBertError):
            run(world, settings=["each"], **changes)
        results, problems = load_results(world / "out" / "results")
        assert problems == []
        return {(entry.model, *entry.languages, entry.seed): entry.scores["xx"].f1 for entry in results}

    three, five = ({**settings_of(world).finetune.model_dump(), "epochs": epochs} for epochs in (3, 5))
    only = {"ner": {"xx": settings_of(world).model_dump()["ner"]["xx"]}}
    cells = {(model, "xx", seed) for model in ("student", "teacher") for seed in (1, 2)}
    assert shown(finetune=three, **only) == dict.fromkeys(cells, 30.0)
    assert shown(finetune=five, **only) == {cell: 50.0 for cell in cells if cell[2] == 1}
    assert len(calls) == 8
    assert shown(finetune=three, **only) == dict.fromkeys(cells, 30.0)
    assert len(calls) == 8, "a finished run was repeated"
    assert len(files(world)) == 6
    assert shown(finetune=three, models=["teacher"], seeds=[2], **only) == {("teacher", "xx", 2): 30.0}
    assert len(calls) == 8


def test_the_plan_stands_before_training_begins(world, monkeypatch):
    monkeypatch.setattr(grid, "fine_tune_ner", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(world)
    assert read_json(world / "out" / "plan.json") == {"schema": 1, "addresses": addresses(world)}


def test_a_failing_run_costs_only_itself(world, monkeypatch, capsys):
    real = grid.fine_tune_ner

    def breaking(encoder, data, settings, seed, advance):
        if encoder.name == "teacher" and list(data) == ["yy"]:
            advance(16)
            raise RuntimeError("out of memory")
        return real(encoder, data, settings, seed, advance)

    monkeypatch.setattr(grid, "fine_tune_ner", breaking)
    with pytest.raises(UniBertError) as caught:
        run(world, seeds=[1])
    assert "1 of 6 runs" in caught.value.message
    assert "teacher, yy, seed 1: RuntimeError: out of memory" in caught.value.message
    assert "failed: teacher, yy, seed 1" in capsys.readouterr().err
    assert len(files(world)) == 5
    (details,) = (world / "out" / "failures").iterdir()
    assert "Traceback" in details.read_text()
    monkeypatch.setattr(grid, "fine_tune_ner", real)
    assert len(run(world, seeds=[1])) == 6
    assert not details.exists()


def test_an_interrupt_keeps_what_is_finished_and_nothing_half(world, monkeypatch):
    real = grid.fine_tune_ner
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(grid, "fine_tune_ner", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(world, seeds=[1])
    assert len(files(world)) == 2
    assert len(run(world, seeds=[1])) == 6
    assert len(calls) == 3 + 4


def test_a_result_found_under_another_name_of_the_model(world):
    (first,) = run(world, models=["student"], seeds=[1], settings=["all"])
    path = str(world / "student")
    (second,) = run(world, models=[path], seeds=[1], settings=["all"])
    assert second == {**first, "model": path}
    assert [read_json(file) for file in files(world)] == [second]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_bad_data_is_reported_before_anything_is_trained(world, monkeypatch, split):
    with (world / "yy" / split).open("a") as stream:
        stream.write("\nword NN O\n")
    monkeypatch.setattr(grid, "fine_tune_ner", lambda *_: pytest.fail("training began"))
    with pytest.raises(DataError, match=rf"yy/{split}:\d+: 3 columns found, 2 expected"):
        run(world)
    assert not (world / "out").exists()


def test_models_that_cannot_be_used(world, monkeypatch):
    monkeypatch.setattr(grid, "fine_tune_ner", lambda *_: pytest.fail("training began"))
    with pytest.raises(DataError, match="teacher: not trained yet"):
        run_benchmark(settings_of(world), {"student": world / "student"}, world / "out")
    with pytest.raises(DataError, match="no such folder"):
        run(world, models=["student", "./nothing"])
    with pytest.raises(DataError, match="the same model"):
        run(world, models=["student", str(world / "student")])
    with pytest.raises(DataError, match="names no files"):
        run(world, ner={})
