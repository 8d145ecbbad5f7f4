"""What was measured, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from unibert.benchmark.columns import aligned
from unibert.universality.schema import Probe, Universality


def format_universality(found: Sequence[Universality]) -> str:
    """A line for each encoder: what a probe reads, what retrieval finds, at the last layer and at the best one."""
    rows = [["model", "probe", "chance", "retrieval", "centred", "CSLS, centred", "chance", "best layer, centred"]]
    for each in found:
        last = each.layers
        linear = next((p for p in each.probes if p.layer == last and p.kind == "linear"), None)
        raw = each.retrieval_at(last, "cosine", "raw")
        centred, csls = each.retrieval_at(last, "cosine", "centred"), each.retrieval_at(last, "csls", "centred")
        best = max(
            (r for r in each.retrieval if (r.similarity, r.treatment) == ("cosine", "centred")),
            key=lambda table: table.mean,
            default=None,
        )
        chances = [pair.chance for pair in each.pairs.values()]
        rows.append(
            [
                each.model,
                _percent(accuracy(linear) if linear else None),
                _percent(linear.chance if linear else None),
                *(_percent(table.mean if table else None) for table in (raw, centred, csls)),
                _percent(sum(chances) / len(chances) if chances else None),
                f"{_percent(best.mean)} (layer {best.layer})" if best else "",
            ]
        )
    lines = aligned(rows, 1)
    notes = [f"left out: {name}: {reason}" for each in found[:1] for name, reason in each.left_out.items()]
    return "\n".join([*lines, *notes])


def accuracy(probe: Probe) -> float:
    """Mean over the seeds."""
    return sum(probe.accuracies) / len(probe.accuracies)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
