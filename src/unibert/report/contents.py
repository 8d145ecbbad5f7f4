"""The tables of corpus, models and training, made from what the run's files say and from nothing else."""

from __future__ import annotations

from collections.abc import Callable

from unibert.corpus.statistics import length_summary
from unibert.languages import language
from unibert.report.collect import Run
from unibert.report.schema import Corpus, CorpusCounts, Tokens
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, count, decimal, duration, millions, percent, plural, size

# What each cleaning rule does to a paragraph, in the paper's order: (key, heading, which count is its effect).
RULES = (
    ("html", "HTML removed from", "changed"),
    ("links_only", "Only links: dropped", "dropped"),
    ("digits", "Mostly digits: dropped", "dropped"),
    ("hidden_characters", "Hidden characters removed from", "changed"),
    ("short", "Too short: dropped", "dropped"),
)
# What is off by default; shown where it dropped something.
OPTIONAL_RULES = {
    "other_language": "Another language: dropped",
    "duplicate": "Seen before: dropped",
    "near_duplicate": "Nearly seen before: dropped",
}


def number(value: int | None, missing: str = "not in the files") -> Cell:
    """A cell with a whole number."""
    return Cell(count(value), value) if value is not None else Cell(NOTHING, note=missing)


def language_cells(code: str) -> list[Cell]:
    """Three cells: code, English name, native name."""
    entry = language(code)
    return [words(code), words(entry.name), Cell(entry.native, entry.native, language=code)]


LANGUAGE_COLUMNS = [Column("Code", False), Column("Language", False), Column("In the language", False)]


def corpus_table(corpus: Corpus, tokens: Tokens | None) -> Table:
    """Size of every language, the largest first."""
    rows = []
    for code, counts in sorted(corpus.languages.items(), key=lambda item: -item[1].bytes):
        pieces = tokens.languages.get(code) if tokens else None
        rows.append(
            [
                *language_cells(code),
                *_size_cells(counts),
                *(_length_cells(counts) if corpus.totals.lengths else []),
                number(pieces.tokens if pieces else None, "not in the token index"),
                _unknown_cell(pieces.unknown, pieces.tokens)
                if pieces
                else Cell(NOTHING, note="not in the token index"),
            ]
        )
    every = [tokens.languages[code] for code in corpus.languages if code in tokens.languages] if tokens else []
    pieces_total = sum(entry.tokens for entry in every)
    rows.append(
        [
            words("all"),
            words(plural(len(corpus.languages), "language")),
            words(""),
            *_size_cells(corpus.totals),
            *(_length_cells(corpus.totals) if corpus.totals.lengths else []),
            number(pieces_total if every else None, "no token index"),
            _unknown_cell(sum(entry.unknown for entry in every), pieces_total)
            if every
            else Cell(NOTHING, note="no token index"),
        ]
    )
    return Table(
        "corpus",
        "The corpus after cleaning, by language",
        [
            *LANGUAGE_COLUMNS,
            Column("Text", unit="bytes"),
            Column("Samples"),
            Column("Articles"),
            Column("Tokens"),
            *([Column(heading, unit="tokens") for heading in _LENGTHS] if corpus.totals.lengths else []),
            Column("Pieces"),
            Column("Unknown pieces", unit="share"),
        ],
        rows,
        [
            "A sample is a clean paragraph; text is its size in UTF-8.",
            f"Tokens are counted by: {corpus.token_counter}. Pieces are those of this run's tokenizer, held-out "
            "samples included; an unknown piece stands for text that the tokenizer cannot spell.",
        ],
        total=True,
    )


def _size_cells(counts: CorpusCounts) -> list[Cell]:
    return [Cell(size(counts.bytes), counts.bytes), number(counts.samples), number(counts.pages), number(counts.tokens)]


_LENGTHS = ("Mean length", "Median", "Longest")


def _length_cells(counts: CorpusCounts) -> list[Cell]:
    found = length_summary(counts.lengths)
    if found is None:
        return [Cell(NOTHING, note="no samples")] * len(_LENGTHS)
    return [Cell(decimal(found.mean, 1), found.mean), number(found.median), number(found.longest)]


def _unknown_cell(unknown: int, tokens: int) -> Cell:
    if not tokens:
        return Cell(NOTHING, note="no pieces")
    return Cell(percent(unknown / tokens), unknown / tokens)


