"""A distillation step in real tokens per second and peak memory, ours against the baselines of `pretrain_baselines.py`.

The same models, the same 128 samples of real text per step (mean about 18 tokens, longest 50 to 100, in 16 languages),
the same objective, no adversary. Each contender has a process of its own, because ours tells the C library to keep
freed memory, which would help the others too; they take turns, one step each, while the rest stand still. Their
micro-batches are made before the clock starts. Baseline (i) fills its micro-batches in the order in which samples are
drawn, and again from groups of similar length, which is its default.

Memory is the most that was ever resident in the contender's process, everything counted, on a GPU the most that was
allocated on it.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import re
import resource
import sys
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from pairs import report, seconds_of
from pretrain_baselines import faster_in_bf16, script_step, train_with_trainer
from pretrain_support import KINDS, Sample, arguments, device_name, our_step, real_tokens, samples_of, scene

NAMES = {"xxsmall": "XXSmall", "small": "Small"}
SCRIPT_ASKED = {"xxsmall": "at least 20", "small": "at least 12"}
TRAINER_ASKED = {"xxsmall": "at least 7", "small": "at least 4.5"}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--kind", default="lines", choices=list(KINDS), help="of samples")
    parser.add_argument("--step", type=int, default=0, help="which step's batch")
    parser.add_argument("--sizes", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--script-pairs", type=int, default=3, help="against (i); 0 leaves it out")
    parser.add_argument("--grouped-pairs", type=int, default=1, help="against (i) in groups of similar length")
    parser.add_argument("--trainer-pairs", type=int, default=5, help="against (ii); 0 leaves it out")
    options = parser.parse_args()
    with scene(options, options.kind) as place:
        options = copy.copy(options)
        options.store = place.root
        samples = place.samples(options.step)
        bf16 = faster_in_bf16(place, "xxsmall", samples)
        for size in options.sizes:
            compare_all(options, size, samples, bf16, device_name(place.device))


def compare_all(options: argparse.Namespace, size: str, samples: list[Sample], bf16: bool, device: str) -> None:
    """Let all contenders of a size take their turns and print what came out."""
    tokens = real_tokens(samples)
    turns = {"drawn": options.script_pairs, "grouped": options.grouped_pairs, "trainer": options.trainer_pairs}
    rounds = max(turns.values())
    most = {"ours": rounds} | {way: number for way, number in turns.items() if number > 0}
    rates: dict[str, list[float]] = {way: [] for way in most}
    with ExitStack() as stack:
        contenders = {way: stack.enter_context(Contender(options, way, size, bf16, n)) for way, n in most.items()}
        for contender in contenders.values():
            contender.wait()
        for number in range(rounds):
            for way, contender in contenders.items():
                if number < most[way]:
                    rates[way].append(tokens / contender.turn())
        peaks = {way: contender.peak() for way, contender in contenders.items()}
    theirs = {
        "drawn": ("DistilBERT's research script, micro-batches in drawn order", SCRIPT_ASKED[size]),
        "grouped": ("DistilBERT's research script, micro-batches grouped by length", None),
        "trainer": (f"Hugging Face Trainer in {'bf16' if bf16 else 'float32'}", TRAINER_ASKED[size]),
    }
    theirs = {way: named for way, named in theirs.items() if way in most}
    what = f"distillation step, {NAMES[size]}, samples of {tokens / len(samples):.0f} tokens"
    for way, (name, asked) in theirs.items():
        claim = f"{what}, against {name}"
        report(claim, "tokens/s", rates["ours"][: most[way]], rates[way], asked=asked, device=device)
    for way, (name, _) in theirs.items():
        if way == "grouped":
            continue  # its largest micro-batch is as large
        claim = f"peak memory of a {what}, against {name}"
        report(claim, "MB", [peaks["ours"]], [peaks[way]], asked="at most 0.5", device=device)


class Contender:
    """One way to take a step, in a process of its own that stands still until it is its turn.

    Args:
        options: of the script, with the store of this run.
        way: `ours`, `drawn`, `grouped` or `trainer`.
        size: of the student.
        bf16: the Trainer's number format.
        turns: how many it will get.
    """

    def __init__(self, options: argparse.Namespace, way: str, size: str, bf16: bool, turns: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.way = way
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=contend, args=(theirs, options, way, size, bf16, turns), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def wait(self) -> None:
        """Until it stands still, ready for its turn."""
        self._receive()

    def turn(self) -> float:
        """Seconds of a step."""
        self._ours.send("go")
        seconds = float(self._receive())
        self.wait()
        return seconds

    def peak(self) -> float:
        """MB at most, after its last turn."""
        self._ours.send("end")
        return float(self._receive())

    def _receive(self) -> Any:
        try:
            return self._ours.recv()
        except EOFError:
            sys.exit(f"{self.way}: its process ended before its turn")


def contend(connection: Connection, options: argparse.Namespace, way: str, size: str, bf16: bool, turns: int) -> None:
    """What a contender's process does: warm up, then say `ready`, wait, take a step and tell its seconds, as often."""

    def ready() -> None:
        connection.send("ready")
        connection.recv()

    with scene(options, options.kind) as place:
        micro_batches = place.micro_batches(options.step)
        samples = samples_of(micro_batches)
        if way == "trainer":
            turn, warm = 0, 1

            def before() -> None:
                nonlocal turn
                turn += 1
                if turn > warm:
                    ready()

            def after(seconds: float) -> None:
                if turn > warm:
                    connection.send(seconds)

            train_with_trainer(place, size, samples, bf16, warm + turns, before, after)
        else:
            if way == "ours":
                update = our_step(place, [size], micro_batches)
                update()
            else:
                update = script_step(place, size, place.teacher(), samples, by_length=way == "grouped")
                update(1)  # a whole one would take long, and warms up nothing more
            for _ in range(turns):
                ready()
                connection.send(seconds_of(update))
        ready()
        connection.send(peak_megabytes(place.device))


def peak_megabytes(device: torch.device) -> float:
    """Of this process, so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the process that started this one had at the time
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


if __name__ == "__main__":
    main()
