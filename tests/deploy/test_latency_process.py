"""A job's process: what it answers, and how it may end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ner_support import write_tiny_bert
from unibert.deploy import latency_process
from unibert.deploy.latency_process import Ended, work

HEAD = "import json, os, signal, sys\njob = json.loads(sys.stdin.readline())\n"
SAY = "print(json.dumps({'told': 'cell', 'job': job}), flush=True)\n"


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Another program in the worker's place."""

    def put(program: str) -> None:
        (tmp_path / "latency_stub.py").write_text(HEAD + program)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(latency_process, "_SPAWNED", "latency_stub")

    return put


def test_answers_come_as_they_are_given_and_the_job_as_it_was(stub):
    stub(SAY + "print(json.dumps({'told': 'done'}))")
    told: list[dict] = []
    assert work({"do": "x", "ü": [1, None]}, told.append) == Ended()
    assert told == [{"told": "cell", "job": {"do": "x", "ü": [1, None]}}]


@pytest.mark.parametrize("kind", ["impossible", "failed"])
def test_a_refusal_has_a_reason_and_a_fix(stub, kind):
    stub(f"print(json.dumps({{'told': '{kind}', 'reason': 'why', 'fix': 'how'}}))")
    assert work({}) == Ended(kind, "why", "how")
    assert work({}).failed


def test_a_killed_process_is_told_with_what_it_said_before(stub):
    stub(SAY + "os.kill(os.getpid(), signal.SIGKILL)")
    told: list[dict] = []
    ended = work({}, told.append)
    assert ended.kind == "failed" and "SIGKILL" in ended.reason and "memory" in ended.fix
    assert len(told) == 1


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGABRT)", "its process was ended by SIGABRT"),
        (
            "print('one', file=sys.stderr); print('the last word', file=sys.stderr); sys.exit(7)",
            "with 7: the last word",
        ),
        ("os._exit(0)", "with 0: no reason was given"),
    ],
)
def test_a_process_that_ends_without_a_word_is_told(stub, program, reason):
    stub(program)
    ended = work({})
    assert ended.kind == "failed" and reason in ended.reason


def test_a_process_that_never_reads_its_job(stub, tmp_path):
    stub("")
    (tmp_path / "latency_stub.py").write_text("import os; os.close(0); os._exit(3)")
    assert "ended with 3" in work({"much": "x" * 1_000_000}).reason


def test_its_environment_is_its_own(stub, monkeypatch):
    monkeypatch.setenv("GONE", "1")
    stub(
        "print(json.dumps({'told': 'cell', 'is': [os.environ.get(n) for n in ('GONE', 'NEW')]}))\n"
        "print(json.dumps({'told': 'done'}))"
    )
    told: list[dict] = []
    work({}, told.append, {"GONE": None, "NEW": "2"})
    assert told[0]["is"] == [None, "2"] and os.environ["GONE"] == "1"


def test_it_does_not_outlive_an_interruption(stub):
    stub("print(json.dumps({'told': 'cell', 'process': os.getpid()}), flush=True)\nimport time; time.sleep(600)")
    seen: list[int] = []

    def interrupt(answer: dict) -> None:
        seen.append(answer["process"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work({}, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_the_real_one_ends_with_its_parent():
    """A parent that is gone has closed what the process reads from."""
    with tempfile.TemporaryFile() as complaints, latency_process._process(complaints, {}) as process:
        process.stdin.close()
        assert process.wait(timeout=120) != 0


def test_the_real_one_measures_and_says_nothing_else(tmp_path):
    model = write_tiny_bert(tmp_path / "tiny")
    told: list[dict] = []
    job = {"do": "measure", "folder": str(model), "file": None, "backend": "torch", "threads": 1,
           "measures": "encoder", "rows": 100, "cells": [[1, 4]], "repeats": 5, "seconds": 5}  # fmt: skip
    assert work(job, told.append, {"OMP_NUM_THREADS": "1"}) == Ended()
    assert [answer["told"] for answer in told][:2] == ["loaded", "cell"]
    gone = work(job | {"folder": str(Path(tmp_path / "nowhere"))})
    assert gone.kind == "failed" and gone.reason
