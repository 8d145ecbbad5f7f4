"""Which adversary, if any? Students that differ in nothing else, trained, and measured for universality.

Every student sees the same samples and masks of a seed in the same order. Measured are the held-out masked language
modelling loss, a fresh probe's accuracy, retrieval on Tatoeba (raw and centred, every layer), and for the contenders
NER on PAN-X, each and all. Writes results.json, study.md and pareto-*.svg below the run's folder.

    python studies/adversary/study.py --workers 2                   everything, about three hours on two cores
    python studies/adversary/study.py --only none confusion-0.1     some of the students
    python studies/adversary/study.py --seeds 1 2 3 --only none ... more seeds of the contenders
    python studies/adversary/study.py --table                       train nothing, write the tables again
    python studies/adversary/study.py --ner none confusion-0.1      fine-tune the contenders

The same command goes on after an interruption; what is finished is not repeated.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import signal
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translations import write_translations

from unibert import stages
from unibert.errors import DataError, Interrupted, UniBertError
from unibert.files import atomic_file, write_json
from unibert.processes import process_pool
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe
from unibert.universality.sentences import find_parallel

HERE = Path(__file__).parent
_stopped: list[bool] = []
"""Of a process of the pool: whether it was told to stop."""
EARLY = {"start": 0, "full": 0}
"""Whole from the first step."""
LATE = {"start": 1500, "full": 3000}
"""Steps at which a late adversary begins and is whole; of 5,000."""
MORE: dict[str, dict[str, int]] = {
    "mlp": {"hidden": 128},
    "steps5": {"steps": 5},
    "mlp-steps5": {"hidden": 128, "steps": 5},
}
"""Stronger discriminators."""
VARIED = 0.01
"""The weight with which the discriminator and the distillation are varied: the best of confusion, late, seed 1."""
WEIGHTS = {
    "gradient-reversal": (0.01, 0.1, 1.0),
    "confusion": (0.001, 0.01, 0.1, 1.0),  # the smallest was added when the second smallest did best
    "loss-reversal": (0.01, 0.1, 1.0),
}
DISTILLED = {"distillation": {"weight": 0.4, "temperature": 2.0}}


@dataclass(frozen=True)
class Variant:
    """One kind of student."""

    name: str
    changes: Mapping[str, Any]
    """Of `pretrain`, table by table."""


def variants() -> list[Variant]:
    """Every student of the study: modes by weights by schedules, then what varies around the middle of them."""
    found = [Variant("none", {}), Variant("none-distilled", DISTILLED)]
    for mode in WEIGHTS:
        for weight in WEIGHTS[mode]:
            found.append(Variant(f"{mode}-{weight:g}", adversary(mode, weight, **EARLY)))
            found.append(Variant(f"{mode}-{weight:g}-late", adversary(mode, weight, **LATE)))
    for mode in ("gradient-reversal", "confusion"):
        late = adversary(mode, VARIED, **LATE)
        for name, more in MORE.items():
            found.append(Variant(f"{mode}-{VARIED:g}-late-{name}", adversary(mode, VARIED, **LATE, **more)))
        found.append(Variant(f"{mode}-{VARIED:g}-late-distilled", {**late, **DISTILLED}))
    chosen = adversary("confusion", VARIED, **LATE, **MORE["mlp"])
    found.append(Variant(f"confusion-{VARIED:g}-late-mlp-distilled", {**chosen, **DISTILLED}))  # as the recipes have it
    return found


def adversary(mode: str, weight: float, **more: Any) -> dict[str, Any]:
    """The table `pretrain.adversary` of a variant."""
    return {"adversary": {"mode": mode, "weight": weight, **more}}


def write_text(recipe: Recipe, source: Path) -> None:
    """The languages' text without sentences that are tested on, however they are spaced and punctuated."""
    target = Path(recipe.corpus.text[0])
    wanted = recipe.corpus.languages or []
    if all((target / f"{code}.txt").exists() for code in wanted):
        return
    tested = {bare(line) for line in tested_sentences(recipe)}
    target.mkdir(parents=True, exist_ok=True)
    for code in wanted:
        path = source / f"{code}.txt.gz"
        if not path.exists():
            raise DataError(f"{path}: not there", "The study reads the texts beside the project; see its README.")
        with gzip.open(path, "rt", encoding="utf-8") as lines, atomic_file(target / f"{code}.txt") as stream:
            stream.writelines(line for line in lines if bare(line) not in tested)


def tested_sentences(recipe: Recipe) -> Iterator[str]:
    """Both sides of the translations, and the sentences of the NER data."""
    for pair in find_parallel(recipe.universality.parallel, None, 1)[0]:
        yield from (*pair.texts, *pair.others)
    from unibert.benchmark.loading import load_data

    for name, data in recipe.benchmark.data.items():
        for splits in load_data(name, data).languages.values():
            for part in splits.parts:
                yield from (" ".join(sample.words) for sample in part.samples)


def bare(text: str) -> str:
    """Letters and digits alone, whatever their case."""
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text).casefold())


