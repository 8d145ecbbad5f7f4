"""The command line: one verb per stage, no logic. Every verb is a function that Python users can import."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from unibert import __version__
from unibert.data_cli import data_app
from unibert.deploy_cli import export, latency, prune, quantise, trim, web
from unibert.errors import UniBertError
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe, to_toml
from unibert.report_cli import report_app
from unibert.tasks_cli import finetune, predict
from unibert.universality_cli import neutralise, universality

app = typer.Typer(
    help="Small multilingual encoders: Wikipedia dumps in, encoders and a report out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recipe_app = typer.Typer(help="Look at settings.", no_args_is_help=True)
corpus_app = typer.Typer(help="Dumps to clean paragraphs.", no_args_is_help=True)
tokens_app = typer.Typer(help="Clean paragraphs to token shards.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(corpus_app, name="corpus")
app.add_typer(tokens_app, name="tokens")
app.add_typer(data_app, name="data")
app.add_typer(report_app, name="report")

RecipeFile = Annotated[Path, typer.Argument(help="A TOML recipe; see recipes/.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. pretrain.steps=10.")
]


def main() -> None:
    """Run the command line; problems that a user can mend are told without a traceback."""
    # Threads that wait for each other by spinning bring a shared machine to a crawl; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Whoever stops us, files that are half written are to be removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except UniBertError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {place}{error.strerror or error}\n  Fix: check the path, its permissions and the disk.",
            file=sys.stderr,
        )
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns Ctrl-C into an exit with 130.
        code = 130 if isinstance(stop, KeyboardInterrupt) else stop.code
        if code == 130:
            print("interrupted: what is finished is kept; the same command goes on from there", file=sys.stderr)
        sys.exit(code)
    except ModuleNotFoundError as error:
        extra = {
            "torch": "train",
            "transformers": "train",
            "seqeval": "tasks",
            "sklearn": "tasks",
            "scipy": "tasks",
            "peft": "tasks",
            "matplotlib": "report",
            "jinja2": "report",
            "onnx": "deploy",
            "onnxruntime": "deploy",
            "onnxscript": "deploy",
        }
        name = (error.name or "").partition(".")[0]
        if name not in extra:
            raise
        print(
            f"error: this stage needs the package {name}\n  Fix: pip install 'unibert[{extra[name]}]'", file=sys.stderr
        )
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Small multilingual encoders: Wikipedia dumps in, encoders and a report out."""
    if show:
        print(f"unibert {__version__}")
        raise typer.Exit


@recipe_app.command("show")
def recipe_show(
    file: Annotated[Path | None, typer.Argument(help="A recipe; every setting's default without one.")] = None,
    set_: Overrides = None,
) -> None:
    """Print every setting with its value and meaning, as a recipe that can be read back."""
    if file is None:
        # Without a teacher there is no distillation; the bare defaults would not be a valid recipe.
        bare = Recipe.model_validate({"name": "defaults", "teacher": {"model": "bert-base-multilingual-cased"}})
        print(to_toml(bare), end="")
    else:
        print(to_toml(load_recipe(file, set_ or ())), end="")


@recipe_app.command("check")
def recipe_check(file: RecipeFile, set_: Overrides = None) -> None:
    """Say whether a recipe is valid; exit code 2 if it is not."""
    recipe = load_recipe(file, set_ or ())
    print(f"{file}: valid; the run is called {recipe.name!r} and goes to {recipe.output}")


@app.command()
def languages(paper: Annotated[bool, typer.Option("--paper", help="Only the paper's 107.")] = False) -> None:
    """List the languages: code, English name, own name, script, family, database name of the Wikipedia."""
    from unibert.languages import LANGUAGES, PAPER_CODES, format_languages

    print(format_languages(entry for entry in LANGUAGES.values() if not paper or entry.code in PAPER_CODES))


@corpus_app.command("download")
def corpus_download(
    languages: Annotated[str, typer.Option(help="Codes with commas between; `paper` (107) or `all`.")],
    date: Annotated[str, typer.Option(help="`YYYYMMDD`, or the `latest` that is finished, wiki by wiki.")] = "latest",
    mirror: Annotated[str, typer.Option(help="Address of Wikimedia's dumps or a mirror.")] = (
        "https://dumps.wikimedia.org"
    ),
    output: Annotated[Path, typer.Option(help="Folder for the dumps.")] = Path("dumps"),
    contact: Annotated[
        str, typer.Option(envvar="UNIBERT_CONTACT", help="Your e-mail address or page, told to the mirror.")
    ] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Check what is complete already once more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is to download.")] = False,
    stall: Annotated[float, typer.Option(min=0.1, help="Seconds without a byte before a new attempt.")] = 60.0,
    retries: Annotated[int, typer.Option(min=0, help="Attempts in a row that may bring nothing.")] = 10,
) -> None:
    """Download Wikipedia dumps, verified; run it again to go on where it stopped."""
    from unibert.corpus.download import download_dumps, format_downloads

    codes = [code.strip() for code in languages.split(",") if code.strip()]
    result = download_dumps(
        codes, date, mirror, output, dry_run=dry_run, verify=verify, contact=contact, stall=stall, retries=retries
    )
    print(format_downloads(result))
    if result.problems:
        raise typer.Exit(1)


