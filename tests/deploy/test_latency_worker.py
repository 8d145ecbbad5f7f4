"""What the measuring process does, called in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ner_support import tiny_tokenizer, write_tiny_bert
from unibert.deploy import latency_worker, session
from unibert.deploy.energy import EnergyMeter
from unibert.deploy.latency_worker import Loaded, look, make_inputs, measure, measure_cell, summary
from unibert.deploy.session import FLOAT_FILE, RECORD_FILE
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.report.latency_file import Round


class Told(list):
    def __call__(self, told: str, **more: Any) -> None:
        self.append({"told": told, **more})

    def of(self, told: str) -> list[dict[str, Any]]:
        return [answer for answer in self if answer["told"] == told]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """This process's own numbers of threads stay."""
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda number: None)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300))
def test_percentiles_are_those_between_the_two_nearest_calls(times):
    found, ranked = summary(times), sorted(times)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        place = share * (len(ranked) - 1)
        low = int(place)
        high = min(low + 1, len(ranked) - 1)
        assert found[name] == pytest.approx(ranked[low] + (place - low) * (ranked[high] - ranked[low]), rel=1e-9)
    assert found["mean"] == pytest.approx(np.mean(times))
    assert found["calls"] == len(times)
    Round.model_validate({**found, "first": 0.1})


def test_inputs_have_the_length_that_is_asked_for_and_no_padding():
    made = make_inputs(("input_ids", "attention_mask", "token_type_ids"), 3, 7, 5000, seed=1)
    assert {name: (array.shape, array.dtype) for name, array in made.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), ((3, 7), np.int64)
    )
    assert made["attention_mask"].all() and not made["token_type_ids"].any()
    assert made["input_ids"].min() >= 1000 and made["input_ids"].max() < 5000
    assert not np.array_equal(made["input_ids"], make_inputs(("input_ids",), 3, 7, 5000, seed=2)["input_ids"])
    assert list(make_inputs(("attention_mask",), 1, 2, 9, 0)) == ["attention_mask"]


def test_an_input_that_nobody_knows_is_refused():
    with pytest.raises(DataError, match="pixel_values"):
        make_inputs(("input_ids", "pixel_values"), 1, 2, 9, 0)


