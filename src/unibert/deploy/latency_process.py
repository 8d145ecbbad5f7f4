"""A process of its own for each job of a measurement, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_SPAWNED = "unibert.deploy.latency_worker"


@dataclass(frozen=True)
class Ended:
    """How a process ended; `kind` is empty where it did what it was to do."""

    kind: str = ""
    """Or as `report.latency_file.Absent` has it."""
    reason: str = ""
    fix: str = ""

    @property
    def failed(self) -> bool:
        """Whether it did not do it."""
        return bool(self.kind)


def work(
    job: Mapping[str, Any],
    told: Callable[[dict[str, Any]], object] = lambda answer: None,
    environment: Mapping[str, str | None] | None = None,
) -> Ended:
    """Have a job done by a process of its own; see `latency_worker`.

    Args:
        job: what it is to do.
        told: gets each of its answers, as it comes.
        environment: variables that are to be set for it, or with None taken away.
    """
    end: dict[str, Any] | None = None
    with tempfile.TemporaryFile() as complaints:
        with _process(complaints, environment or {}) as process:
            assert process.stdin and process.stdout
            with contextlib.suppress(OSError):  # it is dead already, which its exit code tells
                process.stdin.write(json.dumps(dict(job)) + "\n")
                process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if answer["told"] in ("done", "impossible", "failed"):
                    end = answer
                else:
                    told(answer)
            code = process.wait()
        if end is None:
            return _died(code, complaints)
    return Ended() if end["told"] == "done" else Ended(end["told"], end["reason"], end["fix"])


@contextmanager
def _process(complaints: IO[bytes], environment: Mapping[str, str | None]) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed when the block ends badly."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    wanted = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false", **environment}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", _SPAWNED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        encoding="utf-8",
        env={name: value for name, value in wanted.items() if value is not None},
    )
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _died(code: int, complaints: IO[bytes]) -> Ended:
    """Of a process that said nothing at its end."""
    if code == -signal.SIGKILL:
        reason = "its process was killed (SIGKILL), as systems do that run out of memory"
        return Ended("failed", reason, "Measure it on a machine with more memory, or with smaller batches.")
    complaints.seek(0)
    lines = [line for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    if code < 0:
        return Ended("failed", f"its process was ended by {signal.Signals(-code).name}")
    return Ended("failed", f"its process ended with {code}: {lines[-1].strip() if lines else 'no reason was given'}")
