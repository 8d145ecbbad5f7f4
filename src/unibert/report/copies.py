"""Result files that are not what their names say: copies of others, and what differs in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unibert.benchmark.schema import Result
from unibert.errors import DataError
from unibert.files import read_json
from unibert.report.reading import Gap
from unibert.report.wording import NOTHING, decimal, listing


def contradictions(folder: Path, results: Sequence[Result]) -> list[Gap]:
    """A gap for each file that claims the address of a result and has other scores.

    One of the two was edited, or is of another machine's folder: which of them is right cannot be told from the files.
    Only files that no result was read from are looked at.

    Args:
        folder: of the run.
        results: those that were read from it.
    """
    known = {result.address: result for result in results}
    found = []
    for path in sorted((folder / "benchmark" / "results").glob("*.json")):
        if path.stem in known:
            continue
        try:
            tree = read_json(path)
        except (DataError, OSError):  # told where results are read
            continue
        address = tree.get("address") if isinstance(tree, dict) else None
        result = known.get(address) if isinstance(address, str) else None
        differing = _differing(tree, result) if result else []
        if differing:
            reason = (
                f"claims to be the same run as {address}.json, and has other scores: {listing(differing[:3])}"
                f"{f' and {len(differing) - 3} more' if len(differing) > 3 else ''}. Those of {address}.json are shown"
            )
            found.append(Gap(f"benchmark/results/{path.name}", "damaged", reason))
    return found


def _differing(tree: dict[str, object], result: Result) -> list[str]:
    """The languages whose scores are not those of the result, with both."""
    scores = tree.get("scores")
    theirs = scores if isinstance(scores, dict) else {}
    found = []
    for code, score in sorted(result.scores.items()):
        value = score.metrics[result.metric]
        other = theirs.get(code)
        metrics = other.get("metrics") if isinstance(other, dict) else None
        its = metrics.get(result.metric) if isinstance(metrics, dict) else None
        if its != value:
            told = decimal(its) if isinstance(its, float | int) else NOTHING
            found.append(f"{code} {told}, there {decimal(value)}")
    return found
