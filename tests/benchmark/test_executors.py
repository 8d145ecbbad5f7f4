"""Runs in processes of this machine, on Ray and on Slurm: the same results, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import grid_support
from grid_support import files_of, models_of, settings_of, write_grid_world
from ner_support import read_json
from slurm_support import install_slurm
from tests_support import heed_interrupts
from unibert.benchmark import clusters, executors, grid
from unibert.benchmark.executors import Progress
from unibert.benchmark.grid import run_benchmark
from unibert.benchmark.plan import plan
from unibert.errors import DataError, Interrupted, UniBertError
from unibert.task_settings import GridExecutor


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setenv("UNIBERT_QUIET", "1")
    monkeypatch.setattr(grid, "_POLL", 0.05)


@pytest.fixture
def world(tmp_path):
    return write_grid_world(tmp_path)


def small(world, **changes):
    """Three runs."""
    return settings_of(world, models=["student"], seeds=[1], **changes)


def run(world, executor, folder="out", **changes):
    options = {name: changes.pop(name) for name in ("retry_failed",) if name in changes}
    return run_benchmark(small(world, executor=executor, **changes), models_of(world), world / folder, **options)


def scores(results):
    return [(entry["address"], entry["scores"], entry["predictions"]["sha256"]) for entry in results]


@pytest.fixture
def here(world):
    """What one process makes of the runs."""
    return scores(run(world, {}, "here"))


def test_processes_give_the_scores_of_one(world, here):
    assert scores(run(world, {"workers": 2})) == here
    assert not (world / "out" / "failures").exists()


@pytest.mark.parametrize("times", [1, 9])
def test_a_run_whose_process_is_killed_is_done_once_more(world, here, monkeypatch, times):
    monkeypatch.setattr(executors, "_prepare", grid_support.prepare_and_be_killed)
    victim = plan(small(world), models_of(world)).runs[1]
    (world / "out").mkdir()
    (world / "out" / "kill").write_text(str(times))
    (world / "out" / "victim").write_text(victim.address)
    if times == 1:
        assert scores(run(world, {"workers": 2})) == here
        return
    with pytest.raises(UniBertError) as caught:
        run(world, {"workers": 2})
    assert "1 of 3 runs" in caught.value.message
    assert "student, ner, yy, seed 1: its process was killed, twice" in caught.value.message
    assert (world / "out" / "kill").read_text() == "7"
    (world / "out" / "kill").write_text("0")
    assert scores(run(world, {"workers": 2}, retry_failed=True)) == here


def test_data_that_changes_after_the_plan_fails_its_runs_only(world, monkeypatch):
    real = executors.run_all

    def later(*arguments):
        with (world / "yy" / "train").open("a") as stream:
            stream.write("\nZaki B-PER\n")
        real(*arguments)

    monkeypatch.setattr(grid, "run_all", later)
    with pytest.raises(UniBertError) as caught:
        run(world, {"workers": 2})
    assert "2 of 3 runs" in caught.value.message
    assert "changed since the run was planned" in caught.value.message


SCRIPT = """
import sys
from pathlib import Path
from grid_support import models_of, settings_of
from unibert.benchmark.grid import run_benchmark

