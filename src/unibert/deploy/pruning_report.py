"""What is told of a pruned model: tables for the terminal, and its card. The figure is in `pruning_figure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.benchmark.columns import aligned
from unibert.deploy.source import Deployable
from unibert.report.tables import Cell, Column, Table, plain_markdown, to_markdown, words
from unibert.report.wording import coded, count, decimal, millions, percent, plural
from unibert.tasks.finetune import UNNAMED

if TYPE_CHECKING:
    from unibert.deploy.prune import Point, Pruned

CARD = "README.md"
CURVE = "curve"
_TAKEN_OVER = ("language", "language_bcp47", "license")
"""Of the original's card."""


def curve_table(found: Pruned) -> Table:
    """The original and every size, a row each: the shape, and the held-out loss as a mean over languages."""
    recovered = any(point.recovered for point in found.curve)
    columns = [Column(name) for name in ("parameters", "share", "heads", "hidden", "feed-forward")]
    columns += [
        Column("held-out loss", unit=found.unit),
        *([Column("recovered", unit=found.unit)] if recovered else []),
    ]
    columns += [Column("worst language", numeric=False), *([Column(found.score_name)] if found.score_name else [])]
    rows = []
    for point in (found.before, *found.curve):
        losses = [point.pruned, *([point.recovered] if recovered else [])]
        worst = max(point.last.losses, key=lambda code: point.last.losses[code])
        rows.append(
            [
                Cell(millions(point.parameters), point.parameters, strong=point is found.after),
                Cell(percent(point.share, 1), point.share),
                *(Cell(count(n), n) for n in (point.shape.heads, point.hidden, point.shape.feed_forward)),
                *(Cell(decimal(its.loss, 3), its.loss) if its else Cell("", None) for its in losses),
                Cell(worst, worst, small=decimal(point.last.losses[worst], 3)),
                *([_score(point.last.score)] if found.score_name else []),
            ]
        )
    notes = [] if len(found.curve) < 2 else ["The size in bold is the one that was written."]
    return Table(CURVE, "Size against held-out loss", columns, rows, notes)


def languages_table(found: Pruned) -> Table:
    """Held-out loss of the original and of what was written, a row for each language."""
    after = found.after
    stages = [("before", found.before.pruned), ("pruned", after.pruned)]
    stages += [("recovered", after.recovered)] if after.recovered else []
    columns = [Column("language", numeric=False), Column("samples")]
    columns += [Column(f"loss {name}", unit=found.unit) for name, _ in stages]
    columns += [Column(f"{found.score_name} {name}") for name, _ in stages] if found.score_name else []
    rows = []
    for code in found.before.pruned.losses:
        name = "all" if code == UNNAMED else coded(code)
        held_out = found.samples[code]["held_out"]
        rows.append(
            [
                words(name),
                Cell(count(held_out), held_out),
                *(Cell(decimal(its.losses[code], 3), its.losses[code]) for _, its in stages),
                *(_score(its.scores[code]) for _, its in stages if found.score_name),
            ]
        )
    return Table("languages", "Held-out loss by language", columns, rows)


def _score(value: float | None) -> Cell:
    return Cell("" if value is None else decimal(value, 2 if abs(value) > 1 else 3), value)


def format_pruned(found: Pruned) -> str:
    """Both tables for the terminal, and what was left out."""
    lines = []
    for table, on_the_left in ((curve_table(found), 0), (languages_table(found), 1)):
        cells = [[column.label for column in table.columns]]
        cells += [[" ".join(filter(None, (cell.text, cell.small))) for cell in row] for row in table.rows]
        lines += [*aligned(cells, on_the_left), ""]
    lines += [f"left out: {name}: {reason}" for name, reason in found.left_out.items()]
    return "\n".join(lines).rstrip()


def prune_card(found: Pruned, original: Deployable, name: str) -> str:
    """README.md of a pruned model, with the hub's metadata at the top.

    Args:
        found: what it tells.
        original: whose card's language and licence are taken over.
        name: of the pruned model.
    """
    from huggingface_hub import ModelCardData

    kept = {key: value for key, value in _metadata(original.folder).items() if key in _TAKEN_OVER}
    head = ModelCardData(
        library_name="transformers", pipeline_tag=original.task, tags=["unibert", "pruning"], **kept
    ).to_yaml()
    before, after, settings = found.before, found.after, found.settings
    loss = "masked language modelling" if found.task is None else f"the task {found.task}"
    done = (
        f"Afterwards it was trained for {plural(settings['recovery_steps'], 'step')} of {settings['batch_size']} "
        "samples to answer as the original does (outputs and hidden states)."
        if settings["recovery_steps"]
        else "Nothing was trained afterwards: recover it (`--recover`) or fine-tune it before use."
    )
    parts = [
        f"---\n{head}\n---",
        f"# {plain_markdown(name)}",
        f"`{found.name}` with {millions(after.parameters)} of its {millions(before.parameters)} parameters "
        f"({percent(after.share, 1)}): {_shape(after)} in each layer, where it had {_shape(before)}. The parts went "
        f"that the loss of {loss} depends on least, to first order (Michel et al., arXiv 1905.10650; Molchanov et al., "
        f"arXiv 1906.10771). {done}",
        to_markdown(languages_table(found)).strip(),
        "Measured on samples that importance was not measured on and recovery did not see. A loss is comparable only "
        "with others of the same tokenizer and the same samples.",
    ]
    if len(found.curve) > 1:
        parts += [to_markdown(curve_table(found)).strip(), f"![Size against held-out loss]({CURVE}.png)"]
    parts += ["How it was made stands in `prune.json`."]
    return "\n\n".join(parts) + "\n"


def _shape(point: Point) -> str:
    heads, columns = plural(point.shape.heads, "attention head"), count(point.shape.feed_forward)
    return f"{heads} (hidden width {count(point.hidden)}) and {columns} feed-forward columns"


def _metadata(folder: Path) -> dict[str, Any]:
    """What the original's card says at its top; nothing where there is no card, or one that cannot be read."""
    from huggingface_hub import ModelCard

    try:
        found: dict[str, Any] = ModelCard((folder / CARD).read_text(encoding="utf-8")).data.to_dict()
    except Exception:  # no such file, the YAML library's own, ValueError, TypeError
        return {}
    return found
