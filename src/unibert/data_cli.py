"""The command line's `data`: which benchmarks are known, and what there is of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from unibert.errors import RecipeError
from unibert.recipe_file import load_recipe
from unibert.task_settings import BenchmarkData

data_app = typer.Typer(help="Benchmarks and data of your own.", no_args_is_help=True)


@data_app.command("list")
def data_list() -> None:
    """List the benchmarks that are known by name: task, languages, sizes, licence, where they are had from."""
    from unibert.benchmark.catalog import format_catalog

    print(format_catalog())


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="A known benchmark, or a name in the recipe.", show_default=False)],
    folder: Annotated[Path | None, typer.Option(help="Where its files lie; the hub when not given.")] = None,
    hub: Annotated[str | None, typer.Option(help="Another data set of the same layout on the hub.")] = None,
    languages: Annotated[str | None, typer.Option(help="Codes with commas between; all when not given.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe whose [benchmark.data.NAME] says the rest.")] = None,
) -> None:
    """Read a benchmark's data, count it against what was published, show three samples; exit code 1 if it is wrong."""
    from unibert.benchmark.data_check import check_data

    settings = BenchmarkData()
    if recipe is not None:
        tables = load_recipe(recipe).benchmark.data
        if name not in tables:
            there = f"There is {', '.join(tables)}." if tables else "It has no table of data at all."
            raise RecipeError(f"{recipe}: no [benchmark.data.{name}] in it", there)
        settings = tables[name]
    given = {
        "folder": str(folder) if folder else None,
        "hub": hub,
        "languages": [code.strip().lower() for code in languages.split(",") if code.strip()] if languages else None,
    }
    # The other place of the two that a recipe names is not meant any more.
    other = {"hub": None} if folder else {"folder": None} if hub else {}
    merged = settings.model_dump() | other | {key: value for key, value in given.items() if value is not None}
    try:
        asked = BenchmarkData.model_validate(merged)
    except ValidationError as error:
        value = error.errors()[0]["input"]
        raise RecipeError(f"{value!r} is no code of a language", "Write codes such as de, or de-en in STS22.") from None
    check = check_data(name, asked)
    print(check.text)
    if check.problems:
        raise typer.Exit(1)
