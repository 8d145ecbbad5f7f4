"""Which processes are started in which order, and what becomes of what they answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unibert.deploy import latency
from unibert.deploy.latency import LatencySettings, Measuring, measure_latency
from unibert.deploy.latency_models import ONNX_FILES
from unibert.deploy.latency_process import Ended
from unibert.errors import DataError, RecipeError
from unibert.report.latency_file import Latency

SMALL = LatencySettings(backends=("torch",), batches=(1,), lengths=(16, 64), threads=(1,), repeats=5, rounds=2)


class Processes:
    """In the place of `work`: answers as the worker does, with times that tell model, backend and round."""

    def __init__(self, monkeypatch) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.environments: list[dict[str, Any]] = []
        self.ends: dict[tuple[str, str], Ended] = {}
        """By what is done and the folder's name or backend."""
        self.after: dict[str, int] = {}
        """So many cells of a backend are answered before it dies."""
        self.interrupt_at: int | None = None
        self.seen: dict[str, Any] = {}
        monkeypatch.setattr(latency, "work", self)
        monkeypatch.setattr(latency, "usable_cores", lambda: 2)

    @property
    def measured(self) -> list[tuple[str, str, int]]:
        return [(Path(j["folder"]).name, j["backend"], j["threads"]) for j in self.jobs if j["do"] == "measure"]

    def __call__(self, job, told=lambda answer: None, environment=None) -> Ended:
        self.jobs.append(dict(job))
        self.environments.append(dict(environment or {}))
        do, folder = job["do"], Path(job["folder"])
        end = self.ends.get((do, job.get("backend") or folder.name), Ended())
        if do == "make":
            folder.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(b"w" * 40)
        elif do == "look" and not end.failed:
            usual = {"measures": "encoder", "kind": "encoder", "parameters": 10, "layers": 1, "hidden": 2,
                     "vocabulary": 9, "limit": 512, "torch": any(folder.glob("*.safetensors"))}  # fmt: skip
            told({"told": "model", **usual, **self.seen})
        elif do == "export" and not end.failed:
            for name in ("model.onnx", *(["model_quantized.onnx"] if job["quantised"] else [])):
                file = Path(job["output"]) / "onnx" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"o" * 20)
        elif do == "measure":
            self._measure(job, told)
        return end

    def _measure(self, job, told) -> None:
        if self.interrupt_at is not None and len(self.measured) > self.interrupt_at:
            raise KeyboardInterrupt
        told({"told": "loaded", "seconds": 0.5})
        number = self.measured.count((Path(job["folder"]).name, job["backend"], job["threads"]))
        for batch, length in job["cells"][: self.after.get(job["backend"], 99)]:
            time = number * batch * length / 1000
            told({"told": "cell", "batch": batch, "length": length, "calls": 5, "first": 9.0, "mean": time, "p50": time,
                  "p95": 2 * time, "p99": 3 * time, "joules": None})  # fmt: skip
        if job["backend"] not in self.after:
            told({"told": "memory", "above": 7, "peak": 70})


@pytest.fixture
def processes(monkeypatch):
    return Processes(monkeypatch)


def write_model(place: Path, weights: bool = True, onnx: tuple[str, ...] = ()) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    if weights:
        (place / "model.safetensors").write_bytes(b"w" * 40)
    for backend in onnx:
        file = place / ONNX_FILES[backend]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"o" * 12)
    return place


def test_every_backend_has_a_process_of_its_own_and_every_second_round_goes_backwards(processes, tmp_path):
    models = [write_model(tmp_path / name) for name in ("a", "b")]
    settings = LatencySettings(("torch", "torch-bf16"), (1,), (16,), (1, 2), 5, 5.0, rounds=3)
    found = measure_latency([str(model) for model in models], settings)
    once = [(name, backend, t) for name in "ab" for backend in ("torch", "torch-bf16") for t in (1, 2)]
    assert processes.measured == [*once, *reversed(once), *once]
    assert [part.key for part in found.measurements] == once
    for part in found.measurements:
        (cell,) = part.cells
        assert [each.p50 for each in cell.rounds] == pytest.approx([0.016, 0.032, 0.048])
        assert cell.p50 == pytest.approx(0.032) and cell.spread == pytest.approx(1.0)
        assert (part.file_bytes, part.load_seconds, part.memory_bytes, part.peak_bytes) == (
            40, [0.5] * 3, [7] * 3, [70] * 3)  # fmt: skip
    assert len(found.machine.load_average) in (0, 3)


