"""Line-aligned translations between related languages, of which Tatoeba has none, and between distant ones.

Sentences of evaluation sets that no student of the study is trained on: premises of XNLI, questions of XQuAD, first
sentences of the STS benchmark's test part. Their order is the same in every language.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path

from unibert.errors import DataError
from unibert.files import atomic_folder

RELATED = {
    "stsb": ("es-pt", "es-it", "it-pt", "fr-it", "es-fr", "fr-pt", "en-nl", "de-nl", "pl-ru"),
    "xnli": ("bg-ru", "es-fr", "de-en"),
    "xquad": ("es-ro", "de-en"),
}
"""Pairs of one branch: Romance, Germanic or Slavic."""
DISTANT = {
    "xnli": ("en-es", "en-ru", "en-tr", "en-zh", "en-ar", "en-el", "en-hi", "ru-zh", "ar-hi"),
    "stsb": ("en-pl",),
}
"""Pairs of different branches or families."""


def write_translations(data: Path, target: Path) -> None:
    """Write `SET.XX-YY.{XX,YY}` for every pair.

    Args:
        data: folder with `nli/xnli`, `qa/xquad` and `sts/stsb_multi_mt`.
        target: appears when all is written; nothing is done where it is there.

    Raises:
        DataError: a file is missing or its sides are not aligned.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(target) as folder:
        for wanted in (RELATED, DISTANT):
            for name, pairs in wanted.items():
                for pair in pairs:
                    first, second = pair.split("-")
                    sides = _distinct(name, {code: sentences(data, name, code) for code in (first, second, "en")})
                    for code in (first, second):
                        path = folder / f"{name}.{pair}.{code}"
                        path.write_text("".join(f"{line}\n" for line in sides[code]), encoding="utf-8")


def sentences(data: Path, name: str, language: str) -> list[str]:
    """One set's sentences in a language, in the set's order."""
    if name == "xnli":
        lines = _text(data / f"nli/xnli/dev-{language}.tsv.gz").splitlines()
        found = [line.split("\t")[0] for line in lines]
    elif name == "stsb":
        rows = csv.reader(io.StringIO(_text(data / f"sts/stsb_multi_mt/stsb-{language}-test.csv.gz")))
        found = [row[0] for row in rows]
    else:
        tree = json.loads(_text(data / f"qa/xquad/xquad.{language}.json.gz"))
        paragraphs = [paragraph for article in tree["data"] for paragraph in article["paragraphs"]]
        found = [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]
    return [" ".join(sentence.split()) for sentence in found]


def _distinct(name: str, sides: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The first thousand that differ in English, where there is English, and on both sides."""
    if len({len(side) for side in sides.values()}) > 1:
        raise DataError(f"{name}: {', '.join(sides)} are not aligned", "Copy the data again.")
    kept: list[int] = []
    seen: dict[str, set[str]] = {code: set() for code in sides}
    for place in range(len(next(iter(sides.values())))):
        line = {code: side[place] for code, side in sides.items()}
        if all(line.values()) and not any(line[code] in seen[code] for code in sides):
            kept.append(place)
            for code in sides:
                seen[code].add(line[code])
    return {code: [side[place] for place in kept[:1000]] for code, side in sides.items()}


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})", "The study reads the data beside the project.") from None
