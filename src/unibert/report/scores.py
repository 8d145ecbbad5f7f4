"""The benchmark's results as the page shows them, and what is wrong with or lacking in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from unibert.benchmark import scores
from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Board
from unibert.recipe import Recipe
from unibert.report.collect import Run
from unibert.report.reading import Gap
from unibert.report.wording import listing, plural


def boards(results: Iterable[Result], gaps: list[Gap]) -> list[Board]:
    """Group results by task and benchmark; repeated and contradictory ones go to `gaps`."""
    found = _told_apart(scores.boards(results))
    for board in found:
        for result, which in board.repeated:
            reason = f"{which} is there twice; the first one is used"
            gaps.append(Gap(f"benchmark/results/{result.address}.json", "incomplete", reason))
        gaps += _changed_tests(board.results)
        if not board.known:
            files = listing([f"{result.address}.json" for result in board.results[:3]])
            more = f" and {plural(len(board.results) - 3, 'other')}" if len(board.results) > 3 else ""
            reason = f"no task of this version: the scores of {files}{more} are shown by themselves, and not tested"
            gaps.append(Gap(f"{board.benchmark}, task {board.task}", "incomplete", reason))
    return found


_ENDINGS = ("", "-gain", "-data", "-seeds", "-types", "-against-paper", "-against-paper-languages")
"""Of the names of a board's tables."""


def _told_apart(found: Iterable[Board]) -> list[Board]:
    """The boards with names of their own for sections, tables and figures: `a.b` and `a-b` make the same file name."""
    taken: set[str] = set()
    apart = []
    for board in found:
        while taken & (names := {board.name + ending for ending in _ENDINGS}):
            board = replace(board, number=board.number + 1)
        taken |= names
        apart.append(board)
    return apart


def _changed_tests(results: list[Result]) -> list[Gap]:
    """A test set with two checksums makes scores that cannot be compared."""
    found: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for language, files in result.data.items():
            checksum = (files.get("test") or {}).get("sha256")
            if checksum:
                found[language].add(checksum)
    reason = "results come from test files of different content: their scores cannot be compared"
    return [
        Gap(f"{results[0].benchmark}, {language}", "damaged", reason)
        for language in sorted(found)
        if len(found[language]) > 1
    ]


def planned_gaps(found: Sequence[Board], run: Run) -> list[Gap]:
    """What was planned on the boards' benchmarks and is not there, one gap per benchmark, model and setting."""
    benchmarks: dict[str, list[Board]] = defaultdict(list)
    for board in found:
        benchmarks[board.benchmark].append(board)
    # A benchmark has a second board where some of its results are of another task; all of them are there.
    return [
        gap
        for its in benchmarks.values()
        for gap in _planned_gaps(max(its, key=lambda board: len(board.results)), its, run)
    ]


def _planned_gaps(board: Board, its: Sequence[Board], run: Run) -> list[Gap]:
    """Those of one benchmark: `its` boards, of which `board` gives the name."""
    results = [result for one in its for result in one.results]
    there = {(result.model, *_place(result.setting, result.languages), result.seed) for result in results}
    lacking: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for planned in run.planned.values() if run.planned is not None else _by_recipe(board, run.recipe):
        if planned.get("benchmark") != board.benchmark:
            continue
        setting, trained = _place(planned["setting"], planned["languages"])
        if (planned["model"], setting, trained, planned["seed"]) not in there:
            for language in planned["languages"] if setting == "each" else planned["tested"]:
                lacking[planned["model"], setting][language].add(planned["seed"])
    found = []
    for (model, setting), languages in lacking.items():
        told = [
            f"{language} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))})"
            for language, seeds in sorted(languages.items())
        ]
        shown = told[:6] + ([plural(len(told) - 6, "other language")] if len(told) > 6 else [])
        reason = f"the recipe plans it, but there is no result for {listing(shown)}"
        found.append(Gap(f"{board.title}: {model}, {setting}", "incomplete", reason))
    return found


def untouched_gaps(found: Iterable[Board], run: Run) -> list[Gap]:
    """Benchmarks of the plan that have no result at all, and so no section on the page: one gap each."""
    there = {board.benchmark for board in found}
    lacking = Counter(str(planned.get("benchmark")) for planned in (run.planned or {}).values())
    return [
        Gap(name, "incomplete", f"{plural(runs, 'run')} planned, and none has a result: it is not on this page")
        for name, runs in lacking.items()
        if name not in there
    ]


def _place(setting: str, languages: Iterable[str]) -> tuple[str, str]:
    """The setting as tables show it; in `each` with the language, which is a run of its own."""
    trained = list(languages)
    return scores.setting_label(setting, trained), trained[0] if setting == "each" else ""


def _by_recipe(board: Board, recipe: Recipe | None) -> list[dict[str, Any]]:
    """The runs of a folder without a plan, as far as the recipe alone tells them: *each* and *all* on own files."""
    data = recipe.benchmark.data.get(board.benchmark) if recipe else None
    if recipe is None or data is None:
        return []
    trained = sorted(code for code, files in data.files.items() if files.train and files.test)
    tested = sorted(code for code, files in data.files.items() if files.test)
    found = []
    for model in recipe.benchmark.models:
        for seed in recipe.benchmark.seeds:
            run = {"benchmark": board.benchmark, "model": model, "seed": seed, "tested": tested}
            if "each" in recipe.benchmark.settings:
                found += [{**run, "setting": "each", "languages": [code]} for code in trained]
            if "all" in recipe.benchmark.settings and trained:
                found.append({**run, "setting": "all", "languages": trained})
    return found
