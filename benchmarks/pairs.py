"""Two ways to do the same work, timed in turn in one process; machines are shared, so only the pairs' ratio counts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from unibert.runs import provenance


def compare(
    claim: str, unit: str, work: float, ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 5
) -> dict[str, object]:
    """Run both `repeats` times in turn after a warm-up; print and return the medians in `unit` per second.

    Args:
        claim: what is measured, for the table.
        unit: of the work, such as "tokens".
        work: how much of it one call does.
        ours: our way.
        theirs: the baseline.
        repeats: counted pairs.
    """
    ours(), theirs()
    pairs = []
    for _ in range(repeats):
        seconds = []
        for way in (ours, theirs):
            began = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - began)
        pairs.append(seconds)
    ratios = sorted(theirs_s / ours_s for ours_s, theirs_s in pairs)
    result: dict[str, object] = {
        "claim": claim,
        "unit": f"{unit}/s",
        "ours": work / statistics.median(pair[0] for pair in pairs),
        "baseline": work / statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(ratios),
        "lowest": ratios[0],
        "highest": ratios[-1],
        "pairs": repeats,
        **provenance(),
    }
    print(json.dumps(result))
    return result
