"""A smaller encoder out of a larger one: the heads, columns and hidden units that its loss depends on least are cut.

What goes is decided by `importance`, how many by `pruning_shape`, what they are by `structure`; `recovery` trains the
rest for a short while. Out comes a stock folder of transformers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from unibert.deploy.importance import Importance, measure_importance
from unibert.deploy.pruning_report import CARD, CURVE, curve_table, prune_card
from unibert.deploy.pruning_shape import Target, choose_shape, units_to_keep
from unibert.deploy.pruning_task import TaskMaterial
from unibert.deploy.pruning_text import TextMaterial, read_texts
from unibert.deploy.recovery import BATCH_SIZE, LEARNING_RATE, recover
from unibert.deploy.source import Deployable, load_deployable
from unibert.deploy.structure import ARCHITECTURES, HIDDEN, Indices, Shape, Structure, cut, find_structure
from unibert.errors import DataError, RecipeError
from unibert.files import atomic_folder, see_that_it_is_free, telling_of_full_disk, write_json
from unibert.models.precision import best_device
from unibert.progress import progress_bar
from unibert.report.tables import to_csv
from unibert.runs import provenance
from unibert.stopping import telling_of_interruption
from unibert.tasks.encoder import quiet_transformers

FACTS = "prune.json"
SCHEMA = 1
Material = TextMaterial | TaskMaterial


@dataclass(frozen=True)
class Measured:
    """How a model does on what was held out, by language."""

    losses: dict[str, float]
    """Nats; of similarity (sts) the squared error."""
    scores: dict[str, float] = field(default_factory=dict)
    """The task's first metric; none for text."""

    @property
    def loss(self) -> float:
        """The mean over languages."""
        return fmean(self.losses.values())

    @property
    def score(self) -> float | None:
        """The mean over languages, where there are scores."""
        return fmean(self.scores.values()) if self.scores else None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"loss": self.loss, "score": self.score, "losses": self.losses, "scores": self.scores}


@dataclass(frozen=True)
class Point:
    """A shape, and how the model does in it."""

    shape: Shape
    hidden: int
    parameters: int
    share: float
    """Of the parameters before."""
    pruned: Measured
    recovered: Measured | None = None
    """After recovery, where there was one."""

    @property
    def last(self) -> Measured:
        """How it does in the end."""
        return self.recovered or self.pruned

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "parameters": self.parameters,
            "share": self.share,
            "heads": self.shape.heads,
            "hidden": self.hidden,
            "feed_forward": self.shape.feed_forward,
            "pruned": self.pruned.facts(),
            "recovered": self.recovered.facts() if self.recovered else None,
        }


@dataclass(frozen=True)
class Pruned:
    """What came of it."""

    name: str
    """The original model's."""
    architecture: str
    task: str | None
    """Whose loss it was, by our name; None for masked language modelling."""
    score_name: str | None
    """What the scores are, in words."""
    before: Point
    """The original."""
    after: Point
    """What was written."""
    curve: list[Point]
    """The sizes that were asked for, the largest first; `after` is one of them."""
    kept: Mapping[str, Indices]
    """By space, the units that what was written still has."""
    samples: dict[str, dict[str, int]]
    """By language, how many were learned from and held out."""
    left_out: dict[str, str]
    """By language or file, why."""
    settings: dict[str, Any]

    @property
    def unit(self) -> str:
        """Of the losses: nats, but for similarity, whose loss is a squared error."""
        return "" if self.task == "sts" else "nats"

    def facts(self) -> dict[str, Any]:
        """prune.json; of the feed-forward columns only their number."""
        return {
            "schema": SCHEMA,
            "source": self.name,
            "architecture": self.architecture,
            "task": self.task,
            "score": self.score_name,
            "before": self.before.facts(),
            "after": self.after.facts(),
            "curve": [point.facts() for point in self.curve] if len(self.curve) > 1 else [],
            "kept": {name: its.tolist() for name, its in self.kept.items() if not name.startswith("feed-forward.")},
            "samples": self.samples,
            "left_out": self.left_out,
            "settings": self.settings,
            "provenance": provenance(),
        }