def rules_table(corpus: Corpus) -> Table:
    """What every cleaning rule did in every language."""
    paper = {rule[0] for rule in RULES}
    extra = [
        (key, OPTIONAL_RULES.get(key, f"{key.replace('_', ' ')}: dropped"), "dropped")
        for key, did in corpus.totals.rules.items()
        if key not in paper and did.dropped
    ]
    rules = [rule for rule in (*RULES, *extra) if rule[0] in corpus.totals.rules]

    def cells(counts: CorpusCounts) -> list[Cell]:
        found = [number(counts.paragraphs)]
        for key, _, effect in rules:
            rule = counts.rules.get(key)
            found.append(number(getattr(rule, effect) if rule else None))
        kept = counts.samples / counts.paragraphs if counts.paragraphs else None
        return [
            *found,
            number(counts.samples),
            Cell(percent(kept, 1), kept) if kept is not None else Cell(NOTHING, note="no paragraphs"),
        ]

    ordered = sorted(corpus.languages.items(), key=lambda item: -item[1].bytes)
    rows = [[words(code), words(language(code).name), *cells(counts)] for code, counts in ordered]
    rows.append([words("all"), words(plural(len(ordered), "language")), *cells(corpus.totals)])
    columns = [Column("Code", False), Column("Language", False), Column("Paragraphs read")]
    columns += [Column(heading) for _, heading, _ in rules]
    columns += [Column("Samples kept"), Column("Kept", unit="share")]
    return Table(
        "cleaning",
        "What the cleaning rules did",
        columns,
        rows,
        ["The rules act in this order; a paragraph that one of them drops is not seen by the next."],
        total=True,
    )


def models_table(run: Run) -> Table:
    """Table 1 of the paper, for the models of this run."""
    rows = []
    for role, training in run.trainings.items():
        summary = training.summary
        if summary is None:
            continue
        shape = summary.architecture
        rows.append(
            [
                words(role),
                number(shape.layers),
                number(shape.hidden),
                number(shape.heads),
                number(shape.feed_forward),
                number(summary.vocabulary_size),
                Cell(millions(summary.parameters), summary.parameters),
                Cell(f"{decimal(summary.megabytes, 1)} MB", summary.megabytes),
                number(summary.steps),
                number(summary.tokens),
                Cell(duration(summary.seconds), summary.seconds),
            ]
        )
    headings = ("Layers", "Hidden", "Heads", "Feed-forward", "Vocabulary", "Parameters")
    columns = [Column("Model", False), *(Column(heading) for heading in headings), Column("Size", unit="MB")]
    columns += [Column("Steps"), Column("Pieces seen"), Column("Training time", unit="seconds")]
    return Table("models", "The models", columns, rows, ["Size is that of the weights in 32-bit floating point."])


def expected_shares(run: Run, group: str) -> dict[str, float]:
    """The mixture the recipe asks for, p(language) proportional to samples ** alpha; empty where that is unknown.

    Args:
        run: whose recipe and tokens.
        group: the models' folder: `student`, `students`, `teacher`.
    """
    settings = run.settings(group)
    if run.tokens is None or settings is None or group not in run.groups:
        return {}
    weights = {
        code: entry.train.samples**settings.alpha for code, entry in run.tokens.languages.items() if entry.train.samples
    }
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def languages_table(run: Run) -> Table | None:
    """Per language: how much of the training it had, and how well it is predicted."""
    columns = [Column("Code", False), Column("Language", False)]
    values: list[dict[str, Cell]] = []

    def add(heading: str, found: dict[str, float], show: Callable[[float], str], unit: str) -> None:
        if found:
            columns.append(Column(heading, unit=unit))
            values.append({code: Cell(show(value), value) for code, value in found.items()})

    for group, trainings in run.groups.items():
        drawn = trainings[0].shares  # those of a family learn from the same samples
        if not drawn and not any(training.last_held_out for training in trainings):
            continue
        add(f"Mixture, {group}", expected_shares(run, group), percent, "share")
        add(f"Drawn, {group}", drawn, percent, "share")
        for training in trainings:
            evaluation = training.last_held_out
            losses = evaluation.languages if evaluation else {}
            add(f"Held-out loss, {training.role}", losses, lambda loss: decimal(loss, 3), "nats")
    if not values:
        return None
    codes = sorted({code for found in values for code in found})
    empty = Cell(NOTHING, note="not in the log")
    rows = [[words(code), words(language(code).name), *(found.get(code, empty) for found in values)] for code in codes]
    return Table(
        "languages",
        "The languages in training",
        columns,
        rows,
        [
            "Mixture: the share of the samples that the recipe asks for; drawn: the share that training took.",
            "Held-out loss: cross-entropy in nats per masked piece on samples that were not trained on, without label "
            "smoothing. Languages differ in how many pieces a word takes, so their losses are not on one scale.",
        ],
    )
