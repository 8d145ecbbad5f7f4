"""The sections of a run's page: what is shown of its corpus, models, training and benchmarks, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from unibert.benchmark.gains import Gain
from unibert.benchmark.scores import Board, Mean
from unibert.report import (
    contents,
    corpus_figures,
    curves,
    diagram,
    dots,
    figures,
    pareto,
    score_tables,
    scripts,
    slopes,
)
from unibert.report.blocks import Block, Details, FigureBlock, ProgressBar, Section
from unibert.report.collect import Run
from unibert.report.cost import Cost, cost_table
from unibert.report.standing import Standing, latest_table
from unibert.report.summary import cautions
from unibert.report.tables import Column, Table, words
from unibert.report.theme import Picture
from unibert.report.wording import duration, percent, plural


def corpus_section(run: Run) -> Section:
    """What there is to learn from: sizes, lengths, what cleaning did."""
    section = Section("corpus", "Corpus")
    if run.corpus is None:
        return section
    sizes = corpus_figures.corpus_sizes({code: counts.bytes for code, counts in run.corpus.languages.items()})
    caption = "UTF-8 bytes of clean text, on a logarithmic scale; the paper's Figure 1."
    section.blocks += figure("Size of the corpus per language", caption, [sizes] if sizes else [])
    lengths = corpus_figures.sample_lengths(run.corpus.totals.lengths)
    caption = (
        "Tokens in a sample, on a logarithmic scale. Areas are shares of the samples: where the curve is at 30 %, "
        "lengths from n to 2n would hold 30 % of the samples if it stayed there."
    )
    section.blocks += figure("How long the samples are", caption, [lengths] if lengths else [])
    section.blocks += [contents.corpus_table(run.corpus, run.tokens), contents.rules_table(run.corpus)]
    codes = list(run.corpus.languages)
    names = scripts.native_names(codes)
    caption = f"Every language by its own name, in its own script. {scripts.fonts_sentence(codes)}"
    section.blocks += figure("The languages and their scripts", caption, [names] if names else [])
    return section


def figure(title: str, caption: str, pictures: list[Picture]) -> list[Block]:
    """The pictures as a block; nothing where there are none."""
    return [FigureBlock(title, caption, pictures)] if pictures else []


def models_section(run: Run) -> Section:
    """Table 1 of the paper, for this run."""
    table = contents.models_table(run)
    section = Section("models", "Models")
    section.blocks += _method(run)
    if not table.rows:
        return section
    section.blocks.append(table)
    if run.recipe and run.recipe.teacher.model:
        section.blocks.append(
            f"The student's teacher was {run.recipe.teacher.model}, a finished model that is not part of this run."
        )
    return section


def cost_section(found: Sequence[Cost]) -> Section:
    """What the run took."""
    return Section("cost", "Cost", [cost_table(found)] if found else [])


def _method(run: Run) -> list[Block]:
    """Figure 2 of the paper, with the weights that the students of this run were trained with."""
    group = next((name for name in ("students", "student") if name in run.groups), None)
    if group is None:
        return []
    trainings, settings = run.groups[group], run.settings(group)
    summary = next((training.summary for training in trainings if training.summary), None)
    objective = summary.objective if summary else diagram.objective_of(settings) if settings else None
    languages = summary.languages if summary else run.tokens.languages if run.tokens else trainings[0].shares
    if not objective or not languages:
        return []
    named = run.recipe.teacher.model if run.recipe else None
    teacher = named or ("this run's teacher" if "teacher" in run.trainings else "")
    roles = [training.role for training in trainings] if len(trainings) > 1 else []
    caption = (
        "What is trained, from what, and what is minimised; the weights are those of this run. The paper's Figure 2."
    )
    return figure("The method", caption, [diagram.method_diagram(objective, len(languages), teacher, roles)])


def progress_section(going: Sequence[Standing]) -> Section:
    """How far the trainings are that are not finished."""
    section = Section("progress", "Progress")
    for standing in going:
        if standing.share is not None:
            section.blocks.append(ProgressBar(f"Training of the {standing.group}", standing.share))
        table = latest_table(standing)
        section.blocks += [table] if table else []
    return section


def training_section(run: Run) -> Section:
    """The curves of every training."""
    section = Section("training", "Training")
    for group, trainings in run.groups.items():
        summary = next((training.summary for training in trainings if training.summary), None)
        pictures = curves.training_curves(group, trainings, summary.languages if summary else list(trainings[0].shares))
        caption = "A panel per logged quantity. With many records, a point is a mean and the shade the range around it."
        settings = run.settings(group)
        if settings and settings.label_smoothing:
            caption += (
                " The training values of masked language modelling include label smoothing of "
                f"{settings.label_smoothing:g}, the held-out ones do not, so the two cannot be compared."
            )
        drawn = {picture.name.removeprefix(f"{group}-") for picture in pictures}
        absent = [what for what in ("adversary", "distillation") if what not in drawn]
        if pictures and absent:
            caption += f" This run logged no {' and no '.join(absent)}."
        section.blocks += figure(f"Training of the {group}", caption, pictures)
    return section


def languages_section(run: Run) -> Section:
    """What every language had of the training, and how well it is predicted."""
    section = Section("languages", "Languages in training")
    losses = {
        role: evaluation.languages
        for role, training in run.trainings.items()
        if (evaluation := training.last_held_out) and evaluation.languages
    }
    caption = (
        "Cross-entropy in nats per masked piece, lowest first by the first model. A language whose words take many "
        "pieces is easier piece by piece, so read it as progress per language and not as a ranking."
    )
    section.blocks += figure("Held-out loss per language", caption, dots.held_out_losses(losses))
    for group, trainings in run.groups.items():
        expected, drawn = contents.expected_shares(run, group), trainings[0].shares
        caption = "What was drawn; the mixture that the recipe asks for cannot be told from the files that are there."
        if expected:
            caption = "Dots: the mixture that the recipe asks for, p ∝ samples^α. Diamonds: what was drawn."
        if expected and drawn:
            code, off = max(
                ((code, drawn.get(code, 0) - share) for code, share in expected.items()), key=lambda item: abs(item[1])
            )
            caption += f" The largest difference is {percent(abs(off))[:-2]} percentage points ({code})."
        pictures = dots.language_shares(group, expected, drawn)
        section.blocks += figure(f"Share of each language, {group}", caption, pictures)
    table = contents.languages_table(run)
    if table:
        section.blocks.append(table)
    return section


_FIELLER = "95 % interval over seeds, by Fieller's theorem"


def overview_section(boards: Sequence[Board], found: Sequence[Sequence[Gain]]) -> Section:
    """All benchmarks together; nothing where there is only one."""
    section = Section("tasks", "All tasks")
    if len(boards) < 2:
        return section
    section.blocks.append(_overview_table(boards))
    caption = "(average of all − average of each) / average of each; the paper's Figure 3, a scale for each task. "
    caption += f"Thin bars: {_FIELLER}. Hollow dots have none: one seed, or an average of each not clearly above 0."
    picture = figures.gains_by_task("gains", {board.short_title: its for board, its in zip(boards, found, strict=True)})
    section.blocks += figure("Relative gain of training on all languages", caption, [picture] if picture else [])
    return section


_PARTIAL = "no average: a language is missing, and averages over other sets of languages cannot be compared"


def _overview_table(boards: Sequence[Board]) -> Table:
    """The average over languages of every model and setting on every benchmark, the best in bold."""
    names: dict[tuple[str, str], None] = {}
    averages: list[dict[tuple[str, str], Mean]] = []
    for board in boards:
        its: dict[tuple[str, str], Mean] = {}
        for row in board.rows:
            names[row.model, row.label] = None
            average = row.average(board.languages)
            if average:
                its[row.model, row.label] = average
        averages.append(its)
    rows = []
    for name in names:
        cells = [words(text) for text in name]
        for board, its in zip(boards, averages, strict=True):
            places = score_tables.digits(board)
            best = round(max(one.value for one in its.values()), places) if len(its) > 1 else None
            measured = any((row.model, row.label) == name for row in board.rows)
            why = _PARTIAL if measured else "no result in this setting"
            cells.append(score_tables.score_cell(its.get(name), best, why, places))
        rows.append(cells)
    columns = [Column("Model", False), Column("Setting", False)]
    columns += [Column(f"{board.short_title}, {board.metric_name}") for board in boards]
    notes = [
        "The average over the languages of each benchmark, the mean over seeds, with half the width of its 95 % "
        "interval over seeds. Bold is the highest of its column.",
    ]
    return Table("tasks", "Average over languages, by benchmark", columns, rows, notes, heading_columns=2)


def benchmark_section(run: Run, board: Board, found: list[Gain], against: Sequence[Block] = ()) -> Section:
    """The scores on one benchmark, what joint training brings, and everything behind them.

    Args:
        run: what the models are.
        board: the benchmark's results.
        found: its gains.
        against: what is set beside them.
    """
    section = Section(f"benchmark-{board.name}", board.title, short=board.short_title)
    seeds = f"{plural(len(board.seeds), 'seed')} ({', '.join(map(str, board.seeds))})"
    runs = plural(len(board.results), "fine-tuning run")
    spent = duration(sum(result.seconds for result in board.results))
    section.blocks.append(f"{seeds}, {runs}, {spent} in all. {score_tables.fine_tuning(board.results)}")
    section.blocks += [score_tables.score_table(board), cautions(run, board), *against]
    if found:
        picture = figures.relative_gains(f"{board.name}-gain", board.title, found)
        caption = "(average of all − average of each) / average of each; the paper's Figure 3. "
        bounded = [gain.low is not None for gain in found]
        if any(bounded):
            caption += f"Thin bars: {_FIELLER}"
            caption += "." if all(bounded) else "; none where there is one seed or each is not clearly above 0."
        elif max(gain.seeds for gain in found) > 1:
            caption += "There are no intervals, because the average of each is not clearly above 0 over these seeds."
        else:
            caption += "Without at least two seeds there are no intervals, and nothing can be concluded from a bar's "
            caption += "length."
        section.blocks += figure("Relative gain of training on all languages", caption, [picture] if picture else [])
        section.blocks.append(score_tables.gain_table(board, found))
    caption = (
        "A line per language, from its score in each to that in all, the mean over the seeds that both have; the "
        "language that gains most on average over the models first. Nothing is tested here, see “Significance”."
    )
    section.blocks += figure("From each to all, by language", caption, slopes.language_slopes(board))
    sized = pareto.points(board)
    if len({point.model for point in sized}) > 1:
        caption = (
            "Parameters, vocabulary included, on a logarithmic scale against the average over languages. The line "
            "joins the models that no smaller one passes."
        )
        drawn = pareto.size_against_score(
            f"{board.name}-size", board.title, board.metric_name, sized, score_tables.digits(board)
        )
        section.blocks += figure("Size against score", caption, [drawn] if drawn else [])
    section.blocks.append(score_tables.data_table(board))
    types = score_tables.types_table(board)
    folded = [Details("Scores by type", [types])] if types.rows else []
    section.blocks += [*folded, Details("Every run", [score_tables.seeds_table(board)])]
    return section
