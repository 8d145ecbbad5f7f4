"""The tables of a model card: languages and losses; and how a card puts numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unibert.languages import language

_CURVE = 8
"""Rows of the table of losses."""


def languages_section(summary: Mapping[str, Any]) -> str:
    """Every language with its share of the training samples, its held-out loss and its unknown pieces, folded."""
    samples = summary.get("language_samples") or {}
    total = max(1, sum(samples.values()))
    losses = (summary.get("heldout") or {}).get("languages") or {}
    unknown = summary.get("unknown_shares") or {}
    rows = [
        (
            code,
            language(code).name,
            f"{samples[code] / total:.2%}" if code in samples else "-",
            f"{losses[code]:.3f}" if code in losses else "-",
            f"{unknown[code]:.2%}" if code in unknown else "-",
        )
        for code in sorted(summary["languages"], key=lambda code: (-samples.get(code, 0), code))
    ]
    head = ("code", "language", "share of the training samples", "held-out loss", "unknown pieces")
    lines = ["## Languages", ""]
    if losses:
        low, high = min(losses, key=losses.__getitem__), max(losses, key=losses.__getitem__)
        spread = (
            f" on average over the languages, from {losses[low]:.3f} ({language(low).name}) to {losses[high]:.3f} "
            f"({language(high).name}). Compare them with care: languages differ in how many pieces their words are cut "
            "into"
        )
        lines += [
            f"Held-out loss of masked language modelling, in nats per masked piece: {summary['heldout']['mlm']:.3f}"
            f"{spread if len(losses) > 1 else ''}.",
            "",
        ]
    else:
        lines += ["No text was held out, so there are no held-out losses.", ""]
    return "\n".join([*lines, *folded(f"By language: {len(rows)}", table(head, rows, texts=2))])


def losses_section(log: Sequence[Mapping[str, Any]]) -> str:
    """The losses at a few steps of a run's log; empty where nothing was logged."""
    train = [record for record in log if record.get("kind") == "train"]
    held_out = {record["step"]: record["mlm"] for record in log if record.get("kind") == "heldout"}
    if not train:
        return ""
    names = {
        "loss": "whole objective",
        "mlm": "masked language modelling",
        "distillation": "distillation",
        "hidden": "hidden states",
        "relations": "relations",
        "adversary": "adversary",
        "discriminator_accuracy": "discriminator's accuracy",
    }
    shown = [key for key in names if any(record.get(key) is not None for record in train)]
    rows = []
    # Rows at evaluations where there are any, the first step and the last included, evenly between.
    steps = sorted(step for step in held_out if step >= train[0]["step"]) or [record["step"] for record in train]
    for step in _evenly(steps, _CURVE):
        nearest = min(train, key=lambda record: abs(record["step"] - step))
        values = [nearest.get(key) for key in shown]
        cells = ["-" if value is None else f"{value:.3f}" for value in [*values, held_out.get(step)]]
        rows.append((f"{step:,}", f"{nearest.get('tokens', 0):,}", *cells))
    head = ("step", "tokens", *(names[key] for key in shown), "held out")
    return "\n".join(
        [
            "## Losses",
            "",
            "Means over the steps before, in nats; held out: masked language modelling on text kept out of training.",
            "",
            *table(head, rows, texts=0),
        ]
    )


def _evenly(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A Markdown table whose first columns are text and whose others are numbers."""
    marks = ["---" if column < texts else "--:" for column in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, marks, *rows)]


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines that the page shows on request."""
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>"]


def counted(number: int, noun: str) -> str:
    """`one layer`, `6 layers`."""
    return f"one {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A time in its two largest units: `2 days 3 hours`, `41 seconds`."""
    left = round(seconds)
    parts: list[str] = []
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "less than a second"
