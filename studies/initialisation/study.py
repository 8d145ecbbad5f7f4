"""What do a student's first weights buy? The same student, trained from random weights and from its teacher's.

Takes a run that has its tokens, its tokenizer and its teacher, and trains the student of its recipe from either start
at several seeds; the two trainings of a seed see the same samples and the same masks in the same order. Writes the
held-out masked language modelling loss against steps, as study.md, heldout.svg and study.json.

    unibert run recipes/mini.toml
    python studies/initialisation/study.py runs/mini --set pretrain.steps=300 --seeds 1 2 3

The same command goes on after an interruption: from the last checkpoint; what is finished is not repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

from unibert.errors import DataError, UniBertError
from unibert.files import atomic_file, write_json
from unibert.pretrain.log import read_log
from unibert.pretrain.loop import pretrain
from unibert.recipe import Pretrain, Recipe
from unibert.recipe_file import load_recipe
from unibert.report.theme import SERIES, Picture, canvas, to_picture
from unibert.runs import provenance

STARTS = ("random", "teacher")
"""The values of `pretrain.initialise`."""

Curve = dict[int, float]
"""Held-out loss (the mean over languages, nats per masked piece) by step."""


@dataclass(frozen=True)
class Study:
    """What is compared: one student, from either start, at each of the seeds."""

    recipe: Recipe
    settings: Pretrain
    run: Path
    output: Path
    seeds: Sequence[int]

    def train(self, start: str, seed: int) -> Curve:
        """Train one student, or go on with it; read its curve."""
        settings = self.settings.model_copy(update={"initialise": start})
        folder = self.output / f"{start}-{seed}"
        pretrain(
            settings,
            name=f"{start}-{seed}",
            seed=seed,
            tokens=self.run / "tokens",
            tokenizer=self.run / "tokenizer",
            output=folder,
            teacher=self.recipe.teacher.model or self.run / "teacher" / "model",
            recipe=self.recipe.model_copy(update={"pretrain": settings, "seed": seed}).resolved(),
        )
        records = [record for record in read_log(folder / "log.jsonl") if record["kind"] == "heldout"]
        if not records:
            raise DataError(f"{self.run}: no text is held out", "Set tokens.held_out_share above 0 and run it again.")
        return {record["step"]: record["mlm"] for record in records}


def open_study(
    run: Path, output: Path | None, changes: Sequence[str], student: str | None, points: int, seeds: Sequence[int]
) -> Study:
    """The study of the run in a folder.

    Args:
        run: folder of a finished run.
        output: where the study goes; `initialisation` below the run's folder when None.
        changes: `key=value`, as for `unibert --set`.
        student: which one, where the recipe trains a family.
        points: held-out losses per training.
        seeds: one pair of trainings each.

    Raises:
        DataError: the folder is not a run's, or lacks what a training needs.
        RecipeError: an impossible setting.
    """
    for needed in ("recipe.toml", "tokens/index.json", "tokenizer"):
        if not (run / needed).exists():
            raise DataError(f"{run / needed}: not there", "Name the folder of a run that `unibert run` has finished.")
    recipe = load_recipe(run / "recipe.toml", changes)
    if recipe.teacher.model is None and recipe.teacher.train is None:
        raise DataError(f"{run}: its recipe has no teacher", "Take a run with one, or --set teacher.model=NAME.")
    members = recipe.pretrain.members
    chosen = student or (next(iter(members)) if len(members) == 1 else None)
    if chosen not in members:
        raise DataError(f"{run}: its students are {', '.join(members)}", "Name one of them with --student.")
    settings = recipe.pretrain.alone(chosen)
    settings = settings.model_copy(update={"evaluate_every": max(1, settings.steps // points)})
    return Study(recipe, settings, run, output or run / "initialisation", seeds)


def write_study(study: Study) -> str:
    """Train what is missing; write the results so far after every seed; return the table."""
    curves: dict[str, list[Curve]] = {start: [] for start in STARTS}
    text = ""
    for position, seed in enumerate(study.seeds, start=1):
        for start in STARTS:
            curves[start].append(study.train(start, seed))
        text = tell(study, study.seeds[:position], curves)
        with atomic_file(study.output / "heldout.svg") as stream:
            stream.write(draw(curves).file)
        with atomic_file(study.output / "study.md") as stream:
            stream.write(text)
        write_json(study.output / "study.json", {"seeds": study.seeds[:position], "curves": curves, **provenance()})
    return text


def tell(study: Study, seeds: Sequence[int], curves: dict[str, list[Curve]]) -> str:
    """The curves as a Markdown table, with what they were measured on."""
    settings, made = study.settings, provenance()
    steps = sorted(curves["random"][0])
    lines = [
        f"Held-out loss of the student of `{study.recipe.name}` from either start: mean over languages, nats per",
        f"masked piece. {settings.steps:,} steps of {settings.batch_size} samples, seeds {', '.join(map(str, seeds))}:",
        "mean and range.",
        "",
        "| step | from random weights | from the teacher | difference | random needs |",
        "|---|---|---|---|---|",
    ]
    for step in steps:
        random, teacher = ([curve[step] for curve in curves[start]] for start in STARTS)
        gaps = [theirs - ours for ours, theirs in zip(random, teacher, strict=True)]
        needed = [steps_until(curve, loss) for curve, loss in zip(curves["random"], teacher, strict=True)]
        reached = [value for value in needed if value is not None]
        late = f"{mean(reached):,.0f} steps" if len(reached) == len(needed) else "more than it had"
        lines.append(f"| {step:,} | {_spread(random)} | {_spread(teacher)} | {_spread(gaps, '+')} | {late} |")
    versions, hardware = made["versions"], made["hardware"]
    lines += [
        "",
        "*Random needs*: the step at which the student from random weights of the same seed has come as low.",
        f"{hardware['processor']}, {hardware['cores']} cores, torch {versions['torch']}, commit {made['commit']}.",
        "",
    ]
    return "\n".join(lines)


def steps_until(curve: Curve, loss: float) -> float | None:
    """The step, interpolated, at which a curve first comes down to `loss`; None where it never does."""
    points = sorted(curve.items())
    if points[0][1] <= loss:
        return float(points[0][0])
    for (before, high), (after, low) in pairwise(points):
        if low <= loss:
            return before + (after - before) * (high - loss) / (high - low)
    return None


def draw(curves: dict[str, list[Curve]]) -> Picture:
    """The mean curve of either start, with the range over seeds shaded."""
    told = []
    with canvas(230) as (figure, axes):
        for start, colour, dashes in zip(STARTS, SERIES, ("-", "--"), strict=False):
            steps = sorted(curves[start][0])
            losses = [[curve[step] for curve in curves[start]] for step in steps]
            label = {"random": "from random weights", "teacher": "from the teacher"}[start]
            axes.fill_between(steps, [min(x) for x in losses], [max(x) for x in losses], color=colour, alpha=0.18)
            axes.plot(steps, [mean(x) for x in losses], color=colour, linestyle=dashes, label=label)
            told.append(f"{label} from {mean(losses[0]):.4g} to {mean(losses[-1]):.4g}")
        axes.set_title("Held-out loss, nats per masked piece")
        axes.set_xlabel("step")
        figure.legend(loc="outside lower left", ncols=2)
        return to_picture(figure, "initialisation", f"Held-out loss against steps: {'; '.join(told)}.")


def _spread(values: Sequence[float], sign: str = "") -> str:
    middle = f"{mean(values):{sign}.3f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{sign}.3f} to {max(values):{sign}.3f})"


def main() -> None:
    """Read the command line, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run: recipe.toml, tokens/, tokenizer/, teacher/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="a pair of trainings each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the run's recipe")
    parser.add_argument("--student", help="which one, where the recipe trains a family")
    parser.add_argument("--points", type=int, default=20, help="held-out losses per training")
    parser.add_argument("--output", type=Path, help="folder of the study; RUN/initialisation when left out")
    options = parser.parse_args()
    try:
        study = open_study(options.run, options.output, options.set, options.student, options.points, options.seeds)
        print(write_study(study))
        print(f"written to {study.output}", file=sys.stderr)
    except UniBertError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
