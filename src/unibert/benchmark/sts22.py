"""SemEval-2022 Task 8 (STS22): the official lists of article pairs, and the articles that the official downloader got.

The articles are other people's property and had to be downloaded from their addresses by everyone; some are gone, so a
copy of the data is rarely whole. A pair of which an article is missing is left out and counted.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.tasks.sts import ScoredPair
from unibert.tasks.text_files import read_text

LISTS = {
    "train": ("semeval-2022_task8_train-data_batch2.csv", "semeval-2022_task8_train-data_batch.csv"),
    "test": ("final_evaluation_data.csv",),
}
"""The official lists with scores; the first that is there is read, as the second batch has the first in it. The list
`semeval-2022_task8_eval_data_202201.csv` has no scores."""
DOWNLOADER = "https://github.com/euagendas/semeval_8_2022_ia_downloader"
_COLUMNS = ("url1_lang", "url2_lang", "pair_id", "Overall")
_ARTICLE = re.compile(r"(\d\d)/(\d*\1)\.json")
_SCALE = (1.0, 4.0)
"""Official scores: 1 for the most similar articles, 4 for the least."""


@dataclass(frozen=True)
class PairList:
    """What an official list gives: pairs by language or pair of languages, and how many have an article missing."""

    path: Path
    pairs: dict[str, list[ScoredPair]]
    listed: dict[str, int]
    """Pairs on the list, by language."""
    missing_articles: int


def find_lists(folder: Path) -> dict[str, Path]:
    """The official lists in a folder, by part; `.gz` or not.

    Raises:
        DataError: there is none.
    """
    found: dict[str, Path] = {}
    for part, names in LISTS.items():
        candidates = [path for name in names for end in ("", ".gz") for path in sorted(folder.rglob(name + end))]
        if candidates:
            found[part] = candidates[0]
    return found


def find_articles(folder: Path) -> dict[str, Path]:
    """The downloader's article files by the article's id: `<last two digits>/<id>.json`, anywhere in the folder."""
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        last = Path(place).name
        if len(last) == 2 and last.isdigit():
            for name in sorted(names):
                match = _ARTICLE.fullmatch(f"{last}/{name}")
                if match:
                    found.setdefault(match[2], Path(place, name))
    return found


def read_list(path: Path, articles: dict[str, Path]) -> PairList:
    """The pairs on an official list whose articles are both there.

    A pair's text is title and body of each article; its score is turned (5 minus the official one), so that 4 is the
    most similar and 1 the least. A pair of languages is named as on the list, `de-en`; a language alone, `de`.

    Args:
        path: the list.
        articles: from `find_articles`.

    Raises:
        DataError: names file and line: columns that are missing, a score out of range, an article that is no JSON.
    """
    pairs: dict[str, list[ScoredPair]] = {}
    listed: dict[str, int] = {}
    texts: dict[str, str | None] = {}
    for number, row in _rows(path):
        place = f"{path}:{number}"
        languages = [row["url1_lang"].strip(), row["url2_lang"].strip()]
        ids = row["pair_id"].strip().split("_")
        if len(ids) != 2 or not all(languages) or not all(part.isdigit() for part in ids):
            raise DataError(f"{place}: not two languages and a pair_id of two numbers", "Download the list again.")
        language = languages[0] if languages[0] == languages[1] else "-".join(languages)
        listed[language] = listed.get(language, 0) + 1
        score = _score(row["Overall"], place)
        for article in ids:
            if article not in texts:
                texts[article] = _text(articles[article]) if article in articles else None
        first, second = texts[ids[0]], texts[ids[1]]
        pairs.setdefault(language, [])
        if first and second:
            pairs[language].append(ScoredPair(first, second, sum(_SCALE) - score))
    return PairList(path, pairs, listed, sum(not text for text in texts.values()))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        there = ", ".join(reader.fieldnames or ()) or "nothing"
        raise DataError(f"{path}:1: no column {missing[0]}; there is {there}", "Name the official list with scores.")
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}:{reader.line_num}: another number of columns", "Download the list again.")
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})", "Download the list again.") from None


def _score(text: str, place: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not _SCALE[0] <= score <= _SCALE[1]:
        raise DataError(f"{place}: the score {text!r} is not between 1 and 4", "Download the list again.")
    return score


def _text(path: Path) -> str | None:
    """Title and body of an article; none where the downloader found neither."""
    if not path.stat().st_size:
        return None  # the downloader was stopped while it wrote
    try:
        article = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not JSON ({error})", "Delete the file and run the official downloader again, or do without it."
        ) from None
    if not isinstance(article, dict):
        raise DataError(f"{path}: no JSON object", "Delete the file and run the official downloader again.")
    parts = [article.get(key) for key in ("title", "text")]
    return "\n".join(part.strip() for part in parts if isinstance(part, str) and part.strip()) or None
