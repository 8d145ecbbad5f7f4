"""What `--dry-run` says: how many runs there are, how far they are, how long the others will take."""

import pytest
from typer.testing import CliRunner

from grid_support import make_result as make
from grid_support import models_of, quick, settings_of, write_grid_world
from unibert.benchmark import worker
from unibert.benchmark.grid import run_benchmark
from unibert.benchmark.overview import format_plan, measured_rates
from unibert.benchmark.plan import plan
from unibert.benchmark.schema import Result
from unibert.cli import app
from unibert.errors import UniBertError


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("UNIBERT_QUIET", "1")
    return write_grid_world(tmp_path)


def told(world, workers=1, **changes):
    return format_plan(plan(settings_of(world, **changes), models_of(world)), world / "out", workers)


def rows(text):
    return {tuple(line.split()[:3]): line.split()[3:] for line in text.splitlines()[1:5]}


def test_before_anything_is_done_the_time_is_not_known(world):
    text = told(world)
    # Two languages of 40 sentences, two seeds, one epoch.
    assert rows(text)[("ner", "student", "each")] == ["4", "0", "0", "4", "160", "?"]
    assert rows(text)[("ner", "teacher", "all")] == ["2", "0", "0", "2", "160", "?"]
    assert "12 runs to do; how long they take is not known yet" in text
    assert not (world / "out").exists()


def test_finished_runs_tell_the_pace_and_failed_ones_are_named(world, monkeypatch):
    def breaking(task, encoder, data, settings, seed, advance):
        if seed == 2 and len(data) == 2:
            raise RuntimeError("no luck")
        return quick(task, encoder, data, settings, seed, advance)

    monkeypatch.setattr(worker, "fine_tune", breaking)
    with pytest.raises(UniBertError):
        run_benchmark(settings_of(world, models=["student"]), models_of(world), world / "out")
    text = told(world, seeds=[1, 2, 3])
    assert rows(text)[("ner", "student", "each")][:5] == ["6", "4", "0", "2", "80"]
    assert rows(text)[("ner", "student", "all")][:5] == ["3", "1", "1", "1", "80"]
    assert "1 failed before; --retry-failed" in text
    assert "12 runs to do; about " in text
    assert "and 9 more of models or tasks whose pace is not known" in text
    # Each of the finished runs took a second, for 40 or 80 samples: 240 in 5 seconds.
    assert rows(text)[("ner", "student", "all")][5] == "2s"
    assert "about 3s" in text and "about 2s" in told(world, 2, seeds=[1, 2, 3])


def test_when_all_is_done_that_is_said(world, monkeypatch):
    monkeypatch.setattr(worker, "fine_tune", quick)
    run_benchmark(settings_of(world), models_of(world), world / "out")
    assert told(world).endswith("Nothing is to be done.")


def test_the_pace_is_that_of_the_model_and_of_how_it_is_trained():
    results = [
        Result.model_validate(make(seconds=seconds, settings={"epochs": 3, "method": method}))
        for seconds, method in ((2.0, "full"), (1.0, "full"), (0.5, "frozen"))
    ]
    assert measured_rates(results) == {
        ("benchmark", "student", "full", "ner"): 2.0,
        ("task", "student", "full", "ner"): 2.0,
        ("benchmark", "student", "frozen", "ner"): 6.0,
        ("task", "student", "frozen", "ner"): 6.0,
    }


RECIPE = """
name = "trial"
folder = "{world}/run"
[teacher]
model = "{world}/teacher"
[benchmark]
models = ["teacher"]
settings = ["each"]
seeds = [1]
[benchmark.finetune]
epochs = 1
precision = "float32"
[benchmark.data.mine]
task = "ner"
[benchmark.data.mine.files]
xx = {{train = "{world}/xx/train", test = "{world}/xx/test"}}
yy = {{train = "{world}/yy/train", test = "{world}/yy/test"}}
"""


def test_the_command_plans_does_tells_and_goes_on(world, monkeypatch):
    path = world / "recipe.in.toml"
    path.write_text(RECIPE.format(world=world))

    def unibert(*options):
        return CliRunner().invoke(app, ["benchmark", str(path), *options], catch_exceptions=True)

    def breaking(task, encoder, data, *rest):
        if "yy" in data:
            raise RuntimeError("no luck")
        return quick(task, encoder, data, *rest)

    assert "2 runs to do" in unibert("--dry-run").output
    assert not (world / "run").exists()
    monkeypatch.setattr(worker, "fine_tune", breaking)
    half = unibert()
    assert isinstance(half.exception, UniBertError) and "1 of 2 runs" in str(half.exception)
    assert "41.00" in half.output
    monkeypatch.setattr(worker, "fine_tune", quick)
    assert isinstance(unibert().exception, UniBertError)
    whole = unibert("--retry-failed")
    assert whole.exit_code == 0
    assert whole.stdout.splitlines()[-1].split() == ["teacher", "each", "41.00", "41.00", "41.00", "-"]
    monkeypatch.setattr(worker, "fine_tune", lambda *_: pytest.fail("a finished run was repeated"))
    assert unibert("--only-benchmark", "mine", "--model", "teacher").exit_code == 0
    assert "Did you mean mine?" in str(unibert("--only-benchmark", "mien").exception)
