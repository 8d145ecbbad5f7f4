"""The run in plain sentences: what was trained on what, how long, how good, and what cannot be concluded."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from unibert.benchmark.gains import Gain
from unibert.benchmark.scores import Board, Row
from unibert.corpus.statistics import length_summary
from unibert.languages import language
from unibert.report.blocks import KeyNumber
from unibert.report.collect import Run
from unibert.report.cost import Cost, cost_number, cost_sentence
from unibert.report.schema import Summary
from unibert.report.score_tables import digits
from unibert.report.standing import Standing
from unibert.report.trainings import Training
from unibert.report.wording import count, decimal, duration, listing, millions, percent, plural, signed, size

ADVERSARIES = {
    "none": "no language adversary",
    "loss-reversal": "equation 5 read literally, with the sign of the adversary's loss reversed for everyone",
    "gradient-reversal": "a language discriminator whose gradient is reversed",
    "confusion": "a language discriminator whose answers the model pulls towards uniform",
}


_MOST = 8
"""So many benchmarks are among the numbers at the top; all of them are in the table of all tasks."""
_NAMED = 3


def key_numbers(
    run: Run, boards: Sequence[Board], standings: Sequence[Standing] = (), spent: Sequence[Cost] = ()
) -> list[KeyNumber]:
    """A handful of numbers that tell the run's size, cost and quality, or first of all how far it is."""
    found = [number for standing in standings for number in _going_numbers(standing)]
    trainings = next(iter(run.groups.values()), [])
    done = [(training, training.summary) for training in trainings if training.summary]
    if len(done) == 1:
        training, summary = done[0]
        hint = f"{decimal(summary.megabytes, 1)} MB, {training.role}"
        found.append(KeyNumber("Parameters", millions(summary.parameters), hint))
    elif done:
        each = [f"{training.role} {millions(summary.parameters)}" for training, summary in done]
        found.append(KeyNumber("Students", str(len(done)), f"{listing(each)} parameters"))
    if run.corpus:
        found.append(KeyNumber("Languages", str(len(run.corpus.languages)), f"{size(run.corpus.totals.bytes)} of text"))
    if done:
        training, summary = done[0]
        together = f"{plural(summary.steps, 'step')}{', side by side' if len(done) > 1 else ''}"
        found.append(KeyNumber("Training", duration(summary.seconds), together))
        cost = cost_number(spent)
        found += [cost] if cost else []
        whose = training.role if len(done) == 1 else "each student"
        found.append(KeyNumber("Pieces seen", _round(summary.tokens), f"{whose}, not counting padding"))
    evaluated = {training.role: record.mlm for training in trainings if (record := training.last_held_out)}
    if evaluated:
        best = min(evaluated, key=evaluated.__getitem__)
        of = f", {best}" if len(evaluated) > 1 else ""
        found.append(KeyNumber("Held-out loss", decimal(evaluated[best]), f"nats per masked piece{of}"))
    scores = [entry for board in boards if (entry := _best(board))]
    if scores:
        several = len(scores) > 1
        for row, mean, board in scores[:_MOST]:
            # Benchmarks of one task have one metric: what tells them apart comes first.
            what, hint = f"{_metric(board)}, best average", f"{row.model}, {row.label}"
            label = board.short_title if several else f"{board.task.upper()} {what}"
            found.append(KeyNumber(label, decimal(mean, digits(board)), f"{what}: {hint}" if several else hint))
    return found


def _going_numbers(standing: Standing) -> list[KeyNumber]:
    """How far a training is that is not finished, how fast, and how long still."""
    found = []
    share = f", {percent(standing.share, 1)}" if standing.share is not None else ""
    of = f"of {count(standing.steps)}{share}" if standing.steps else ""
    found.append(KeyNumber(f"Step, {standing.group}", count(standing.step), of))
    if standing.seconds_left is not None and not standing.silent:
        found.append(KeyNumber("Time left", duration(standing.seconds_left), "training alone"))
    latest = standing.latest
    if latest and latest.tokens_per_second is not None:
        peak = latest.peak_fraction
        hint = f"{percent(peak, 1)} of the matrix peak" if peak is not None and math.isfinite(peak) else ""
        found.append(KeyNumber("Pieces per second", count(round(latest.tokens_per_second)), hint))
    return found


def _round(value: int) -> str:
    for unit, length in (("B", 1e9), ("M", 1e6)):
        if value >= length:
            return f"{value / length:.2f} {unit}"
    return count(value)


def _best(board: Board) -> tuple[Row, float, Board] | None:
    found = [
        (average.value, position)
        for position, row in enumerate(board.rows)
        if (average := row.average(board.languages))
    ]
    if not found:
        return None
    mean, position = max(found, key=lambda item: (item[0], -item[1]))
    return board.rows[position], mean, board


