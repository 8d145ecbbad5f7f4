"""The results of a benchmark in the cards of the models that the recipe trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Mean, boards
from unibert.errors import DataError
from unibert.files import atomic_file, telling_of_full_disk
from unibert.pretrain.card import CARD
from unibert.pretrain.card_results import Measured, with_results
from unibert.tasks.encoder import find_encoder
from unibert.tasks.task import find_task


def measured(results: Iterable[Result]) -> list[Measured]:
    """The numbers that the benchmark's tables show of one model: of every row the languages and the average."""
    found = []
    for board in boards(results):
        places = 2 if board.per_cent else 3
        for row in board.rows:
            # The average is not given where a language is missing, as in the tables.
            scores: dict[str | None, Mean | None] = {code: row.cell(code) for code in board.languages}
            scores[None] = row.average(board.languages) if len(board.languages) > 1 else None
            found += [
                Measured(
                    board.task,
                    _title(board.task),
                    board.benchmark,
                    board.benchmark_title,
                    row.label,
                    code,
                    tuple(board.languages),
                    board.metric,
                    board.metric_name,
                    round(score.value, places),
                    score.margin,
                    score.seeds,
                    places,
                )
                for code, score in scores.items()
                if score is not None
            ]
    return found


def _title(task: str) -> str:
    try:
        return find_task(task).TITLE
    except DataError:  # of another version
        return task


def refresh_cards(models: Mapping[str, Path], results: Iterable[Result]) -> list[Path]:
    """Put the results into the cards of these models; those of other weights under the same name are left out.

    A card is only written where something changes.

    Args:
        models: the folder of each by its name in the results.
        results: of the whole benchmark.

    Returns:
        The cards that have results but no mark, somebody's own or of an older version, which stay as they are.

    Raises:
        DataError: a model's folder is none, or the disk is full.
    """
    everything = list(results)
    left = []
    for name, folder in models.items():
        path = folder / CARD
        its = [result for result in everything if result.model == name]
        if not path.exists():
            continue
        if its:
            fingerprint = find_encoder(folder, name).fingerprint
            its = [result for result in its if result.model_fingerprint == fingerprint]
        old = path.read_text(encoding="utf-8")
        new = with_results(old, measured(its))
        if new is None:
            left += [path] if its else []
        elif new != old:
            with telling_of_full_disk(path), atomic_file(path) as stream:
                stream.write(new)
    return left