@dataclass(frozen=True)
class Pruning:
    """How it is done."""

    samples: int = 1000
    """That importance is measured on, of all languages together."""
    texts: int = 1000
    """Of each language, that are drawn from the text."""
    recover: int = 0
    """Steps of recovery."""
    learning_rate: float = LEARNING_RATE
    """Of recovery."""
    seed: int = 1

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        rate = {"batch_size": BATCH_SIZE, "learning_rate": self.learning_rate} if self.recover else {}
        return {"importance_samples": self.samples, "recovery_steps": self.recover, **rate, "seed": self.seed}


def prune_model(
    source: Path | str,
    output: Path,
    target: Target | None = None,
    curve: Sequence[float] = (),
    *,
    text: Sequence[Path | str] = (),
    languages: Collection[str] | None = None,
    task: str | None = None,
    data: Path | str | Mapping[str, Path | str] | None = None,
    columns: Mapping[str, str] | None = None,
    pruning: Pruning | None = None,
) -> Pruned:
    """Prune a model and write what is left.

    Args:
        source: a model's folder, a finished run's or a hub name (see `load_deployable`); with a head.
        output: the folder to write; must not be there yet. Beside the model and its tokenizer it holds README.md,
            prune.json and, with a curve, curve.svg, curve.png and curve.csv.
        target: how much is to be left; the smallest size of the curve when None.
        curve: shares of the parameters, each between 0 and 1; the model is pruned to each of them and measured.
        text: by language (see `find_texts`), for a masked language model.
        languages: of the text; all that are found when None.
        task: ner, nli, qa or sts, for a fine-tuned model.
        data: its labelled samples, a file or files by language.
        columns: the files' own names for the task's columns.
        pruning: how it is done; the defaults when None.

    Raises:
        RecipeError: neither a target nor a curve, or text and a task at once, or neither.
        DataError: the model, text or data is unusable, the target is below the minimum, or a loss is not a number.
        Interrupted: Ctrl-C or SIGTERM; nothing is written.
    """
    pruning = pruning or Pruning()
    targets = _targets(target, curve)
    _check_material(text, task, data)
    see_that_it_is_free(output)
    with telling_of_interruption(output):
        return _prune(source, output, targets, text, languages, task, data, columns or {}, pruning)


def _targets(target: Target | None, curve: Sequence[float]) -> list[Target]:
    """Everything that is asked for; the last is what is written."""
    for share in curve:
        if not 0 < share < 1:
            raise RecipeError(f"--curve {share:g}: not a share between 0 and 1", "Write shares, e.g. 0.9,0.7,0.5.")
    shares = [Target(share=share) for share in sorted({*curve}, reverse=True)]
    if target is None and not shares:
        raise RecipeError(
            "how much is to be left is not said",
            "Name --parameters, --size, --heads with --feed-forward, or --curve, whose smallest size is then written.",
        )
    return shares if target is None else [*shares, target]


def _check_material(text: Sequence[Path | str], task: str | None, data: object) -> None:
    if bool(text) == bool(task):
        raise RecipeError(
            "one of --text and --task is needed, and only one",
            "Give --text for a masked language model, --task with --data for a fine-tuned one.",
        )
    if bool(task) != bool(data):
        raise RecipeError("--task and --data belong together", "Give both, e.g. --task ner --data de=de.conll.")


