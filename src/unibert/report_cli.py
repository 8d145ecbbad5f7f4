"""The command line's `report`: of a run, of the paper, of what differs significantly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from unibert.errors import RecipeError
from unibert.files import see_that_it_can_be_written, write_json
from unibert.options import listed
from unibert.recipe_file import load_recipe

_DEFAULT = "RUN"


class RunByDefault(TyperGroup):
    """A group whose first word is a run where it is not one of its commands: `unibert report runs/mine`.

    The default command has the name `RUN`, which is added in front; so a run's folder may be called `RUN`, too, and one
    that is called like a command is reached as `./paper`.
    """

    # Typer's contexts are another library's classes, and which one's depends on its version.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of what does not name another one."""
        if args and args[0] not in ("--help", *self._named()):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """The default command's usage, and below it the others'."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] RUN")
        for name in self._named():
            arguments = " ".join(self.commands[name].collect_usage_pieces(ctx))
            formatter.write_usage(ctx.command_path, f"{name} {arguments}", prefix=" " * len("Usage: "))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The default command's arguments and options, then the others in a line each."""
        self.commands[_DEFAULT].format_options(ctx, formatter)
        with formatter.section("Instead of a run"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(90)) for name in self._named()])

    def _named(self) -> list[str]:
        return [name for name in self.commands if name != _DEFAULT]


class OfRun(TyperCommand):
    """The default command, whose own name stands for its argument."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Of `unibert report RUN [OPTIONS]` what follows RUN."""
        return ["[OPTIONS]"]


report_app = typer.Typer(cls=RunByDefault, no_args_is_help=True, rich_markup_mode=None)


@report_app.callback()
def about() -> None:
    """Write one self-contained page (HTML and Markdown) about a run, with its tables and figures as files.

    A run's folder that is called like one of the words below is reached as ./paper.
    """


Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its recipe.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the recipe.")
]


def _names(what: str) -> Any:
    return typer.Option(metavar="NAME,...", help=f"Only {what}; may be given again.")


@report_app.command(_DEFAULT, cls=OfRun, hidden=True)
def of_run(
    run: Run,
    set_: Overrides = None,
    model: Annotated[list[str] | None, _names("these models, as the results name them")] = None,
    language: Annotated[list[str] | None, _names("the scores on these languages")] = None,
    task: Annotated[list[str] | None, _names("these tasks or benchmarks")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="paper", help="Set the paper's values beside the run's.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Write the page anew while models are trained.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Seconds between pages, with --follow.")] = 30,
) -> None:
    """Write one self-contained page (HTML and Markdown) about a run."""
    from unibert.report.collect import collect
    from unibert.report.live import follow_report
    from unibert.report.page import write_report
    from unibert.report.subsets import chosen

    if against not in (None, "paper"):
        raise typer.BadParameter(f"{against!r} is not 'paper'", param_hint="--against")
    given = {"--model": model, "--language": language, "--task": task}
    models, languages, tasks = (listed(option, texts) for option, texts in given.items())
    folder, title = _place(run, set_)
    if follow:
        if models or languages or tasks or against:
            why = "shows the whole run: leave out --model, --language, --task and --against"
            raise typer.BadParameter(why, param_hint="--follow")
        follow_report(folder, every, title, written=print)
        return
    found = chosen(collect(folder), models, languages, tasks)
    print(write_report(found, title, against_paper=against is not None))


@report_app.command("paper")
def of_paper(
    output: Annotated[Path, typer.Option(help="Folder for the page, its tables and figures.")] = Path(
        "runs/paper-report"
    ),
) -> None:
    """The paper's tables, Figure 3 and t-test, recomputed from what it prints."""
    from unibert.report.paper_page import write_paper_report

    if Path("paper").is_dir():
        print("note: this is about the paper; for the run in the folder paper say ./paper", file=sys.stderr)
    print(write_paper_report(output))


@report_app.command("significance")
def of_differences(
    run: Run,
    set_: Overrides = None,
    json_: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every number there.")] = None,
    between_models: Annotated[
        bool, typer.Option("--between-models", help="Compare model with model too, in every setting.")
    ] = False,
) -> None:
    """Which differences in a run's benchmark are significant."""
    from unibert.report.significance import format_significance, report_significance

    if json_ is not None:
        if json_.is_dir():
            raise typer.BadParameter(f"{json_} is a folder, not a file", param_hint="--json")
        see_that_it_can_be_written(json_)
    found = report_significance(_place(run, set_)[0], between_models=between_models)
    if json_ is not None:
        write_json(json_, found.as_json())
    print(format_significance(found))


def _place(run: Path, overrides: list[str] | None) -> tuple[Path, str | None]:
    """The folder of a run that is named by it or by its recipe, and the title that the recipe gives."""
    if run.is_dir():
        return run, None
    if not run.exists():
        raise RecipeError(f"{run}: no such run folder or recipe", "Give a run's folder, or the recipe that makes it.")
    recipe = load_recipe(run, overrides or ())
    return recipe.output, recipe.name
