"""A benchmark's folder: its plan, its results, the printed table."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unibert.benchmark.columns import aligned
from unibert.benchmark.gains import Gain, gains
from unibert.benchmark.schema import SCHEMA, Result, load_result
from unibert.benchmark.scores import Board, Mean, boards
from unibert.errors import DataError, UniBertError
from unibert.files import read_json, write_json
from unibert.runs import claim

PLAN_FILE = "plan.json"
_KEYS = {"benchmark", "model", "setting", "languages", "tested", "seed"}


class RunsFailed(UniBertError):
    """Some of a benchmark's runs failed; the others have results."""


def write_plan(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Say which runs the benchmark in `folder` consists of now: results of other addresses are not shown any more.

    Args:
        folder: of the benchmark.
        runs: by address; benchmark, model, setting, languages and seed of each.
    """
    with contextlib.suppress(DataError):
        # What is finished can be asked for again where nothing may be written.
        if load_planned(folder) == runs:
            return
    write_json(folder / PLAN_FILE, {"schema": SCHEMA, "runs": runs})


def add_to_plan(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Put runs into the plan in place of those of the same models on the same benchmarks; the others stay."""
    while not _added(folder, runs):
        time.sleep(0.05)  # another process is adding its own


def _added(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> bool:
    with claim(folder / "claims" / "plan.lock") as mine:
        if not mine:
            return False
        try:
            there = load_planned(folder) or {}
        except DataError:  # it is replaced
            there = {}
        anew = {(run["model"], run["benchmark"]) for run in runs.values()}
        kept = {address: run for address, run in there.items() if (run["model"], run["benchmark"]) not in anew}
        write_plan(folder, {**kept, **runs})
    return True


def load_planned(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The runs of the benchmark in `folder` by address; None where it has no plan, as those of earlier versions.

    Raises:
        DataError: the plan is damaged or of another version.
    """
    path = folder / PLAN_FILE
    if not path.exists():
        return None
    tree = read_json(path)
    runs = tree.get("runs") if isinstance(tree, dict) and tree.get("schema") == SCHEMA else None
    if not isinstance(runs, dict) or not all(isinstance(run, dict) and run.keys() >= _KEYS for run in runs.values()):
        raise DataError(f"{path}: not a plan of schema {SCHEMA} with its runs", "Run `unibert benchmark` again.")
    return runs


def load_plan(folder: Path) -> frozenset[str] | None:
    """The addresses of the benchmark in `folder`; see `load_planned`."""
    runs = load_planned(folder)
    return None if runs is None else frozenset(runs)


def load_results(folder: Path) -> tuple[list[Result], list[str]]:
    """Read the results of a benchmark: those that the plan beside `folder` names, and no older ones.

    Without a plan (or with a damaged one, which is told) every file counts. Of results that fill the same cell, those
    of the weights, data and settings that were finished last are used then: an average over seeds never mixes two
    versions of a model.

    Returns:
        The usable results in a fixed order, and one line per file that is left out, with its name and the reason.
    """
    found: list[tuple[Path, Result]] = []
    problems: list[str] = []
    try:
        planned = load_plan(folder.parent)
    except DataError as error:
        planned = None
        problems.append(f"{error.message}; older results may be shown")
    for path in sorted(folder.glob("*.json")):
        if planned is not None and path.stem not in planned:
            continue
        result = load_result(path)
        if isinstance(result, Result) and result.address == path.stem:
            found.append((path, result))
        elif isinstance(result, Result):
            problems.append(f"{path}: holds the result of address {result.address}: a renamed or copied file")
        elif result is not None:
            problems.append(result)
    # The addresses of a plan fill every cell once.
    results = [result for _, result in found] if planned is not None else _latest(found, problems)
    return sorted(results, key=lambda result: (*result.place, result.seed)), problems


def _latest(found: list[tuple[Path, Result]], problems: list[str]) -> list[Result]:
    """For every cell the results of the latest weights, data and settings; the others go to `problems`."""
    newest: dict[tuple[Any, ...], tuple[str, str]] = {}
    for path, result in found:
        finished = (str(result.provenance.get("finished", "")), path.name)
        newest[result.place] = max(newest.get(result.place, ("", "")), finished)
    chosen = {result.place: result.origin for path, result in found if newest[result.place][1] == path.name}
    kept: dict[tuple[Any, ...], Path] = {}
    results = []
    for path, result in found:
        name = f"{result.model}, {result.setting}, {'+'.join(result.languages)}, seed {result.seed}"
        if result.origin != chosen[result.place]:
            problems.append(f"{path}: {name}: from other weights, data or settings than the latest result of its kind")
        elif (*result.place, result.seed) in kept:
            problems.append(f"{path}: {name}: the same run as {kept[(*result.place, result.seed)].name}")
        else:
            kept[(*result.place, result.seed)] = path
            results.append(result)
    return results


def format_table(results: Iterable[Result]) -> str:
    """A table for the terminal per benchmark: scores with 95 % intervals over seeds, average, gain each -> all."""
    return "\n\n".join(_table(board) for board in boards(results)) or "no results"


def _table(board: Board) -> str:
    # A gain over some of the languages would be read as that of the average beside it.
    whole = {gain.model: gain for gain in gains(board) if gain.languages == board.languages}
    form, margin = (".2f", ".1f") if board.per_cent else (".3f", ".3f")
    table = [["model", "setting", *board.languages, "average", "gain"]]
    for row in board.rows:
        cells = [_shown(row.cell(language), form, margin) for language in board.languages]
        gain = whole.get(row.name) if row.setting == "all" else None
        average = _shown(row.average(board.languages), form, margin)
        table.append([row.model, row.label, *cells, average, _shown_gain(gain)])
    lines = aligned(table, left=2)
    counts = sorted({len(seeds) for row in board.rows for seeds in row.scores.values()})
    shown = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unit = " in per cent" if board.per_cent else ""
    heading = f"{_named(board)}: {board.metric_name}{unit}, mean over {shown} seed{'' if counts == [1] else 's'}"
    heading += "" if counts == [1] else ", ± half the 95 % interval"
    if any(gain.low is not None for gain in whole.values()):
        heading += "; gain: its interval"
    return "\n".join([heading, *lines])


def _named(board: Board) -> str:
    """The recipe's name, and the title where it says more, such as `a split of XQuAD`."""
    name, title = board.benchmark, board.benchmark_title
    plain = ["".join(sign for sign in text.lower() if sign.isalnum()) for text in (name, title)]
    return name if plain[0] == plain[1] else f"{name}, {title}"


def _shown(mean: Mean | None, form: str, margin: str) -> str:
    if mean is None:
        return "-"
    return f"{mean.value:{form}}" + (f" ± {mean.margin:{margin}}" if mean.margin is not None else "")


def _shown_gain(gain: Gain | None) -> str:
    if gain is None:
        return "-"
    interval = f" ({gain.low:+.1f} to {gain.high:+.1f})" if gain.low is not None and gain.high is not None else ""
    return f"{gain.percent:+.1f}{interval} %"