def train_and_measure(recipe: Recipe, variant: Variant, seed: int) -> str:
    """One student in a process of its own, on one core; the name of its results."""
    from unibert.pretrain.loop import pretrain
    from unibert.recipe import UniversalitySettings
    from unibert.tasks.encoder import find_encoder
    from unibert.universality.material import corpus_sizes, find_material
    from unibert.universality.measure import measure_universality

    name = f"{variant.name}-seed{seed}"
    if _stopped:  # a pool hands out one more than is asked for
        raise Interrupted(f"{name}: not begun")
    base = recipe.pretrain.model_dump()
    changed = {table: {**base[table], **values} for table, values in variant.changes.items()}
    settings = type(recipe.pretrain).model_validate({**base, **changed})
    folder = recipe.output / "students" / name
    with telling_the_next():
        pretrain(
            settings,
            name=name,
            seed=seed,
            tokens=recipe.output / "tokens",
            tokenizer=recipe.output / "tokenizer",
            output=folder,
            teacher=str(recipe.output / "teacher" / "model") if settings.needs_teacher else None,
            recipe=recipe.model_copy(update={"pretrain": settings, "seed": seed}).resolved(),
        )
    wanted = recipe.universality.model_dump() | {"languages": recipe.corpus.languages}
    measured = UniversalitySettings.model_validate(wanted)
    material = find_material(measured, corpus_sizes(recipe.output / "corpus"))
    measure_universality(measured, [find_encoder(folder / "model", name)], material, folder / "universality")
    return name


@contextmanager
def telling_the_next() -> Iterator[None]:
    """Whoever is told to stop in a training begins no other one."""
    try:
        yield
    except Interrupted:
        _stopped.append(True)
        raise


def fine_tune(recipe: Recipe, names: Sequence[str], seeds: Sequence[int], workers: int) -> None:
    """NER with the students of the contenders' seeds, by the benchmark's own grid."""
    from unibert.benchmark.grid import run_benchmark

    own = {
        f"{name}-seed{seed}": folder
        for name in names
        for seed in seeds
        if (folder := recipe.output / "students" / f"{name}-seed{seed}" / "model").is_dir()
    }
    settings = recipe.benchmark.model_copy(
        update={
            "models": list(own),
            "seeds": recipe.benchmark.seeds[:1],  # the students' own seeds are what varies
            "executor": recipe.benchmark.executor.model_copy(update={"workers": workers}),
        }
    )
    run_benchmark(settings, own, recipe.output / "benchmark")


def main() -> None:
    """Read the command line, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=HERE / "adversary.toml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="texts and evaluation sets")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(v.name for v in variants())}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--ner", nargs="+", metavar="NAME", help="fine-tune these instead, every seed that is there")
    parser.add_argument("--workers", type=int, default=1, help="students side by side, a core each")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the pool ends with this process
    try:
        recipe = load_recipe(options.recipe, options.set)
        known = {variant.name: variant for variant in variants()}
        unknown = [name for name in (options.only or []) + (options.ner or []) if name not in known]
        if unknown:
            parser.error(f"no such student: {', '.join(unknown)}")
        if options.ner:
            fine_tune(recipe, options.ner, options.seeds, options.workers)
        elif not options.table:
            train_all(recipe, [known[name] for name in options.only or known], options.seeds, options)
        write_results(recipe)
    except UniBertError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept; the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def train_all(recipe: Recipe, chosen: Sequence[Variant], seeds: Sequence[int], options: argparse.Namespace) -> None:
    """What all students share, then every student, seed by seed so that a whole comparison is there early."""
    write_translations(options.data, Path(recipe.universality.parallel[-1]))
    write_text(recipe, options.data / "text")
    stages.build_corpus(recipe)
    stages.build_tokens(recipe)
    if any("distillation" in variant.changes for variant in chosen):
        stages.train_teacher(recipe)
    failed = []
    with process_pool(options.workers) as pool:
        jobs = {
            pool.submit(train_and_measure, recipe, variant, seed): f"{variant.name}-seed{seed}"
            for seed in seeds
            for variant in chosen
        }
        for number, job in enumerate(as_completed(jobs), start=1):
            try:
                print(f"[{number}/{len(jobs)}] {job.result()}", file=sys.stderr, flush=True)
            except UniBertError as error:  # one that ran off; the others go on
                failed.append(f"{jobs[job]}: {error.message}")
                print(f"[{number}/{len(jobs)}] {failed[-1]}", file=sys.stderr, flush=True)
            write_results(recipe)
    if failed:
        write_json(recipe.output / "failed.json", failed)


def write_results(recipe: Recipe) -> None:
    """results.json, study.md and the figures, of what is there."""
    from tell import draw, read_rows, tell

    rows = read_rows(recipe.output)
    write_json(recipe.output / "results.json", rows)
    with atomic_file(recipe.output / "study.md") as stream:
        stream.write(tell(rows, recipe))
    for picture in draw(rows):
        with atomic_file(recipe.output / f"{picture.name}.svg") as stream:
            stream.write(picture.file)
    print(recipe.output / "study.md")


if __name__ == "__main__":
    main()