def opening(
    run: Run,
    boards: Sequence[Board],
    gains: Sequence[Sequence[Gain]],
    going: Collection[str],
    spent: Sequence[Cost] = (),
) -> list[str]:
    """The paragraphs under the title: what was trained on what, what it took, how good it is.

    Without the groups in `going`, whose training is told elsewhere.
    """
    paragraphs = [_corpus(run)]
    for group, trainings in run.groups.items():
        if group not in going:
            paragraphs += [_family(run, trainings)] if len(trainings) > 1 else [_model(run, trainings[0])]
    # The first paragraph is in larger type: where nothing was trained, it is the outcome and not the time.
    outcome = [_outcome(boards, gains), cost_sentence(spent)]
    paragraphs += reversed(outcome) if any(paragraphs) else outcome
    paragraphs += [_board(board, found) for board, found in zip(boards, gains, strict=True)]
    return [paragraph for paragraph in paragraphs if paragraph]


def _corpus(run: Run) -> str:
    corpus = run.corpus
    if corpus is None:
        return ""
    largest, smallest = (
        choose(corpus.languages, key=lambda code: corpus.languages[code].bytes) for choose in (max, min)
    )
    sentence = (
        f"The corpus holds {size(corpus.totals.bytes)} of clean text in {plural(len(corpus.languages), 'language')}: "
        f"{plural(corpus.totals.samples, 'sample')}"
    )
    if corpus.totals.pages:
        sentence += f" from {plural(corpus.totals.pages, 'article')}"
    if largest != smallest:
        sentence += (
            f". The largest language is {language(largest).name} ({size(corpus.languages[largest].bytes)}), "
            f"the smallest {language(smallest).name} ({size(corpus.languages[smallest].bytes)})"
        )
    lengths = length_summary(corpus.totals.lengths)
    if lengths:
        sentence += (
            f". A sample has {decimal(lengths.mean, 1)} tokens on average; half have at most {count(lengths.median)}, "
            f"the longest has {count(lengths.longest)}"
        )
    return sentence + "."


def _model(run: Run, training: Training) -> str:
    summary = training.summary
    if summary is None:
        reached = f", which has reached step {count(training.steps[-1].step)}," if training.steps else ""
        return (
            f"The training of the {training.role}{reached} is not finished: its summary is not there or cannot be read."
        )
    shape = summary.architecture
    text = (
        f"The {training.role} has {plural(shape.layers, 'layer')} of width {count(shape.hidden)} and "
        f"{millions(summary.parameters)} parameters. It was trained {_how(summary)}, one run with seed {summary.seed}"
    )
    parts = _objective(run, summary)
    text += f", with {parts}." if parts else "."
    evaluation = training.last_held_out
    if evaluation is None:
        return text
    blind = decimal(math.log(max(1, summary.vocabulary_size)))
    guess = f" (guessing blindly among {count(summary.vocabulary_size)} pieces costs {blind})"
    text += f" Its held-out loss is {decimal(evaluation.mlm)} nats per masked piece{guess}"
    finite = {code: loss for code, loss in evaluation.languages.items() if math.isfinite(loss)}
    if len(finite) > 1:
        low, high = min(finite, key=finite.__getitem__), max(finite, key=finite.__getitem__)
        text += (
            f", from {decimal(finite[low])} in {language(low).name} to {decimal(finite[high])} in {language(high).name}"
        )
    return text + "."


def _family(run: Run, trainings: Sequence[Training]) -> str:
    """Students that were trained side by side, in one paragraph."""
    done = [(training, training.summary) for training in trainings if training.summary]
    if not done:
        names = listing([training.role for training in trainings])
        reached = max((training.steps[-1].step for training in trainings if training.steps), default=0)
        return f"The training of {names}, side by side, is not finished: it has reached step {count(reached)}."
    summary = done[0][1]
    each = []
    for training, its in done:
        shape, evaluation = its.architecture, training.last_held_out
        loss = f", held-out loss {decimal(evaluation.mlm)} nats per masked piece" if evaluation else ""
        size_ = f"{plural(shape.layers, 'layer')} of width {count(shape.hidden)}, {millions(its.parameters)} parameters"
        each.append(f"{training.role} ({size_}{loss})")
    text = (
        f"{plural(len(done), 'student was', 'students were')} trained side by side, each as it would have been alone: "
        f"{listing(each)}. They were trained {_how(summary)}, one run with seed {summary.seed}"
    )
    parts = _objective(run, summary)
    text += f", with {parts}." if parts else "."
    lacking = [training.role for training in trainings if training.summary is None]
    return text + (f" There is no summary of {listing(lacking)}." if lacking else "")


def _how(summary: Summary) -> str:
    """Where the first weights came from, and what followed."""
    start = "from weights cut out of the teacher's" if summary.initialise == "teacher" else "from scratch"
    much = f"{plural(summary.steps, 'step')} and {count(summary.tokens)} pieces"
    return f"{start} in {duration(summary.seconds)}: {much} in {plural(len(summary.languages), 'language')}"


