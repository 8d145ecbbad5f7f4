"""Two ways to do the same work, timed in turn in one process; machines are shared, so only the pairs' ratio counts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from unibert.runs import provenance


def compare(
    claim: str,
    unit: str,
    work: float,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int = 5,
    **more: Any,
) -> dict[str, Any]:
    """Run both `repeats` times in turn after a warm-up; print and return the medians in `unit` per second.

    Args:
        claim: what is measured, for the table.
        unit: of the work, such as "tokens".
        work: how much of it one call does.
        ours: our way.
        theirs: the baseline.
        repeats: counted pairs.
        more: see `report`.
    """
    ours(), theirs()
    pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(repeats)]
    rates = [[work / pair[way] for pair in pairs] for way in (0, 1)]
    return report(claim, f"{unit}/s", rates[0], rates[1], **more)


def seconds_of(way: Callable[[], object]) -> float:
    """What a call takes by the wall clock."""
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def report(claim: str, unit: str, ours: Sequence[float], baseline: Sequence[float] = (), **more: Any) -> dict[str, Any]:
    """Print and return one row of the README's table.

    Args:
        claim: what is measured.
        unit: of the figures.
        ours: our figure in each pair.
        baseline: the baseline's, as many; empty where there is none.
        more: further keys, such as `asked`, what the ratio (or our figure, without a baseline) is meant to reach.

    Returns:
        Medians of both, and of the pairs' ratios ours / baseline with the lowest and the highest.
    """
    result: dict[str, Any] = {"claim": claim, "unit": unit, "ours": statistics.median(ours)}
    if baseline:
        ratios = sorted(own / other for own, other in zip(ours, baseline, strict=True))
        result |= {
            "baseline": statistics.median(baseline),
            "ratio": statistics.median(ratios),
            "lowest": ratios[0],
            "highest": ratios[-1],
            "pairs": len(ratios),
        }
    elif len(ours) > 1:
        result |= {"lowest": min(ours), "highest": max(ours), "runs": len(ours)}
    result |= {key: value for key, value in more.items() if value is not None} | provenance()
    print(json.dumps(result), flush=True)
    return result