def _prune(
    source: Path | str,
    output: Path,
    targets: Sequence[Target],
    text: Sequence[Path | str],
    languages: Collection[str] | None,
    task: str | None,
    data: Path | str | Mapping[str, Path | str] | None,
    columns: Mapping[str, str],
    pruning: Pruning,
) -> Pruned:
    if len(targets) > 1:
        _figure()  # what is not installed is told before the work
    opened = load_deployable(source, architectures=ARCHITECTURES)
    left_out: dict[str, str] = {}
    material: Material
    if task is not None and data is not None:
        material = TaskMaterial(task, opened.folder, data, columns, pruning.seed)
        model = material.model
    else:
        if opened.task != "fill-mask":
            raise DataError(
                f"model {opened.name}: has no masked language modelling head whose loss on text could be measured",
                "Give labelled data of its task (--task, --data), or the model that it was fine-tuned from.",
            )
        texts, left_out = read_texts(text, languages, pruning.texts, pruning.seed)
        material, model = TextMaterial(texts, opened.model, opened.tokenizer, pruning.seed), opened.model
    model = model.to(best_device())
    structure = find_structure(model)
    for wanted in targets:  # what cannot be is refused before the work
        choose_shape(structure, {space: _nothing(structure, space) for space in structure.spaces}, wanted)
    with quiet_transformers():
        whole = structure.parameters(structure.whole)
        before = Point(structure.whole, structure.hidden, whole, 1.0, _measure(material, model))
        importance = _importance(model, structure, material, pruning)
        shapes = [choose_shape(structure, importance, wanted) for wanted in targets]
        points: dict[Shape, Point] = {}
        smaller: Any = None
        for number, shape in enumerate(dict.fromkeys([*(s for s in shapes if s != shapes[-1]), shapes[-1]]), start=1):
            told = f"recovering {number}/{len({*shapes})}" if len({*shapes}) > 1 else "recovering"
            points[shape], smaller = _try(model, structure, importance, material, shape, pruning, told)
        found = Pruned(
            name=opened.name,
            architecture=opened.architecture,
            task=task,
            score_name=material.score_name,
            before=before,
            after=points[shapes[-1]],
            curve=sorted(points.values(), key=lambda point: -point.parameters),
            kept=units_to_keep(structure, importance, shapes[-1]),
            samples=material.described(),
            left_out=left_out,
            settings=pruning.facts(),
        )
        write_pruned(found, smaller, opened, output)
    return found


def _nothing(structure: Structure, space: str) -> Any:
    import numpy as np

    return np.zeros(structure.units(space))


def _importance(model: Any, structure: Structure, material: Material, pruning: Pruning) -> Importance:
    batches = material.batches(pruning.samples)
    with progress_bar(sum(batch.samples for batch in batches), "measuring importance", " samples") as bar:
        return measure_importance(model, structure, batches, bar.update)


def _measure(material: Material, model: Any) -> Measured:
    losses, scores = material.measure(model)
    for language, loss in losses.items():
        if not math.isfinite(loss):
            raise DataError(
                f"{language}: the held-out loss is not a number",
                "Check the model; after recovery, lower --learning-rate. Nothing was written.",
            )
    return Measured(losses, scores)


def _try(
    model: Any,
    structure: Structure,
    importance: Importance,
    material: Material,
    shape: Shape,
    pruning: Pruning,
    told: str,
) -> tuple[Point, Any]:
    """The model in a shape, measured and, on request, recovered."""
    kept = units_to_keep(structure, importance, shape)
    smaller = cut(model, structure, kept)
    pruned, recovered = _measure(material, smaller), None
    if pruning.recover:
        recover(smaller, model, material, kept[HIDDEN], pruning.recover, pruning.learning_rate, told)
        recovered = _measure(material, smaller)
    size = structure.parameters(shape)
    share = size / structure.parameters(structure.whole)
    return Point(shape, structure.units(HIDDEN, shape), size, share, pruned, recovered), smaller


def write_pruned(found: Pruned, model: Any, original: Deployable, output: Path) -> None:
    """Write the model's folder, whole or not at all.

    Args:
        found: what is told in README.md and prune.json.
        model: the pruned model.
        original: whose tokenizer and card's metadata are taken over.
        output: the folder.

    Raises:
        DataError: the disk is full.
    """
    with telling_of_full_disk(output), atomic_folder(output) as folder:
        model.cpu().save_pretrained(folder)
        original.tokenizer.save_pretrained(folder)
        write_json(folder / FACTS, found.facts())
        (folder / CARD).write_text(prune_card(found, original, output.name), encoding="utf-8")
        if len(found.curve) > 1:
            picture = _figure().curve_picture(found)
            (folder / f"{picture.name}.svg").write_text(picture.file, encoding="utf-8")
            (folder / f"{picture.name}.png").write_bytes(picture.png())
            (folder / f"{CURVE}.csv").write_text(to_csv(curve_table(found)), encoding="utf-8")


def _figure() -> Any:
    """What draws the curve; it needs the extra `report`, and nothing else here does."""
    from unibert.deploy import pruning_figure

    return pruning_figure
