"""Tasks on Ray (two nodes on this machine) and on Slurm (stand-ins for its programs, which really run the tasks)."""

import json
import os
import sys

import pytest

from corpus_support import PROSE, articles
from executor_support import Note, corpus_bytes
from slurm_support import install_slurm
from unibert.corpus import clusters, pipeline
from unibert.corpus.executors import run_tasks
from unibert.corpus.pipeline import build_corpus
from unibert.errors import DataError, Interrupted
from unibert.recipe import Corpus, Executor


def run(tasks, folder, workers=2, settings=None):
    return run_tasks(tasks, settings, workers, folder / "logs", "notes")


# --- Ray ---


@pytest.fixture(scope="module")
def two_nodes():
    """The address of a Ray cluster of two nodes with one core each, on this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the nodes' workers
    memory = {"num_cpus": 1, "memory": 10**9, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**memory, "include_dashboard": False})
    try:
        cluster.add_node(**memory)
        yield cluster.address
    finally:
        cluster.shutdown()
        patch.undo()


@pytest.mark.slow
def test_ray_spreads_tasks_over_the_nodes_and_outlives_a_killed_worker(two_nodes, notes, tmp_path, capfd):
    settings = Executor(kind="ray", address=two_nodes, memory_gb=0.5)
    tasks = notes(8, task2={"killed": 1}, task5={"killed": 9}, **{f"task{n}": {"seconds": 1.0} for n in (0, 1, 3, 4)})
    tasks[7].path.write_text("there already")
    assert run(tasks, tmp_path, None, settings) == [tasks[5]]
    assert [task.runs() for task in tasks] == [1, 1, 2, 1, 1, 2, 1, 0]
    places = {task.path.read_text() for task in tasks if task.finished()} - {"there already"}
    assert len(places) == 2, "one node did all the work"
    assert all(place.startswith("ray ") for place in places)
    assert capfd.readouterr().err == ""
    import ray

    assert not ray.is_initialized()
    failing = Note(tmp_path, "bad", error=DataError("full disk", "make room"))
    with pytest.raises(DataError, match="full disk") as caught:
        run([failing], tmp_path, None, settings)
    assert caught.value.fix == "make room"


@pytest.mark.slow
def test_the_corpus_of_a_ray_cluster_is_that_of_this_machine(two_nodes, tmp_path, write_dump, monkeypatch):
    monkeypatch.setattr(pipeline, "_FEW", 0)  # the languages are put together there too
    folder = tmp_path / "in"
    for code in ("de", "en", "ltg"):
        write_dump(articles(60, f"{PROSE} " * 30), f"{code}wiki-x-multistream.xml.bz2", folder)
        write_dump(articles(5000, f"{PROSE} " * 2), f"{code}wiki-y.xml", folder)
    settings = Corpus(dumps=[str(folder)], slice_mb=1, workers=1)
    build_corpus(settings, tmp_path / "here", {})
    on_ray = Executor(kind="ray", address=two_nodes, memory_gb=0.5)
    build_corpus(settings.model_copy(update={"executor": on_ray, "workers": None}), tmp_path / "there", {})
    assert corpus_bytes(tmp_path / "there") == corpus_bytes(tmp_path / "here")
    assert len(corpus_bytes(tmp_path / "here")) == 4


def test_a_task_that_no_node_can_hold_is_told(notes, tmp_path, monkeypatch):
    """Ray itself would wait for ever."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 1e9}}])
    with pytest.raises(DataError, match=r"needs 8 GB, and the largest node of the Ray cluster offers 1\.0"):
        clusters.see_that_a_task_fits(ray, 8, None, "corpus.executor")


def test_without_ray_the_package_is_named(notes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError, match="needs the package ray") as caught:
        run(notes(1), tmp_path, settings=Executor(kind="ray"))
    assert "unibert[ray]" in caught.value.fix


