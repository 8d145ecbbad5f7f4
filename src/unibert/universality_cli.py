"""The verbs about universality: `universality` and `neutralise`; no logic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from unibert.errors import RecipeError
from unibert.options import listed
from unibert.recipe_file import load_recipe
from unibert.universality_settings import UniversalitySettings

Models = Annotated[
    list[str] | None,
    typer.Option(metavar="MODEL", help="A folder or Hugging Face name of any encoder; may be given again."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="PATH", help="Text by language: XX.txt[.gz], a folder of them, a corpus folder."),
]
ParallelFiles = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Line-aligned translations: Tatoeba's folder, or NAME.XX beside NAME.YY."),
]
Languages = Annotated[list[str] | None, typer.Option(metavar="CODE,...", help="Only these; may be given again.")]


def universality(
    run: Annotated[
        Path | None,
        typer.Argument(help="A recipe, or a run's folder: its models, settings, corpus sizes.", show_default=False),
    ] = None,
    model: Models = None,
    parallel: ParallelFiles = None,
    text: Texts = None,
    language: Languages = None,
    sizes: Annotated[
        str | None, typer.Option(metavar="CSV", help="Columns language, bytes: what the encoders have seen.")
    ] = None,
    sentences: Annotated[int | None, typer.Option(min=20, help="Of each language, for the probe. [300]")] = None,
    layers: Annotated[str | None, typer.Option(help="`all` or `last`. [all]")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Of the probes; may be given again. [1 2 3]")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for results and report; the run's own, or runs/universality.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")] = None,
) -> None:
    """Measure how alike the languages are to encoders: probe, retrieval, geometry, disparity; with a report page."""
    from unibert import stages
    from unibert.universality.overview import EncodersFailed, format_universality

    given = {
        "models": model,
        "parallel": parallel,
        "text": text,
        "languages": listed("--language", language) or None,
        "sizes": sizes,
        "sentences": sentences,
        "layers": layers,
        "seeds": seed,
    }
    options = {name: value for name, value in given.items() if value is not None}
    failed = None
    try:
        if run is None:
            if not model:
                raise typer.BadParameter("name a recipe or a run, or give --model", param_hint="RUN")
            if set_:
                raise typer.BadParameter("overrides settings of a recipe, and none is named", param_hint="--set")
            page, found = stages.measure_encoders(_settings(options), output or Path("runs/universality"))
        else:
            recipe = load_recipe(run / "recipe.toml" if run.is_dir() else run, set_ or ())
            settings = _settings(recipe.universality.model_dump(mode="json", exclude_unset=True) | options)
            page, found = stages.measure_run(recipe.model_copy(update={"universality": settings}), output)
    except EncodersFailed as error:  # of the others there is something to show
        failed, page, found = error, error.page, error.found
    print(format_universality(found))
    print(f"report: {page}")
    if failed:
        raise failed


def neutralise(
    model: Annotated[str, typer.Option(help="A folder or Hugging Face name of an encoder.")],
    output: Annotated[Path, typer.Option(help="Folder of the sentence encoder; must not be there yet.")],
    text: Texts = None,
    parallel: ParallelFiles = None,
    language: Languages = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1, help="Directions to remove; by default one fewer than the languages, at most a quarter of the width."
        ),
    ] = None,
    sentences: Annotated[int, typer.Option(min=20, help="Of each language.")] = 300,
) -> None:
    """Write an encoder of sentences without the directions that tell languages apart; says what that buys.

    The folder loads with sentence-transformers; the languages' means, for centring, lie in it too. With --parallel,
    retrieval is measured before and after.
    """
    from unibert.universality.neutralise import neutralise_encoder

    options = {
        "models": [model],
        "text": text or [],
        "parallel": parallel or [],
        "languages": listed("--language", language) or None,
        "rank": rank,
        "sentences": sentences,
        "layers": "last",
    }
    print(neutralise_encoder(_settings(options), output))
    print(output)


def _settings(options: Mapping[str, object]) -> UniversalitySettings:
    try:
        return UniversalitySettings.model_validate(options)
    except ValidationError as error:
        problems = [f"universality.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise RecipeError("\n".join(problems), "See `unibert universality --help`.") from None
