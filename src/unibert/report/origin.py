"""Where the numbers of a run come from: commits, versions, machines and command lines, as the stages recorded them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unibert.files import fingerprint
from unibert.report.collect import Run
from unibert.report.tables import Column, Table, words


def provenance_table(run: Run) -> Table:
    """Commit, versions and hardware of every stage, as they were recorded when it ran."""
    records = [
        (name, f"started {_time(stage.get('started'))}" if stage.get("started") else "not recorded", stage)
        for name, stage in run.stages.items()
    ]
    records += _set_ups("benchmark", [result.provenance for result in run.results])
    records += _set_ups("universality", [found.provenance for found in run.universality])
    rows = [
        [
            words(name),
            words(when),
            words(str(record.get("commit") or "not recorded")),
            words(_pairs(record.get("versions"))),
            words(_pairs(record.get("hardware"))),
            words(str(record.get("fingerprint") or "")),
        ]
        for name, when, record in records
    ]
    labels = ("Stage", "When", "Commit", "Versions", "Hardware", "Fingerprint")
    note = "A commit with +changes was run with edits that are not in that commit."
    return Table("provenance", "Where the numbers come from", [Column(label, False) for label in labels], rows, [note])


def _set_ups(stage: str, provenances: Sequence[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, time and record of each set-up that results come from: hundreds of them have a handful."""
    by_set_up: dict[str, list[dict[str, Any]]] = {}
    for record in provenances:
        by_set_up.setdefault(fingerprint({**record, "finished": None}), []).append(record)
    told = []
    for number, of_one in enumerate(by_set_up.values(), start=1):
        times = sorted(str(record["finished"]) for record in of_one if record.get("finished"))
        when = f"finished {_time(times[0])}" if times else "not recorded"
        when += f" to {_time(times[-1])}" if times and times[0] != times[-1] else ""
        told.append((stage if len(by_set_up) == 1 else f"{stage}, set-up {number}", when, of_one[0]))
    return told


def _time(text: object) -> str:
    """2026-01-02T03:04:05Z with a space where a line may end."""
    return str(text).replace("T", " ")


def _pairs(record: Any) -> str:
    if not isinstance(record, Mapping):
        return "not recorded"
    return ", ".join(f"{key} {value}" for key, value in record.items())


def command_lines(run: Run) -> list[str]:
    """The command lines that the stages recorded, each once."""
    found: dict[str, None] = {}
    for stage in [*run.stages.values(), *(result.provenance for result in run.results)]:
        command = stage.get("command")
        if command:
            found[" ".join(map(str, command)) if isinstance(command, list) else str(command)] = None
    return list(found)
