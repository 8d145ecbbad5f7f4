"""The verbs for small machines: `export`, `quantise`, `trim`, `prune`, `latency`, `web`; no logic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unibert.errors import DataError, Interrupted, RecipeError
from unibert.options import listed
from unibert.stopping import telling_of_interruption
from unibert.tasks_cli import Columns, files_by_language, pairs
from unibert.universality_cli import Languages, Texts

_BACKENDS = "torch, torch-bf16, torch-compile, onnx, onnx-int8"
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[LANGUAGE=]FILE",
        help="Labelled samples for a fine-tuned head, as `unibert finetune` reads them; once for each language.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Draws the texts.")]


def export(
    model: Annotated[
        str,
        typer.Argument(help="A model's folder, a finished run's, or a Hugging Face name.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the export; only an earlier export is replaced.")],
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="`head` (of a task, or that fills in masks), `encoder` (hidden states) or `embeddings` (of sentences, "
            "the mean taken in the graph). By default the head, if there is one.",
        ),
    ] = None,
    text: Texts = None,
    language: Languages = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Of the check, as a share of the largest number put out.")
    ] = 1e-4,
    seed: Seed = 0,
) -> None:
    """Write a model as ONNX, as transformers.js and onnxruntime load it, and check it against PyTorch.

    The check is made on 8 texts of every language of --text, each alone in PyTorch and in padded batches in
    onnxruntime; past the tolerance nothing is written. Without --text it is made on pieces of the vocabulary.
    """
    from unibert.deploy.export import export_model
    from unibert.deploy.parity import TEXTS, ParityFailed, format_parity

    kind: Any = for_
    try:
        with telling_of_interruption(output):
            texts = _texts(text, language, TEXTS, seed)
            result = export_model(model, output, kind, texts, tolerance)
    except ParityFailed as error:
        print(format_parity(error.found))
        raise
    print(result)
    print(output)


def quantise(
    folder: Annotated[Path, typer.Argument(help="What `unibert export` wrote.", show_default=False)],
    text: Texts = None,
    language: Languages = None,
    data: Data = None,
    column: Columns = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Refuse if more points of the score on --data are lost in a language.")
    ] = None,
    min_cosine: Annotated[
        float, typer.Option(min=-1.0, max=1.0, help="Refuse if embeddings of a language agree less than this.")
    ] = 0.95,
    precision: Annotated[
        str, typer.Option(help="`int8` for processors and browsers, `fp16` for WebGPU and its like.")
    ] = "int8",
    reduce_range: Annotated[
        bool,
        typer.Option("--reduce-range", help="Use 7 of the 8 bits: for x86 processors without VNNI (before 2019)."),
    ] = False,
    seed: Seed = 0,
) -> None:
    """Write an exported model in fewer bits beside it, and say what that costs in every language.

    Embeddings before and after are compared on 32 texts of every language of --text (or on pieces of the vocabulary),
    predictions of a head too; with --data, the task's score. Exit code 1, and no file, if more is lost than allowed.
    """
    from unibert.deploy.quality import QualityTooLow
    from unibert.deploy.quantise import TEXTS, quantise_model

    kept: Any = precision
    labelled, columns = files_by_language(data), pairs(column, "--column")
    try:
        with telling_of_interruption(folder):
            texts = _texts(text, language, TEXTS, seed)
            result = quantise_model(folder, texts, labelled, max_drop, min_cosine, kept, reduce_range, columns)
    except QualityTooLow as error:
        print(error.table)
        raise
    print(result)
    print(result.file)


def trim(
    model: Annotated[str, typer.Argument(help="A model's or finished run's folder, or a Hugging Face name.")],
    output: Annotated[Path, typer.Option(help="Folder of the trimmed model; must not be there yet.")],
    languages: Annotated[
        list[str] | None,
        typer.Option("--languages", "--language", metavar="CODE,...", help="Of the languages of the text only these."),
    ] = None,
    text: Texts = None,
    pieces: Annotated[
        int | None, typer.Option(min=1, help="Keep at most so many: those that the languages use most.")
    ] = None,
    coverage: Annotated[
        float, typer.Option(help="Keep the most frequent pieces that make this share of each language's text.")
    ] = 1.0,
    minimum_count: Annotated[int, typer.Option(min=1, help="Keep what the texts use at least so often.")] = 1,
    min_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Refuse to keep less of a language's held-out text; 0 refuses nothing.")
    ] = 0.9,
    texts: Annotated[int, typer.Option(min=50, help="Lines that are drawn of each language.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 1,
) -> None:
    """Keep the pieces that some languages need: a smaller model with the same answers; says what each language loses.

    All pieces that the text uses are kept, and alphabets to spell other words with; --pieces, --coverage or
    --minimum-count keep fewer.
    """
    from unibert.deploy.trim import trim_on_files
    from unibert.deploy.trim_card import format_trimmed
    from unibert.deploy.trim_pieces import Choice

    chosen = listed("--languages", languages) or None
    choice = Choice(coverage, minimum_count, pieces)
    with telling_of_interruption(output):
        found = trim_on_files(model, output, text or (), chosen, choice, min_coverage, texts, seed)
    print(format_trimmed(found.facts()))
    print(output)


def prune(
    model: Annotated[str, typer.Argument(help="A model's folder with its head, a finished run's, or a hub name.")],
    output: Annotated[Path, typer.Option(help="Folder of the pruned model; must not be there yet.")],
    text: Texts = None,
    language: Languages = None,
    task: Annotated[
        str | None, typer.Option(help="Of a fine-tuned model: prune by the loss on --data of ner, nli, qa or sts.")
    ] = None,
    data: Data = None,
    column: Columns = None,
    parameters: Annotated[str | None, typer.Option(help="How many are to be left at most, e.g. 15M.")] = None,
    size: Annotated[float | None, typer.Option(help="The same as a share of the parameters, e.g. 0.7.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads to leave in each layer.")] = None,
    feed_forward: Annotated[int | None, typer.Option(help="Feed-forward columns to leave in each layer.")] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE,...",
            help="Prune to each of these sizes, e.g. 0.9,0.8,0.7, and draw size against held-out loss. Without a "
            "target the smallest is written.",
        ),
    ] = None,
    recover: Annotated[
        int, typer.Option(metavar="STEPS", min=0, help="Distil from the unpruned model for so many steps.")
    ] = 0,
    learning_rate: Annotated[float, typer.Option(min=1e-8, help="Of the recovery.")] = 5e-4,
    samples: Annotated[int, typer.Option(min=1, help="That importance is measured on, of all languages together.")] = (
        1000
    ),
    texts: Annotated[int, typer.Option(min=10, help="Lines of text to draw of each language.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of draws, masks and order.")] = 1,
) -> None:
    """Cut the attention heads, feed-forward columns and hidden width that the loss depends on least.

    What comes out is an ordinary, smaller model of the same architecture. Held-out loss is told before, after pruning
    and after recovery, by language.
    """
    from unibert.deploy.prune import Pruning, prune_model
    from unibert.deploy.pruning_report import format_pruned
    from unibert.deploy.pruning_shape import Target, parse_parameters

    asked = (parameters, size, heads, feed_forward)
    target = None
    if any(value is not None for value in asked):
        target = Target(parse_parameters(parameters) if parameters is not None else None, size, heads, feed_forward)
    found = prune_model(
        model,
        output,
        target,
        _shares(curve),
        text=text or (),
        languages=listed("--language", language) or None,
        task=task,
        data=files_by_language(data),
        columns=pairs(column, "--column"),
        pruning=Pruning(samples, texts, recover, learning_rate, seed),
    )
    print(format_pruned(found))
    print(output)


def latency(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of models, exported folders, runs; or shape:NAME with random weights: distil-mbert, mbert, "
            "xlm-r-base, small, xsmall, xxsmall.",
            show_default=False,
        ),
    ],
    backend: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help=f"Of {_BACKENDS}. [all]", show_default=False)
    ] = None,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Texts at a time.")] = "1,8",
    length: Annotated[str, typer.Option(metavar="N,...", help="Tokens of each text.")] = "16,64,128",
    threads: Annotated[
        str | None, typer.Option(metavar="N,...", help="Of the backend. [1 and all cores]", show_default=False)
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Counted calls of each size in a round.")] = 100,
    seconds: Annotated[float, typer.Option(min=0.001, help="For each size in a round; then fewer calls do.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Each in fresh processes; medians are told.")] = 3,
    output: Annotated[Path, typer.Option(help="Folder for latency.json, page, tables and figure.")] = Path(
        "runs/latency"
    ),
) -> None:
    """Measure how fast models are on this machine, by several backends; writes JSON, tables, a figure and a page.

    Times are of the model alone, without tokenisation. A model that has no ONNX files is exported on the way. In the
    folder `latency` of a run, the result becomes a part of the run's report.
    """
    from unibert.deploy.latency import LatencySettings, measure_latency
    from unibert.deploy.latency_output import format_latency, write_latency
    from unibert.files import see_that_it_can_be_written
    from unibert.report.latency_file import BACKENDS, FILE
    from unibert.runs import usable_cores

    numbers = {"--batch": batch, "--length": length, "--threads": threads or f"1,{usable_cores()}"}
    batches, lengths, thread_counts = (_numbers(option, text) for option, text in numbers.items())
    settings = LatencySettings(
        backends=tuple(listed("--backend", backend)) or BACKENDS,
        batches=batches,
        lengths=lengths,
        threads=tuple(dict.fromkeys(thread_counts)) if threads is None else thread_counts,
        repeats=repeats,
        seconds=seconds,
        rounds=rounds,
    )
    see_that_it_can_be_written(output / FILE if output.is_dir() else output)
    with telling_of_interruption(output):
        found = measure_latency(model, settings)
    page = write_latency(found, output)
    print(format_latency(found))
    print(f"report: {page}")
    if found.interrupted:
        raise Interrupted(f"interrupted: what was measured until then is in {output / FILE}")


def web(
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A folder that `unibert export` wrote; may be given again."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets the whole network see it.")] = "127.0.0.1",
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the system's browser.")] = False,
    assets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A node_modules folder with the page's libraries, instead of the registry."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take the page's libraries only from the cache or --assets.")
    ] = False,
    fetch_assets: Annotated[
        bool, typer.Option("--fetch-assets", help="Fetch the page's libraries into the cache; serves nothing.")
    ] = False,
) -> None:
    """Serve a page that runs exported models in the browser: blanks, entities, similar sentences; until Ctrl-C.

    Nothing that is typed leaves the browser. The page's two libraries are fetched once from the npm registry (35 MB;
    NPM_CONFIG_REGISTRY names another one), checked, and kept; Node is not needed.
    """
    from unibert.deploy.web import LOOPBACK, WebServer, page_folder, serve
    from unibert.deploy.web_assets import cache_folder, load_library

    if fetch_assets:
        if model or assets or offline:
            raise typer.BadParameter("stands alone", param_hint="--fetch-assets")
        print(cache_folder() / load_library(page_folder()).version)
        return
    if not model:
        raise typer.BadParameter("name at least one exported folder", param_hint="--model")

    def tell(server: WebServer) -> None:
        print(f"{server.address}  (Ctrl-C ends it)", flush=True)
        if host not in (LOOPBACK, "localhost", "::1"):
            print("on other machines: this machine's name or address; without https the page cannot be kept offline")

    serve(model, host, port, open_, assets, offline, listening=tell)


def _texts(
    text: Sequence[str] | None, language: Sequence[str] | None, count: int, seed: int
) -> dict[str, list[str]] | None:
    """Texts by language; what is left out is told. None without any --text."""
    from unibert.universality.sentences import find_texts

    codes = listed("--language", language) or None
    if not text:
        if codes:
            raise RecipeError("--language: there is no text to choose from", "Name it with --text.")
        return None
    texts, left_out = find_texts(text, codes, count, seed)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    if not texts:
        raise DataError(
            f"{', '.join(text)}: not enough text of any language", f"Give {count} different lines of each language."
        )
    return texts


def _shares(curve: str | None) -> list[float]:
    try:
        return [float(part) for part in curve.split(",")] if curve is not None else []
    except ValueError:
        raise RecipeError(f"--curve {curve}: not shares with commas between", "Write 0.9,0.8,0.7.") from None


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: whole numbers with commas between", param_hint=option) from None