@corpus_app.command("build")
def corpus_build(
    recipe: RecipeFile,
    set_: Overrides = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with an error after a damaged dump.")] = False,
) -> None:
    """Read dumps, keep articles, clean them by the five rules, write Parquet per language and statistics."""
    from unibert import stages
    from unibert.corpus.statistics import format_statistics

    overrides = [*(set_ or ()), *(["corpus.strict=true"] if strict else [])]
    print(format_statistics(stages.build_corpus(load_recipe(recipe, overrides))))


@corpus_app.command("stats")
def corpus_stats(
    place: Annotated[Path, typer.Argument(help="A corpus folder, a run's folder, or a recipe.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(help="Folder for the card and the figures; the corpus folder when not given.")
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Show what each rule changed and dropped.")] = False,
) -> None:
    """Print what a corpus is made of; write its data set card (README.md) and figures (SVG)."""
    from unibert import stages
    from unibert.corpus.statistics import format_examples, format_statistics

    statistics, folder = stages.corpus_statistics(place, output)
    print(format_statistics(statistics))
    if examples:
        print(f"\n{format_examples(statistics)}")
    print(f"\n{folder / 'README.md'}")
    # Last, because the figures need a package that the rest does without.
    for path in stages.write_corpus_figures(statistics, folder):
        print(path)


@tokens_app.command("build")
def tokens_build(recipe: RecipeFile, set_: Overrides = None) -> None:
    """Tokenize the corpus into memory-mapped shards per language."""
    from unibert import stages

    loaded = load_recipe(recipe, set_ or ())
    stages.build_tokens(loaded)
    print(loaded.output / "tokens")


@app.command()
def pretrain(
    recipe: RecipeFile,
    set_: Overrides = None,
    only: Annotated[str | None, typer.Option(help="Train only the `teacher` or only the `student`.")] = None,
) -> None:
    """Train the teacher, if the recipe asks for one, and the student or the family; resumes where it stopped."""
    from unibert import stages

    if only not in (None, "teacher", "student"):
        raise typer.BadParameter(f"{only!r} is neither 'teacher' nor 'student'", param_hint="--only")
    loaded = load_recipe(recipe, set_ or ())
    if only != "student":
        stages.train_teacher(loaded)
    if only != "teacher":
        stages.train_student(loaded)
    folders = [loaded.output / "teacher"] if only == "teacher" else stages.student_folders(loaded).values()
    for folder in folders:
        print(folder / "model")


app.command()(finetune)
app.command()(predict)
app.command()(export)
app.command()(quantise)
app.command()(trim)
app.command()(prune)
app.command()(latency)
app.command()(web)


@app.command()
def benchmark(
    recipe: RecipeFile,
    set_: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is to do, and how long.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do again what has failed before.")] = False,
    only_benchmark: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this benchmark.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this model.")] = None,
) -> None:
    """Fine-tune and test the recipe's models on its benchmarks; finished runs are not repeated."""
    from unibert import stages
    from unibert.benchmark.results import RunsFailed, format_table, load_results

    loaded = load_recipe(recipe, set_ or ())
    benchmarks, models = only_benchmark or (), model or ()
    if dry_run:
        print(stages.benchmark_plan(loaded, benchmarks, models))
        return
    failed = None
    try:
        stages.run_benchmark(loaded, retry_failed=retry_failed, only_benchmarks=benchmarks, only_models=models)
    except RunsFailed as error:  # the others have results to show
        failed = error
    results, _ = load_results(loaded.output / "benchmark" / "results")
    print(format_table(results))
    if failed:
        raise failed


@app.command("benchmark-worker", hidden=True)
def benchmark_worker(
    folder: Annotated[Path, typer.Argument(help="The benchmark's folder.", show_default=False)],
    array: Annotated[str, typer.Option(help="The list of runs below slurm/.")],
    index: Annotated[int, typer.Option(min=0, help="Which of them.")],
) -> None:
    """Do one run of a benchmark; Slurm's tasks call this."""
    from unibert.benchmark.clusters import work_on_array

    work_on_array(folder, array, index)


app.command()(universality)
app.command()(neutralise)


@app.command()
def push(
    model: Annotated[Path, typer.Argument(help="The folder of a model or of a finished run.", show_default=False)],
    to: Annotated[str, typer.Option(help="USER/NAME on the hub; members of a family go to USER/NAME-MEMBER.")],
    member: Annotated[str | None, typer.Option(help="Of a family only this one, to USER/NAME itself.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Nobody else may see it.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch; made if it is not there.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
) -> None:
    """Upload a finished model to the Hugging Face hub; the same content makes no new commit.

    The token is taken from HF_TOKEN or `hf auth login`, the hub's address from HF_ENDPOINT.
    """
    from unibert.deploy.push import push as run

    run(model, to, member=member, private=private, revision=revision, message=message, dry_run=dry_run)


@app.command("run")
def run_all(recipe: RecipeFile, set_: Overrides = None) -> None:
    """Every stage of a recipe, from dumps to report; goes on where it stopped."""
    from unibert import stages

    print(f"report: {stages.run_recipe(load_recipe(recipe, set_ or ()))}")


@app.command()
def quickstart(
    folder: Annotated[Path, typer.Option(help="Where the miniature world and its run go.")] = Path("runs/quickstart"),
    set_: Overrides = None,
) -> None:
    """Run the whole pipeline on the embedded miniature world: 13 languages, no network, a few minutes on two cores."""
    from unibert.quickstart.run import quickstart as run

    print(f"report: {run(folder, set_ or ())}")


if __name__ == "__main__":
    main()