def _objective(run: Run, summary: Summary) -> str:
    """The parts of the objective that were at work, from the summary: equation 5, and what goes beyond it."""
    adversary = summary.objective.get("adversary") or {}
    distillation = summary.objective.get("distillation") or {}
    parts = []
    weights = {
        "distillation": distillation.get("weight"),
        "its hidden states": (distillation.get("hidden") or {}).get("weight"),
        "its attention relations": (distillation.get("relations") or {}).get("weight"),
    }
    at_work = [f"{what} (weight {weight:g})" for what, weight in weights.items() if weight]
    if at_work:
        model = run.recipe.teacher.model if run.recipe else None
        source = model or ("this run's teacher" if "teacher" in run.trainings else "a teacher")
        learned = [part.replace("distillation", f"distillation from {source}", 1) for part in at_work]
        if not weights["distillation"]:
            learned[0] = learned[0].replace("its", f"{source}'s", 1)
        parts += learned
    mode = adversary.get("mode")
    if mode and mode != "none" and adversary.get("weight"):
        parts.append(f"{ADVERSARIES.get(mode, mode)} (weight {adversary['weight']:g})")
    return listing(parts) if parts else ""


def _metric(board: Board) -> str:
    return board.metric_name.removeprefix("entity ")


def _outcome(boards: Sequence[Board], gains: Sequence[Sequence[Gain]]) -> str:
    """Several benchmarks in one paragraph: how much was measured, and what training on all languages brought."""
    if len(boards) < 2:
        return ""
    models = {row.model for board in boards for row in board.rows}
    codes = {code for board in boards for code in board.languages}
    text = (
        f"{plural(len(models), 'model was', 'models were')} measured on {plural(len(boards), 'benchmark')} in "
        f"{plural(len(codes), 'language')}."
    )
    compared = [(board, gain) for board, its in zip(boards, gains, strict=True) for gain in its]
    if not compared:
        return text
    told = []
    for direction, what in ((1, "a gain"), (-1, "a loss")):
        names = [
            board.short_title if len(models) == 1 else f"{gain.model} on {board.short_title}"
            for board, gain in compared
            if gain.direction == direction
        ]
        if names:
            more = [plural(len(names) - _NAMED, "other")] if len(names) > _NAMED else []
            told.append(f"{what} over these seeds in {len(names)} ({listing([*names[:_NAMED], *more])})")
    unclear = sum(not gain.direction for _, gain in compared)
    if unclear:
        told.append(f"no difference that can be told in {unclear}")
    return (
        f"{text} Training on all languages together is compared with training on each by itself "
        f"{plural(len(compared), 'time')}: {listing(told)}."
    )


def _board(board: Board, gains: Sequence[Gain]) -> str:
    best = _best(board)
    models = len({row.model for row in board.rows})
    text = (
        f"{board.title} was measured in {plural(len(board.languages), 'language')} with {plural(models, 'model')} and "
        f"{plural(len(board.seeds), 'seed')}. "
    )
    if best is None:
        text += "No model has a score in every language, so there are no averages to compare."
    else:
        row, mean, _ = best
        text += f"The highest average {_metric(board)} is {decimal(mean, digits(board))} ({row.model}, {row.label})."
    for gain in gains[:4]:
        text += (
            f" {_sentence_start(gain.model)}: training on all languages together changes the average by "
            f"{signed(gain.percent)} %{_bounds(gain)} ({gain.verdict})."
        )
    return text


def _bounds(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return ""
    return f", 95 % interval {signed(gain.low)} to {signed(gain.high)} %"


def _sentence_start(model: str) -> str:
    return f"{model[0].upper()}{model[1:]}" if model in ("student", "teacher") else model


def cautions(run: Run, board: Board) -> list[str]:
    """What the benchmark's numbers cannot tell, given how they were made."""
    found = []
    seeds = board.fewest_seeds
    if seeds == 1:
        found.append(
            "At least one score comes from a single seed. Another seed moves it, often by more than models differ, so "
            "no difference that rests on such a score can be claimed."
        )
    elif seeds < 5:
        found.append(
            f"With {seeds} seeds an interval is wide and itself uncertain. Where intervals overlap, do not rank; where "
            "they do not, treat the difference as a hint to be checked with more seeds."
        )
    else:
        found.append("Where the intervals of two rows overlap much, do not rank them.")
    tested = {code: files.get("test") for result in board.results for code, files in result.data.items()}
    sets = {code: test["samples"] for code, test in tested.items() if test and "samples" in test}
    if sets:
        shown = [f"{code} {count(number)}" for code, number in sorted(sets.items())][:12]
        more = f" and {len(sets) - 12} more" if len(sets) > 12 else ""
        found.append(
            f"Test samples: {', '.join(shown)}{more}. The intervals do not cover which samples these happen to be; "
            "those of single runs do."
        )
    if any(role in {row.model for row in board.rows} for role in run.trainings):
        found.append(
            "Every model that was pre-trained in this run was trained once, with one seed: what another would give "
            "is unknown."
        )
    return found
