"""The paper's tables and figures made anew from its printed numbers, and a table of what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from unibert.benchmark.gains import gains
from unibert.errors import DataError
from unibert.report import figures, pareto, slopes
from unibert.report.blocks import Block, Details, FigureBlock, KeyNumber, Section
from unibert.report.paper import (
    TABLES,
    PrintedTable,
    amount,
    models_table,
    paper_board,
    paper_claims,
    paper_models,
    printed_table,
)
from unibert.report.paper_checks import (
    AVERAGES,
    SCALES,
    Check,
    average_checks,
    best_scale,
    best_t_test,
    checks,
    findings,
    mean_gains,
    model_groups,
    t_readings,
)
from unibert.report.rendering import Page, write_page
from unibert.report.score_tables import digits, gain_table
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import decimal, listing, plural, signed

TITLE = "The UniBERT paper, recomputed"
_SOURCE = (
    "Avram et al., “UniBERT: Adversarial Training for Language-Universal Representations”, arXiv 2503.12608 (version 3)"
)


def write_paper_report(output: Path) -> Path:
    """Write the paper's tables, figures and t-test as a page of the same kind as a run's.

    Args:
        output: folder for index.html, report.md, tables/ and figures/; older files there are replaced.

    Returns:
        The path of index.html.

    Raises:
        DataError: the disk is full, or there is something else in the folder: older tables and figures are removed.
    """
    output = Path(output)
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / "report.md").is_file()):
        raise DataError(f"{output}: exists and is no report", "Name another folder: what a report leaves is removed.")
    found = checks()
    opening = (
        f"Everything here is made from the numbers that are printed in {_SOURCE}: nothing was trained or measured for "
        "it. The tables and figures go through the same code as those of a run."
    )
    sections = [_recomputed(found), _figure(), Section("table-1", "Table 1: the models", [models_table()])]
    return write_page(
        Page(
            title=TITLE,
            paragraphs=[opening, *findings()],
            numbers=_numbers(found),
            sections=[*sections, *map(_scores, TABLES)],
        ),
        output,
    )


def _numbers(found: Sequence[Check]) -> list[KeyNumber]:
    test = best_t_test().result
    follow = sum(check.follows for check in found)
    rows = [check for table in TABLES for check in average_checks(table)]
    means = sum(check.follows for check in rows)
    own, others = model_groups()
    return [
        KeyNumber("Models", str(len(own) + len(others)), f"{len(own)} of the paper's own"),
        KeyNumber("Printed numbers that follow", f"{follow} of {len(found)}", "of the text and Figure 3"),
        KeyNumber("Row averages that follow", f"{means} of {len(rows)}", "rounded or cut off, Tables 2 to 6"),
        KeyNumber("Welch's t", decimal(test.t, 3), f"p = {decimal(test.p, 4)}"),
    ]


def _recomputed(found: Sequence[Check]) -> Section:
    wrong = [check for table in TABLES for check in average_checks(table) if not check.rounded]
    ordered = sorted(wrong, key=lambda check: (check.follows, -abs(check.difference)))
    averages = checks_table("averages", "Printed row averages that are not the rounded mean of their row", ordered)
    return Section(
        "recomputed",
        "Printed and recomputed",
        [
            checks_table("recomputed", "The paper's numbers beside what follows from its tables", found),
            scales_table(),
            readings_table(),
            Details("Row averages", [averages]),
            _cautions(),
        ],
    )


def checks_table(name: str, caption: str, found: Sequence[Check]) -> Table:
    """Printed / recomputed: what each number is, where it stands, what follows instead, and how that was computed."""
    rows = []
    for check in found:
        places = check.decimals + 1 if check.decimals else 0
        rows.append(
            [
                words(check.claim),
                words(check.place),
                Cell(decimal(check.printed, check.decimals), check.printed),
                Cell(decimal(check.recomputed, places), check.recomputed),
                Cell(signed(check.difference, places), check.difference),
                words(check.verdict, strong=not check.follows),
                words(check.how),
            ]
        )
    columns = [Column("Number", False), Column("Place", False), Column("Printed"), Column("Recomputed")]
    columns += [Column("Difference"), Column("Verdict", False), Column("Recomputed as", False)]
    notes = [
        "Recomputed numbers are shown with one decimal more than is printed.",
        "Follows: the recomputed number, rounded to the decimals that are printed, is the printed one.",
    ]
    return Table(name, caption, columns, rows, notes)


def scales_table() -> Table:
    """Figure 3 with STS on every scale, beside the printed numbers."""
    printed = {claim.subject: claim.value for claim in paper_claims() if claim.claim == "gain"}
    by_scale = {scale: {gain.model: gain.percent for gain in mean_gains(scale)} for scale in SCALES}
    own, others = model_groups()
    rows = [
        [
            words(model),
            Cell(decimal(printed[model]), printed[model]),
            *(Cell(decimal(found[model]), found[model]) for found in by_scale.values()),
        ]
        for model in [*own, *others]
    ]
    groups = (("mean of UniBERT's", own), ("mean of the first four baselines'", others[:-1]))
    for name, models in (*groups, ("mean of all baselines'", others)):
        means = [fmean(found[model] for model in models) for found in (printed, *by_scale.values())]
        rows.append([words(name), *(Cell(decimal(mean), mean) for mean in means)])
    columns = [Column("Model", False), Column("Figure 3, printed", unit="per cent")]
    columns += [Column(f"STS as {scale}", unit="per cent") for scale in SCALES]
    notes = [
        "Relative gain of all over each, of the averages over NER, NLI, QA and STS as printed; those of NER, NLI and "
        "QA go from 0 to 100, and r is Pearson's. On its own scale STS hardly counts among the four.",
        "The printed column's means are those of its numbers.",
    ]
    return Table("figure-3-scales", "Figure 3 under four readings of STS", columns, rows, notes)


def readings_table() -> Table:
    """The t-test under every reading; the one that is closest to the printed t in bold."""
    best = best_t_test()
    rows = []
    for reading in t_readings():
        test, chosen = reading.result, reading == best
        g = (
            f"{decimal(test.g_low)} to {decimal(test.g_high)}"
            if test.g_low is not None and test.g_high is not None
            else ""
        )
        rows.append(
            [
                words(reading.scale, strong=chosen),
                Cell(str(reading.baselines), reading.baselines),
                words(AVERAGES[reading.which]),
                *(Cell(decimal(mean), mean) for mean in (test.mean_a, test.mean_b)),
                Cell(decimal(test.t, 3), test.t, strong=chosen),
                Cell(decimal(test.df, 1), test.df),
                Cell(decimal(test.p, 4), test.p, strong=chosen),
                Cell(decimal(test.g), test.g, small=g, parts={"low": test.g_low, "high": test.g_high}),
            ]
        )
    headings = ("Mean gain, UniBERT", "Mean gain, baselines", "t", "Degrees of freedom", "p", "Hedges' g")
    columns = [Column("STS as", False), Column("Baselines"), Column("Averages over languages", False)]
    columns += [Column(heading, unit="per cent" if "gain" in heading else "") for heading in headings]
    notes = [
        "Welch's t-test, two-sided, of the per-task gains of UniBERT's three models against those of the baselines.",
        "Four baselines are the first of Table 1: without XLM-V-base. Multiplying STS by 100 leaves its gains as "
        "they are. Hedges' g with its 95 % interval, from the spread of both groups.",
    ]
    return Table("t-test", "The t-test under every reading", columns, rows, notes)


def _cautions() -> list[str]:
    scaled = {scale: {gain.model: gain.percent for gain in mean_gains(scale)} for scale in ("r", "100 r")}
    own, others = model_groups()
    shown = [
        f"{decimal(fmean(found[m] for m in own))} % against {decimal(fmean(found[m] for m in others))} %"
        for found in scaled.values()
    ]
    ps = [reading.result.p for reading in t_readings()]
    each = {gain.model: gain.each for gain in mean_gains(best_scale())}
    return [
        "The printed scores come without seeds or intervals: no single difference between two of them can be claimed.",
        f"The headline hangs on the scale of STS: the mean gains of UniBERT and of all five baselines are {shown[0]} "
        f"with STS as printed, and {shown[1]} with STS from 0 to 100 like the other tasks.",
        f"Under the {len(ps)} readings in the table p goes from {decimal(min(ps), 4)} to {decimal(max(ps), 4)}; in "
        f"{sum(p < 0.05 for p in ps)} it is below 0.05. But the test takes a model's gains on four tasks, and three "
        "sizes of one model, for independent numbers. They are not, which as a rule makes p too small.",
        "STS was fine-tuned on each of seven languages and tested on ten after joint training; the printed averages of "
        "each and all are over these different sets.",
        f"A relative gain is larger where the start is lower: UniBERT's averages in each are {_averages(each, own)}, "
        f"the baselines' {_averages(each, others)}. That it gains more does not say that its languages are more alike.",
    ]


def _averages(found: Mapping[str, float], models: Sequence[str]) -> str:
    return listing([decimal(found[model], 1) for model in models])


def _figure() -> Section:
    scale = best_scale()
    caption = (
        f"(all − each) / each of a model's average over the four tasks, STS as {scale}. No interval can be computed "
        "from what is printed."
    )
    found = {f"Table {table.number}: {table.title}": gains(paper_board(table)) for table in TABLES}
    by_task = "The same for each of the tables, each on a scale of its own, over the languages that both settings have."
    blocks: list[Block] = []
    for title, told, picture in (
        ("The paper's Figure 3", caption, figures.relative_gains("figure-3", "Figure 3", mean_gains(scale))),
        ("Gain by benchmark", by_task, figures.gains_by_task("figure-3-benchmarks", found)),
    ):
        blocks += [FigureBlock(title, told, [picture])] if picture else []
    return Section("figure-3", "Figure 3: gain by joint training", blocks)


def _scores(table: PrintedTable) -> Section:
    board = paper_board(table)
    place = f"Table {table.number}"
    section = Section(f"table-{table.number}", f"{place}: {board.title}", [printed_table(table)])
    section.short = f"{place}: {board.benchmark_title}"
    off = [check for check in average_checks(table) if not check.follows]
    if off:
        told = [
            f"{check.claim.removesuffix(': average')} ({signed(-check.difference, check.decimals)})" for check in off
        ]
        section.blocks.append(
            f"{plural(len(off), 'printed average does', 'printed averages do')} not follow from the row; printed minus "
            f"mean: {listing(told)}."
        )
    section.blocks.append(gain_table(board, gains(board)))
    caption = (
        "A line per language, from its printed score in each to that in all; the language that gains most on average "
        "over the models first."
    )
    drawn = slopes.language_slopes(board)
    section.blocks += [FigureBlock("From each to all, by language", caption, drawn)] if drawn else []
    sizes = {model.name: amount(model.parameters, "Table 1") for model in paper_models()}
    picture = pareto.size_against_score(
        f"table-{table.number}-size", board.title, board.metric_name, pareto.points(board, sizes), digits(board)
    )
    if picture:
        caption = (
            "Parameters as Table 1 prints them, on a logarithmic scale, against the average over languages of the rows "
            "that have all of them. The line joins the models that no smaller one passes."
        )
        section.blocks.append(FigureBlock("Size against score", caption, [picture]))
    return section