if __name__ == "__main__":
    world = Path(sys.argv[1])
    settings = settings_of(world, executor={"workers": int(sys.argv[2])}, seeds=[1, 2, 3, 4, 5, 6, 7, 8])
    run_benchmark(settings, models_of(world), world / "out")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_grid_loses_only_the_runs_under_way(world, number):
    (world / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(world / "script.py"), str(world), "2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    results = world / "out" / "results"
    while len(list(results.glob("*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker is still there")
    stamps = {path: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert 2 <= len(stamps) < 48
    run_benchmark(settings_of(world), models_of(world), world / "out")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert not [path for path in (world / "out").rglob(".*.tmp")]


class Bar:
    """What a progress bar was told."""

    def __init__(self, total):
        self.n, self.total, self.told = 0, total, []

    def update(self, n):
        self.n += n

    def write(self, text, file):
        self.told.append(text)

    def set_description(self, text):
        self.told.append(text)


def test_the_bar_counts_runs_and_what_fails_is_not_waited_for(world, tmp_path):
    runs = plan(small(world), models_of(world)).runs
    bar = Bar(sum(one.samples for one in runs))
    progress = Progress(bar, tmp_path, runs)
    progress.begin(runs[0])
    progress.advance(16)
    progress.advance(16)
    assert bar.n == 32
    assert bar.told == ["benchmark 1/3: student, ner, xx, seed 1"]
    assert not progress.end(runs[0])
    executors.write_failure(tmp_path, runs[0].address, "name", "no luck")
    assert progress.end(runs[0]) and progress.end(runs[0])
    assert (bar.n, bar.total) == (0, 120)
    assert bar.told[-1] == "failed: student, ner, xx, seed 1: no luck"


# Ray ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ray_gives_the_scores_of_one_process(world, here, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert scores(run(world, {"kind": "ray", "workers": 1, "cores": 1, "memory_gb": 0.5})) == here


def test_without_ray_the_package_is_named(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError, match="needs the package ray") as caught:
        run(world, {"kind": "ray"})
    assert "unibert[ray]" in caught.value.fix


# Slurm -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slurm(world, monkeypatch):
    monkeypatch.setattr(clusters, "_POLL", 0.2)
    monkeypatch.setattr(clusters, "_GRACE", 1.0)
    return install_slurm(world / "slurm", monkeypatch)


SLURM = {"kind": "slurm", "partition": "cpu", "time": "01:00:00", "memory_gb": 1.5, "sbatch": {"account": "nlp"}}


@pytest.mark.slow
def test_a_slurm_array_gives_the_scores_of_one_process(slurm, world, here):
    settings = {**SLURM, "setup": "export GREETING=hello", "workers": 5, "gpus": 1}
    assert scores(run(world, settings)) == here
    (options,) = (slurm / "options").read_text().splitlines()
    for wanted in ("'partition': 'cpu'", "'time': '01:00:00'", "'mem': '1500M'", "'account': 'nlp'", "'gpus': '1'"):
        assert wanted in options
    assert "'array': '0-2%5'" in options
    script = (slurm / "script").read_text()
    assert script.index("export GREETING=hello") < script.index("benchmark-worker")
    run(world, settings)
    assert len((slurm / "options").read_text().splitlines()) == 1


def test_more_runs_than_an_array_may_have_are_several_arrays(slurm, world, monkeypatch):
    submitted, waited = [], []

    def sbatch(command, **options):
        text = Path(command[-1]).read_text()
        submitted.append([line.removeprefix("#SBATCH --") for line in text.splitlines() if "#SBATCH" in line])
        return SimpleNamespace(returncode=0, stdout=f"Submitted batch job {len(submitted)}")

    monkeypatch.setattr(clusters, "_LARGEST_ARRAY", 2)
    monkeypatch.setattr(clusters, "_jobs_of_earlier_commands", lambda folder: {})
    monkeypatch.setattr(clusters, "_wait_for_jobs", lambda jobs, *rest: waited.append(dict(jobs)) or [])
    monkeypatch.setattr(clusters.subprocess, "run", sbatch)
    runs = [SimpleNamespace(address=str(number), samples=-number) for number in range(5)]
    clusters.run_on_slurm(runs, GridExecutor.model_validate(SLURM), world / "out", None)
    assert waited == [{"1": ["0", "1"], "2": ["2", "3"], "3": ["4"]}]
    assert [next(line for line in lines if "array" in line) for lines in submitted][-1] == "array=0-0%1"
    assert [line for lines in submitted for line in lines if "dependency" in line] == [
        "dependency=afterany:1",
        "dependency=afterany:2",
    ]


def test_what_the_array_of_an_earlier_command_has_given_up_is_submitted_anew(slurm, world, monkeypatch):
    """It had failed there before it was asked to be retried, so no task of that array will do it again."""
    first, second = (SimpleNamespace(address=name, samples=1) for name in ("first", "second"))
    submitted = []
    waits = iter([[first], []])
    monkeypatch.setattr(clusters, "_jobs_of_earlier_commands", lambda folder: {"7": ["first"]})
    monkeypatch.setattr(clusters, "_submit", lambda chosen, *_: submitted.append(chosen) or str(7 + len(submitted)))
    monkeypatch.setattr(clusters, "_wait_for_jobs", lambda jobs, *_: next(waits))
    clusters.run_on_slurm([first, second], GridExecutor.model_validate(SLURM), world / "out", None)
    assert submitted == [["second"], ["first"]]


@pytest.mark.slow
def test_a_task_that_ends_without_a_result_is_a_failure(slurm, world, here):
    (slurm / "lose").touch()
    with pytest.raises(UniBertError) as caught:
        run(world, SLURM)
    assert "1 of 3 runs" in caught.value.message
    assert "Slurm job 41 ended without a result" in caught.value.message
    (slurm / "lose").unlink()
    assert scores(run(world, SLURM, retry_failed=True)) == here


@pytest.mark.slow
def test_an_interrupted_wait_leaves_the_job_and_finds_it_again(slurm, world, here, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(clusters.time, "sleep", interrupt)
        with pytest.raises(Interrupted, match="Slurm goes on with job 41") as caught:
            run(world, SLURM)
    assert "scancel 41" in caught.value.fix
    assert scores(run(world, SLURM)) == here
    assert len((slurm / "options").read_text().splitlines()) == 1


def test_what_slurm_refuses_is_told(slurm, world):
    (slurm / "refuse").touch()
    with pytest.raises(DataError, match=r"sbatch refused the job \(exit code 1\): .*invalid partition"):
        run(world, SLURM)


@pytest.mark.parametrize("missing", ["sbatch", "squeue"])
def test_without_slurm_the_program_is_named(world, monkeypatch, missing):
    there = {"sbatch", "squeue"} - {missing}
    monkeypatch.setattr("shutil.which", lambda name: name if name in there else None)
    with pytest.raises(DataError, match=f"there is no `{missing}` here"):
        run(world, SLURM)


def test_a_number_that_the_array_does_not_have(world):
    (world / "slurm" / "one").mkdir(parents=True)
    (world / "slurm" / "one" / "runs.json").write_text('["a"]')
    with pytest.raises(DataError, match="no run of number 3"):
        clusters.work_on_array(world, "one", 3)


def test_the_grid_is_told_by_its_files(world):
    """Nothing of a run in another process is needed but what stands in its work file."""
    (first, *_) = plan(small(world, files=files_of(world, ["xx"])), models_of(world)).runs
    executors.write_work(first, world / "out")
    assert executors.perform_work(world / "out", first.address)
    assert read_json(world / "out" / "results" / f"{first.address}.json")["languages"] == ["xx"]
    assert executors.perform_work(world / "out", "0" * 16)
    assert "no such file" in executors.read_failure(world / "out", "0" * 16)