def test_a_ray_cluster_that_is_not_there_is_told(notes, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(DataError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        run(notes(1), tmp_path, settings=Executor(kind="ray", address="127.0.0.1:1"))


# --- Slurm ---


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with stand-ins for Slurm's programs, first on the path."""
    monkeypatch.setattr(clusters, "_POLL", 0.2)
    monkeypatch.setattr(clusters, "_GRACE", 1.0)
    return install_slurm(tmp_path / "slurm", monkeypatch)


SLURM = Executor(kind="slurm", partition="cpu", time="01:00:00", memory_gb=1.5, sbatch={"account": "nlp"})


def test_a_slurm_array_runs_the_tasks_that_are_missing(slurm, notes, tmp_path):
    tasks = notes(3)
    tasks[1].path.write_text("there already")
    settings = SLURM.model_copy(update={"setup": "export GREETING=hello"})
    assert run(tasks, tmp_path, 5, settings) == []
    assert [task.runs() for task in tasks] == [1, 0, 1]
    assert {task.path.read_text() for task in tasks} == {"slurm 0", "slurm 1", "there already"}
    (options,) = (slurm / "options").read_text().splitlines()  # one job: none for datatrove's statistics
    for wanted in ("'partition': 'cpu'", "'time': '01:00:00'", "'mem-per-cpu': '1500M'", "'account': 'nlp'", "0-1%5"):
        assert wanted in options
    assert "qos" not in options
    script = (slurm / "script").read_text()
    assert script.index("export GREETING=hello") < script.index("launch_pickled_pipeline")
    assert not (tmp_path / "logs" / "slurm_job.json").exists()


def test_a_job_that_ends_without_all_results_names_them_and_goes_on_next_time(slurm, notes, tmp_path):
    tasks = notes(3)
    (slurm / "lose").touch()
    with pytest.raises(DataError, match=r"Slurm job 41 has ended, but 1 of 3 tasks have no result: task1") as caught:
        run(tasks, tmp_path, settings=SLURM)
    assert str(tmp_path / "logs" / "slurm_logs") in caught.value.fix
    assert list((tmp_path / "logs" / "slurm_logs").glob("41_*.out"))
    (slurm / "lose").unlink()
    run(tasks, tmp_path, settings=SLURM)
    assert [task.runs() for task in tasks] == [1, 1, 1]


def test_an_interrupted_wait_leaves_the_job_and_finds_it_again(slurm, notes, tmp_path, monkeypatch):
    tasks = notes(3, task0={"seconds": 3.0})

    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(clusters.time, "sleep", interrupt)
        with pytest.raises(Interrupted, match="0 of 3 tasks are finished, and Slurm job 41 goes on") as caught:
            run(tasks, tmp_path, settings=SLURM)
    assert "scancel 41" in caught.value.fix
    with pytest.raises(DataError, match="job 41 of an earlier command, for other tasks"):
        run([Note(tmp_path, "other")], tmp_path, settings=SLURM)
    run(tasks, tmp_path, settings=SLURM)
    assert [task.runs() for task in tasks] == [1, 1, 1]
    assert len((slurm / "options").read_text().splitlines()) == 1


def test_what_slurm_refuses_is_told(slurm, notes, tmp_path, capfd):
    (slurm / "refuse").touch()
    with pytest.raises(DataError, match=r"sbatch refused the job \(exit code 1\)"):
        run(notes(1), tmp_path, settings=SLURM)
    assert "invalid partition" in capfd.readouterr().err


@pytest.mark.parametrize("missing", ["sbatch", "squeue"])
def test_without_slurm_the_program_is_named(notes, tmp_path, monkeypatch, missing):
    there = {"sbatch", "squeue"} - {missing}
    monkeypatch.setattr(clusters.shutil, "which", lambda name: name if name in there else None)
    with pytest.raises(DataError, match=f"there is no `{missing}` here"):
        run(notes(1), tmp_path, settings=SLURM)


def test_the_corpus_of_a_slurm_array_is_that_of_this_machine(slurm, tmp_path, write_dump, monkeypatch):
    monkeypatch.setattr(pipeline, "_FEW", 0)
    folder = tmp_path / "in"
    for code in ("de", "en"):
        write_dump(articles(20), f"{code}wiki-x-multistream.xml.bz2", folder)
    settings = Corpus(dumps=[str(folder)], workers=1)
    build_corpus(settings, tmp_path / "here", {})
    build_corpus(settings.model_copy(update={"executor": SLURM}), tmp_path / "there", {})
    assert corpus_bytes(tmp_path / "there") == corpus_bytes(tmp_path / "here")
    tasks = [json.loads(line.replace("'", '"'))["array"] for line in (slurm / "options").read_text().splitlines()]
    assert tasks == ["0-1%1", "0-1%1"]  # two dumps, two languages