class Clock:
    """Each call of the model takes as long as it is told to."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds, self.calls = 100.0, list(seconds), 0
        monkeypatch.setattr(latency_worker.time, "perf_counter", lambda: self.now)

    def call(self, inputs) -> None:
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1


def loaded(clock: Clock) -> Loaded:
    return Loaded(lambda inputs: inputs, clock.call, ("input_ids",))


def test_first_calls_are_not_counted(monkeypatch):
    clock = Clock(monkeypatch, [9.0, 3.0, 0.5, 0.5, 0.5, 0.5, *(0.001 * n for n in range(1, 101))])
    found = measure_cell(loaded(clock), 2, 4, 50, repeats=100, seconds=60)
    assert found["first"] == pytest.approx(9)
    assert found["calls"] == 100
    assert found["p50"] == pytest.approx(0.0505) and found["p99"] == pytest.approx(0.09901)
    assert found["joules"] is None
    assert clock.calls == 1 + latency_worker.WARM_UP_CALLS + 100


def test_slow_models_are_called_less_often(monkeypatch):
    clock = Clock(monkeypatch, [2.0])
    found = measure_cell(loaded(clock), 1, 4, 50, repeats=100, seconds=30)
    assert found["calls"] == 16  # the last one begins when 30 seconds have passed
    clock = Clock(monkeypatch, [60.0])
    assert measure_cell(loaded(clock), 1, 4, 50, 100, seconds=1)["calls"] == latency_worker.FEWEST_CALLS
    assert clock.calls == 1 + 1 + latency_worker.FEWEST_CALLS  # one to warm up


def test_energy_is_told_per_call(monkeypatch, tmp_path):
    clock, counter = Clock(monkeypatch, [0.01]), tmp_path / "energy_uj"
    counter.write_text("0")

    def call(inputs) -> None:
        clock.call(inputs)
        counter.write_text(str(clock.calls * 250_000))

    found = measure_cell(
        Loaded(lambda x: x, call, ("input_ids",)), 1, 4, 50, 10, 60, EnergyMeter((counter,), (10**12,))
    )
    assert found["joules"] == pytest.approx(0.25)


def job(model: Path, **changes: Any) -> dict[str, Any]:
    usual = {"folder": str(model), "file": None, "backend": "torch", "threads": 1, "measures": "encoder",
             "rows": 100, "cells": [(1, 4), (2, 8)], "repeats": 6, "seconds": 5.0}  # fmt: skip
    return usual | changes


def test_a_model_is_loaded_and_timed(model):
    told = Told()
    measure(told, **job(model))
    assert [answer["told"] for answer in told] == ["loaded", "cell", "cell", *["memory"] * len(told.of("memory"))]
    assert [(cell["batch"], cell["length"], cell["calls"]) for cell in told.of("cell")] == [(1, 4, 6), (2, 8, 6)]
    json.dumps(told)
    if Path("/proc/self/status").exists():
        (memory,) = told.of("memory")
        assert memory["peak"] > 50e6 and 0 <= memory["above"] < memory["peak"]


@pytest.mark.parametrize(
    ("measures", "output"), [("encoder", (2, 8, 32)), ("fill-mask", (2, 8, None)), ("embeddings", (2, 32))]
)
@pytest.mark.parametrize("backend", ["torch", "torch-bf16"])
def test_what_is_called_is_what_was_asked_for(model, monkeypatch, measures, output, backend):
    from unibert.models import precision

    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: True)
    made = latency_worker._prepare_torch(model, backend, 1, measures)()
    inputs = made.prepare(make_inputs(made.names, 2, 8, 100, 0))
    found = made.call(inputs)
    states = found if measures == "embeddings" else getattr(found, "logits", None)
    states = found.last_hidden_state if states is None else states
    assert states.dtype == (torch.bfloat16 if backend == "torch-bf16" else torch.float32)
    assert all(wanted in (None, there) for wanted, there in zip(output, states.shape, strict=True))
    assert not states.requires_grad


def test_bfloat16_that_the_processor_does_not_have_is_told(model, monkeypatch):
    from unibert.models import precision

    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: False)
    with pytest.raises(DataError, match="bfloat16"):
        measure(Told(), **job(model, backend="torch-bf16"))


def test_compiling_without_a_compiler_is_told(model, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/no-such-compiler")
    with pytest.raises(DataError, match=r"C\+\+ compiler, and no-such-compiler is not there") as error:
        measure(Told(), **job(model, backend="torch-compile"))
    assert "apt install" in error.value.fix


def test_looking_tells_what_the_model_is(model):
    told = Told()
    look(told, str(model))
    (found,) = told
    # Fill-mask is what it was pre-trained with; no head of a task.
    assert found["measures"] == found["kind"] == "encoder"
    assert (found["layers"], found["hidden"], found["limit"], found["torch"]) == (1, 32, 64, True)
    from transformers import BertModel

    count = sum(p.numel() for p in BertModel.from_pretrained(model, add_pooling_layer=False).parameters())
    assert found["parameters"] == count


def test_a_fine_tuned_model_is_measured_with_its_head(model, tmp_path):
    from transformers import AutoTokenizer, BertForTokenClassification

    BertForTokenClassification.from_pretrained(model, num_labels=3).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    told = Told()
    look(told, str(tmp_path))
    assert (told[0]["measures"], told[0]["kind"]) == ("token-classification", "head")


def write_exported(folder: Path, rows: int = 0, **config: Any) -> Path:
    """An exported folder whose graph looks pieces up and does nothing else."""
    onnx = pytest.importorskip("onnx")
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    table = np.zeros((rows or len(tokenizer), 4), np.float32)
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "length"])
              for name in ("input_ids", "attention_mask")]  # fmt: skip
    output = onnx.helper.make_tensor_value_info("last_hidden_state", onnx.TensorProto.FLOAT, ["batch", "length", 4])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])], "g", inputs, [output],
        [onnx.numpy_helper.from_array(table, "table")],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    (folder / "onnx").mkdir()
    onnx.save(model, str(folder / FLOAT_FILE))
    usual = {"model_type": "bert", "max_position_embeddings": 514, "pad_token_id": 1, "num_hidden_layers": 3,
             "hidden_size": 4, "vocab_size": len(table)}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(usual | config))
    record = {
        "schema": 1,
        "kind": "encoder",
        "task": None,
        "tokenizer_sha256": sha256_of_file(folder / "tokenizer.json"),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(("model_type", "limit"), [("bert", 514), ("xlm-roberta", 512)])
def test_an_exported_folder_needs_no_weights(tmp_path, model_type, limit):
    told = Told()
    look(told, str(write_exported(tmp_path, model_type=model_type)))
    (found,) = told
    assert (found["measures"], found["kind"], found["torch"]) == ("encoder", "encoder", False)
    assert (found["limit"], found["parameters"], found["layers"], found["hidden"]) == (limit, None, 3, 4)


def test_an_exported_folder_is_measured(tmp_path):
    pytest.importorskip("onnxruntime")
    told, folder = Told(), write_exported(tmp_path)
    measure(told, **job(folder, file=str(folder / FLOAT_FILE), backend="onnx"))
    assert [cell["calls"] for cell in told.of("cell")] == [6, 6]


def test_an_onnx_file_of_another_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataError, match="do not belong together"):
        look(Told(), str(write_exported(tmp_path, rows=7)))


def test_a_record_of_another_schema_is_refused(tmp_path):
    (write_exported(tmp_path) / RECORD_FILE).write_text('{"schema": 9}')
    with pytest.raises(DataError, match="schema 1"):
        look(Told(), str(tmp_path))


def test_looking_refuses_what_cannot_be_deployed(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError):
        look(Told(), str(tmp_path))


class FakeSession:
    def __init__(self, outputs):
        self._outputs = outputs

    def get_outputs(self):
        return [type("Output", (), {"name": name}) for name in self._outputs]

    def get_inputs(self):
        return [type("Input", (), {"name": name}) for name in ("input_ids", "attention_mask")]

    def run(self, names, inputs):
        return [inputs["input_ids"]]


@pytest.mark.parametrize("outputs", [["last_hidden_state"], ["logits"]])
def test_an_onnx_file_of_something_else_is_told(monkeypatch, tmp_path, outputs):
    import types

    asked = []

    def open_session(path, threads):
        asked.append((path, threads))
        return FakeSession(outputs)

    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    monkeypatch.setattr(session, "open_session", open_session)
    file, told = tmp_path / "model.onnx", Told()
    file.write_bytes(b"x")
    if outputs == ["logits"]:
        with pytest.raises(DataError, match="puts out logits"):
            measure(told, **job(tmp_path, file=str(file), backend="onnx"))
        return
    measure(told, **job(tmp_path, file=str(file), backend="onnx", threads=2))
    assert asked == [(file, 2)] and len(told.of("cell")) == 2