def test_processes_get_their_threads_and_the_libraries_own_ways(processes, tmp_path):
    measure_latency([str(write_model(tmp_path / "a"))], SMALL)
    job, environment = processes.jobs[-1], processes.environments[-1]
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"  # as sessions of onnxruntime wait
    assert not environment["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
    assert job["cells"] == [(1, 16), (1, 64)] and job["repeats"] == 5 and job["rows"] == 9
    json.dumps(job)


def test_shapes_are_made_and_exported_on_the_way_and_nothing_of_them_stays(processes):
    settings = LatencySettings(("torch", "onnx", "onnx-int8"), (1,), (16,), (1,), rounds=1)
    found = measure_latency(["shape:xxsmall"], settings)
    assert [job["do"] for job in processes.jobs] == ["make", "look", "export", "export", *["measure"] * 3]
    assert [job["quantised"] for job in processes.jobs if job["do"] == "export"] == [False, True]
    files = [job["file"] and Path(job["file"]).name for job in processes.jobs if job["do"] == "measure"]
    assert files == [None, "model.onnx", "model_quantized.onnx"]
    assert [part.file_bytes for part in found.measurements] == [40, 20, 20]
    assert found.models[0].random_weights and not Path(processes.jobs[0]["folder"]).exists()


def test_files_that_are_there_are_measured_as_they_are(processes, tmp_path):
    model = write_model(tmp_path / "m", onnx=("onnx", "onnx-int8"))
    measure_latency([str(model)], LatencySettings(("onnx", "onnx-int8"), (1,), (16,), (1,), rounds=1))
    assert [job["do"] for job in processes.jobs] == ["look", "measure", "measure"]
    assert [Path(job["file"]) for job in processes.jobs[1:]] == [model / file for file in ONNX_FILES.values()]
    assert not found_random(processes)


def found_random(processes: Processes) -> bool:
    return any(job["do"] == "make" for job in processes.jobs)


def test_an_exported_folder_has_nothing_for_torch_and_perhaps_no_int8(processes, tmp_path):
    model = write_model(tmp_path / "m", weights=False, onnx=("onnx",))
    found = measure_latency([str(model)], LatencySettings(("torch", "onnx", "onnx-int8"), (1,), (16,), (1,), rounds=1))
    assert [part.backend for part in found.measurements] == ["onnx"]
    told = {part.backend: part for part in found.absent}
    assert told.keys() == {"torch", "onnx-int8"} and {part.kind for part in found.absent} == {"impossible"}
    assert "no weights for PyTorch" in told["torch"].reason
    assert "unibert quantise" in told["onnx-int8"].fix


def test_what_cannot_be_is_told_and_not_tried_again(processes, tmp_path):
    models = [str(write_model(tmp_path / name)) for name in ("a", "b")]
    processes.ends["measure", "torch-bf16"] = Ended("impossible", "no bfloat16", "buy another")
    found = measure_latency(models, LatencySettings(("torch", "torch-bf16"), (1,), (16,), (1,), rounds=3))
    assert [key[1] for key in processes.measured].count("torch-bf16") == 2
    assert [(p.model, p.backend, p.threads, p.kind, p.reason, p.fix) for p in found.absent] == [
        (name, "torch-bf16", 1, "impossible", "no bfloat16", "buy another") for name in "ab"
    ]


def test_a_process_that_dies_takes_nothing_with_it(processes, tmp_path):
    processes.ends["measure", "onnx"] = Ended("failed", "its process was killed")
    processes.after["onnx"] = 1
    settings = LatencySettings(("torch", "onnx"), (1,), (16, 64), (1,), rounds=2)
    found = measure_latency([str(write_model(tmp_path / "a"))], settings)
    parts = {part.backend: part for part in found.measurements}
    assert [len(cell.rounds) for cell in parts["torch"].cells] == [2, 2]
    # What it had told before stays; it is told that it died, and it is not begun again.
    assert [cell.length for cell in parts["onnx"].cells] == [16] and parts["onnx"].memory_bytes == []
    assert [(part.backend, part.kind) for part in found.absent] == [("onnx", "failed")]


def test_an_export_that_fails_is_told_of_that_backend(processes, tmp_path):
    processes.ends["export", "a"] = Ended("failed", "its process was killed", "more memory")
    found = measure_latency(
        [str(write_model(tmp_path / "a"))], LatencySettings(("torch", "onnx", "onnx-int8"), (1,), (16,), (1,), rounds=1)
    )
    assert [part.backend for part in found.measurements] == ["torch"]
    assert [(part.backend, part.reason) for part in found.absent] == [
        (name, "its process was killed") for name in ("onnx", "onnx-int8")
    ]


def test_a_shape_that_cannot_be_made_leaves_the_others(processes, tmp_path):
    processes.ends["make", "model"] = Ended("failed", "out of memory")
    found = measure_latency(["shape:mbert", str(write_model(tmp_path / "a"))], SMALL)
    assert [model.name for model in found.models] == ["mbert", "a"]
    assert [part.model for part in found.measurements] == ["a"]
    assert [(part.model, part.backend) for part in found.absent] == [("mbert", "torch")]


def test_a_folder_that_cannot_be_deployed_is_refused_before_anything_is_measured(processes, tmp_path):
    processes.ends["look", "b"] = Ended("impossible", "model b: no tokenizer", "Save it.")
    with pytest.raises(DataError, match="no tokenizer") as error:
        measure_latency([str(write_model(tmp_path / name)) for name in ("a", "b")], SMALL)
    assert error.value.fix == "Save it." and not processes.measured


def test_more_threads_than_cores_and_longer_texts_than_positions_are_told(processes, tmp_path):
    processes.seen = {"limit": 60}
    settings = LatencySettings(("torch",), (1,), (16, 64), (2, 3), rounds=1)
    found = measure_latency([str(write_model(tmp_path / "a"))], settings)
    assert processes.measured == [("a", "torch", 2)] and processes.jobs[-1]["cells"] == [(1, 16)]
    assert {(part.backend, part.threads, part.reason) for part in found.absent} == {
        ("all", 3, "this process may use 2 cores"),
        ("all", None, "texts of 64 tokens: it reads at most 60"),
    }


def test_a_model_that_can_read_none_of_the_lengths(processes, tmp_path):
    processes.seen = {"limit": 8}
    found = measure_latency([str(write_model(tmp_path / "a"))], SMALL)
    assert not processes.measured and not found.measurements and len(found.absent) == 2


def test_an_interruption_leaves_what_was_measured(processes, tmp_path):
    processes.interrupt_at = 3
    models = [str(write_model(tmp_path / name)) for name in ("a", "b")]
    found = measure_latency(models, SMALL)
    assert found.interrupted
    assert {part.model: len(part.cells[0].rounds) for part in found.measurements} == {"a": 1, "b": 2}


def test_an_interruption_before_anything_was_measured_leaves_nothing(processes, tmp_path):
    processes.interrupt_at = 0
    with pytest.raises(KeyboardInterrupt):
        measure_latency([str(write_model(tmp_path / "a"))], SMALL)


def test_the_file_tells_the_machine_and_not_whose_it_is(processes, tmp_path):
    import socket

    text = json.dumps(measure_latency([str(write_model(tmp_path / "a")), "shape:small"], SMALL).as_json())
    again = Latency.model_validate(json.loads(text))
    assert again.machine.processor and again.machine.versions["python"] and again.machine.cores >= 1
    assert again.settings["lengths"] == [16, 64] and again.date
    assert str(tmp_path) not in text and str(Path.home()) not in text and f'"{socket.gethostname()}"' not in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backends": ("torch", "tensorrt")}, "--backend tensorrt"),
        ({"backends": ("onnx-int4",)}, "Did you mean onnx-int8"),
        ({"backends": ()}, "--backend: names nothing"),
        ({"batches": (1, 0)}, "--batch 0: has to be 1 or more"),
        ({"lengths": (-3,)}, "--length -3"),
        ({"threads": (2, 2)}, "--threads 2,2: one is there twice"),
        ({"repeats": 0}, "--repeats 0"),
        ({"seconds": 0.0}, "--seconds 0"),
        ({"rounds": -1}, "--rounds -1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(processes, changes, told):
    with pytest.raises(RecipeError) as error:
        measure_latency(["shape:small"], LatencySettings(**changes))
    assert told in str(error.value) and not processes.jobs


def test_nothing_is_there_before_it_is_measured():
    assert not Measuring(SMALL).any
