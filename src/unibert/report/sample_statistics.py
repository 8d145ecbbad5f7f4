"""The numbers per test sample that a benchmark keeps beside its predictions, and what is wrong with them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path

from unibert.benchmark.predictions import read_statistics
from unibert.benchmark.schema import Result
from unibert.errors import DataError
from unibert.report.reading import Gap, reason
from unibert.report.statistics import Numbers
from unibert.report.wording import listing, plural

_AT_ONCE = 128
"""So many files stay in memory; one of XNLI's 15 languages takes 5 MB.

A benchmark is gone through language by language, and a file of several languages is asked for in each of them.
"""
_NAMED = 5


class Kept:
    """Reads the statistics of results, each file once as long as it is among the last ones that were asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: OrderedDict[str, Mapping[str, Numbers] | None] = OrderedDict()
        self._problems: dict[str, str] = {}

    def of(self, result: Result) -> Mapping[str, Numbers] | None:
        """The statistics by language, [N, K]; None, and a gap, where they are not there or cannot be read."""
        address = result.address
        if address in self._read:
            self._read.move_to_end(address)
            return self._read[address]
        self._read[address] = self._load(result)
        if len(self._read) > _AT_ONCE:
            self._read.popitem(last=False)
        return self._read[address]

    def _load(self, result: Result) -> Mapping[str, Numbers] | None:
        if result.predictions is None:
            why = "holds no predictions, so nothing is tested over samples with it"
            self._problems[f"results/{result.address}.json"] = why
            return None
        file = result.predictions.file
        try:
            return read_statistics(self._folder, result.predictions.model_dump())
        except DataError as error:
            self._problems[file] = reason(error, self._folder.parent, f"{self._folder.name}/{file}")
        except (KeyError, TypeError, ValueError):
            self._problems[file] = "its lines do not hold the statistics of one task"
        return None

    def gaps(self) -> list[Gap]:
        """What was asked for and could not be read: one gap for every reason, with the first names."""
        found: dict[str, list[str]] = defaultdict(list)
        for file, why in sorted(self._problems.items()):
            found[why].append(f"{self._folder.name}/{file}")
        return [Gap(_some(files), "incomplete", why) for why, files in found.items()]


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return listing([*names[:_NAMED], plural(more, "other")] if more > 0 else names)
