"""What a benchmark measured, in a model card: the section that people read and the `model-index` that the hub reads.

Both are put into a card that stands there already, so that everything else in it stays as it is, edits by hand too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unibert.languages import language
from unibert.pretrain.card_tables import folded, table

START = "<!-- Written by `unibert benchmark`, from here; delete this line to keep the card as it is. -->"
_END = "<!-- To here. -->"
_TASK_TYPES = {
    "ner": "token-classification",
    "nli": "text-classification",
    "qa": "question-answering",
    "sts": "sentence-similarity",
}
"""The hub's names for the tasks."""
_METRIC_TYPES = {"macro_f1": "f1", "pearson": "pearsonr"}
"""The hub's names for metrics, where they are others than ours."""


@dataclass(frozen=True)
class Measured:
    """One number of a benchmark's table."""

    task: str
    task_title: str
    benchmark: str
    benchmark_title: str
    setting: str
    """With what sets the row apart, such as `all (epochs 3)`."""
    code: str | None
    """The language; None for the average over all `languages`."""
    languages: tuple[str, ...]
    """Those of the benchmark."""
    metric: str
    metric_name: str
    value: float
    """The mean over seeds, rounded as tables show it."""
    margin: float | None
    """Half the width of the 95 % interval over seeds; None with one seed."""
    seeds: int
    places: int
    """Decimals."""

    @property
    def shown(self) -> str:
        """As a table has it."""
        margin = "" if self.margin is None else f" ± {self.margin:.{self.places}f}"
        return f"{self.value:.{self.places}f}{margin}"


def evaluation_section(measured: Sequence[Measured]) -> str:
    """The section between its two marks; without results it says that there are none."""
    lines = [START, "## Evaluation", ""]
    if not measured:
        lines.append("No benchmark has been run on it yet.")
    else:
        lines.append(
            "Scores after fine-tuning, on test data. Each: fine-tuned and tested on one language; all: fine-tuned once "
            "on every language together. With several seeds the mean and half the width of its 95 % interval over "
            "seeds; the choice of test data is not in that interval."
        )
    for benchmark in dict.fromkeys(number.benchmark for number in measured):
        lines += ["", *_benchmark([number for number in measured if number.benchmark == benchmark])]
    return "\n".join([*lines, _END])


def _benchmark(measured: Sequence[Measured]) -> list[str]:
    """A table with a row per language and a column per setting, folded where it is long."""
    first = measured[0]
    settings = list(dict.fromkeys(number.setting for number in measured))
    cells = {(number.code, number.setting): number.shown for number in measured}
    seeds = sorted({number.seeds for number in measured})
    told = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seed{'s' * (seeds[0] > 1)}"
    rows = [
        (code or "", language(code).name if code else "average", *(cells.get((code, name), "-") for name in settings))
        for code in (*first.languages, None)
        if any((code, name) in cells for name in settings)
    ]
    head = ("code", "language", *settings)
    lines = table(head, rows, texts=2)
    title = f"{first.task_title}, {first.benchmark_title}: {first.metric_name}, {told}"
    return folded(title, lines) if len(rows) > 12 else [f"{title}.", "", *lines]


def model_index(name: str, measured: Iterable[Measured]) -> str:
    """The hub's `model-index` in YAML, with a line end; empty without results.

    Args:
        name: of the model.
        measured: what is told.
    """
    from huggingface_hub import EvalResult, ModelCardData

    found = [
        EvalResult(
            task_type=_TASK_TYPES.get(number.task, number.task),
            task_name=number.task_title,
            dataset_type=number.benchmark,
            dataset_name=number.benchmark_title,
            dataset_config=number.code,
            dataset_split="test",
            metric_type=_METRIC_TYPES.get(number.metric, number.metric),
            metric_name=_metric(number),
            metric_value=number.value,
        )
        for number in measured
    ]
    return str(ModelCardData(model_name=name, eval_results=found).to_yaml()) + "\n" if found else ""


def _metric(number: Measured) -> str:
    """`entity F1, all, mean of 3 seeds`: what the hub shows beside the value."""
    average = f", average over {len(number.languages)} languages" if number.code is None else ""
    seeds = f"mean of {number.seeds} seeds" if number.seeds > 1 else "one seed"
    margin = "" if number.margin is None else f" (± {number.margin:.{number.places}f})"
    return f"{number.metric_name}{average}, {number.setting}, {seeds}{margin}"


def with_results(card: str, measured: Sequence[Measured]) -> str | None:
    """The card with these results in place of those that it told before.

    Returns:
        The card; None where it has no mark, since it is somebody's own or of an older version.
    """
    place = re.compile(f"{re.escape(START)}.*?{re.escape(_END)}", re.DOTALL)
    head = re.match(r"---\n(.*?\n)---\n", card, re.DOTALL)
    if not place.search(card) or head is None:
        return None
    title = re.search(r"^# (.+)$", card, re.MULTILINE)
    # A key of YAML reaches to the next line that begins with one.
    kept = re.sub(r"^model-index:.*\n(?:[ \t-].*\n)*", "", head[1], flags=re.MULTILINE)
    index = model_index(title[1] if title else "UniBERT", measured)
    body = place.sub(lambda _: evaluation_section(measured), card[head.end() :], count=1)
    return f"---\n{kept}{index}---\n{body}"
