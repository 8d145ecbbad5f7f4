"""The benchmark's results as the page shows them, and what is wrong with or lacking in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from unibert.benchmark import scores
from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Board
from unibert.recipe import Recipe
from unibert.report.reading import Gap
from unibert.report.wording import listing, plural


def boards(results: Iterable[Result], gaps: list[Gap]) -> list[Board]:
    """Group results by task and benchmark; repeated and contradictory ones go to `gaps`."""
    found = scores.boards(results)
    for board in found:
        for result, which in board.repeated:
            reason = f"{which} is there twice; the first one is used"
            gaps.append(Gap(f"benchmark/results/{result.address}.json", "incomplete", reason))
        gaps += _changed_tests(board.results)
    return found


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
        Gap(f"{results[0].task}, {language}", "damaged", reason)
        for language in sorted(found)
        if len(found[language]) > 1
    ]


def planned_gaps(board: Board, recipe: Recipe | None) -> list[Gap]:
    """What the recipe planned and the results lack, one gap per model and setting."""
    if recipe is None or board.task != "ner":
        return []
    found = []
    for model in recipe.benchmark.models:
        for setting in recipe.benchmark.settings:
            there: Mapping[str, set[int]] = defaultdict(set)
            for row in board.rows:
                if (row.model, row.setting) == (model, setting):
                    for language, seeds in row.scores.items():
                        there[language].update(seeds)
            lacking = []
            for language in sorted(recipe.benchmark.ner):
                absent = [str(seed) for seed in recipe.benchmark.seeds if seed not in there[language]]
                if absent:
                    lacking.append(f"{language} (seed{'s' if len(absent) > 1 else ''} {', '.join(absent)})")
            if lacking:
                shown = lacking[:6] + ([plural(len(lacking) - 6, "other language")] if len(lacking) > 6 else [])
                reason = f"the recipe plans it, but there is no result for {listing(shown)}"
                found.append(Gap(f"{board.title}: {model}, {setting}", "incomplete", reason))
    return found
