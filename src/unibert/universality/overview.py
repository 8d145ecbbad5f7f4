"""What was measured, as a table for the terminal, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unibert.benchmark.columns import aligned
from unibert.errors import UniBertError
from unibert.universality.schema import Probe, Universality


class EncodersFailed(UniBertError):
    """Some encoders could not be measured; of the others there are results.

    Args:
        failed: by the encoder's name, why.
        page: of the report about the others.
        found: what was measured of them.
    """

    def __init__(self, failed: Mapping[str, str], page: Path, found: Sequence[Universality]) -> None:
        reasons = "".join(
            f"\n  left out: {name}: {reason.removeprefix(f'model {name}: ')}" for name, reason in failed.items()
        )
        super().__init__(
            f"universality: {len(failed)} of {len(failed) + len(found)} encoders could not be measured{reasons}",
            "Mend or leave out what is named, and run the same command again: what is finished is kept.",
        )
        self.page = page
        self.found = list(found)


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
    # What is left out of the material is so for every encoder; the rest stands with the encoder's name.
    models: dict[tuple[str, str], list[str]] = {}
    for each in found:
        for note in each.left_out.items():
            models.setdefault(note, []).append(each.model)
    notes = [
        f"left out{'' if len(of) == len(found) else ' of ' + ', '.join(of)}: {name}: {reason}"
        for (name, reason), of in models.items()
    ]
    return "\n".join([*lines, *notes])


def accuracy(probe: Probe) -> float:
    """Mean over the seeds."""
    return sum(probe.accuracies) / len(probe.accuracies)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
