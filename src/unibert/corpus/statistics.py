"""Counting what the corpus is made of, and showing it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from unibert.corpus.clean import RULE_NAMES
from unibert.errors import DataError
from unibert.files import read_json
from unibert.languages import language

STATISTICS = "statistics.json"
"""The file's name in a corpus folder."""
SCHEMA = 2
EXTRA_RULES = ("other_language", "duplicate", "near_duplicate")
"""What can be dropped beyond the paper's rules: by language identification, exact and MinHash deduplication."""
ALL_RULES = (*RULE_NAMES, *EXTRA_RULES)
CHANGING_RULES = ("html", "hidden_characters")
"""Those of the paper's rules that change a text; all of them can drop one."""

EXAMPLES = 3
"""Texts that are kept per rule."""
EXAMPLE_CHARACTERS = 200
_LEAD = 60  # characters of an example in front of the change

_COUNTS = (
    "bytes",
    "characters",
    "tokens",
    "samples",
    "pages",
    "redirects",
    "other_namespaces",
    "empty_pages",
    "paragraphs",
)


def empty_counts() -> dict[str, Any]:
    """The counts of nothing: the keys of a language's entry, all zero.

    `rules`: per rule how many paragraphs it changed and dropped. `lengths`: the number of samples by their length in
    tokens, which is a string, as the keys of JSON are. `examples`: per rule the first texts it changed (`before`,
    `after`) or dropped (`text`); no key for a rule that did nothing.
    """
    return {
        **dict.fromkeys(_COUNTS, 0),
        "rules": {name: {"changed": 0, "dropped": 0} for name in ALL_RULES},
        "lengths": {},
        "examples": {},
    }


def add_counts(into: dict[str, Any], counts: Mapping[str, Any]) -> None:
    """Add one entry's counts to another's, in place; `counts` comes after `into` in the order of the corpus."""
    for key in _COUNTS:
        into[key] += counts[key]
    for name in ALL_RULES:
        for what in ("changed", "dropped"):
            into["rules"][name][what] += counts["rules"][name][what]
    lengths = into["lengths"]
    for length, number in counts["lengths"].items():
        lengths[length] = lengths.get(length, 0) + number
    for name, examples in counts["examples"].items():
        into["examples"][name] = [*into["examples"].get(name, []), *examples][:EXAMPLES]


class Recorder:
    """Counts what becomes of the paragraphs of one part of the corpus, told in their order."""

    def __init__(self) -> None:
        self.counts = empty_counts()
        """As `empty_counts` has it; whoever reads the pages adds those to it."""

    def changed(self, rule: str, before: str, after: str) -> None:
        """A rule changed a paragraph."""
        self.counts["rules"][rule]["changed"] += 1
        examples = self.counts["examples"].setdefault(rule, [])
        if len(examples) < EXAMPLES:
            same = next((n for n, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
            start = max(0, same - _LEAD)
            examples.append({"before": _excerpt(before, start), "after": _excerpt(after, start)})

    def dropped(self, rule: str, text: str) -> None:
        """A rule of `ALL_RULES` dropped a paragraph."""
        _count_dropped(self.counts, rule, text)

    def kept(self, text: str, tokens: int) -> None:
        """A paragraph became a sample of so many tokens."""
        _count_sample(self.counts, text, tokens, 1)


def remove_sample(counts: dict[str, Any], rule: str, text: str, tokens: int) -> None:
    """Take a sample that `Recorder.kept` counted out of `counts`, in place: `rule` dropped it after all."""
    _count_sample(counts, text, tokens, -1)
    _count_dropped(counts, rule, text)


def _count_sample(counts: dict[str, Any], text: str, tokens: int, number: int) -> None:
    counts["samples"] += number
    counts["tokens"] += number * tokens
    counts["characters"] += number * len(text)
    counts["bytes"] += number * len(text.encode())
    lengths, length = counts["lengths"], str(tokens)
    lengths[length] = lengths.get(length, 0) + number
    if lengths[length] <= 0:
        del lengths[length]


def _count_dropped(counts: dict[str, Any], rule: str, text: str) -> None:
    counts["rules"][rule]["dropped"] += 1
    examples = counts["examples"].setdefault(rule, [])
    if len(examples) < EXAMPLES:
        examples.append({"text": _excerpt(text, 0)})


def _excerpt(text: str, start: int) -> str:
    """At most `EXAMPLE_CHARACTERS` of a text, with an ellipsis where something is left out."""
    lead = "…" if start else ""
    room = EXAMPLE_CHARACTERS - len(lead)
    rest = text[start:]
    return lead + (rest if len(rest) <= room else rest[: room - 1] + "…")


class Lengths(NamedTuple):
    """How long the samples are, in tokens."""

    mean: float
    quantiles: dict[int, int]
    """By percentage: the least length that so many percent of the samples do not exceed."""
    longest: int

    @property
    def median(self) -> int:
        """Half of the samples are not longer."""
        return self.quantiles[50]


QUANTILES = (5, 25, 50, 75, 95, 99)


def length_summary(lengths: Mapping[str, int]) -> Lengths | None:
    """Mean, quantiles and longest from a histogram as `empty_counts` has it; None if it counts no sample."""
    pairs = sorted((int(length), number) for length, number in lengths.items() if number)
    if not pairs:
        return None
    ends = list(accumulate(number for _, number in pairs))
    mean = sum(length * number for length, number in pairs) / ends[-1]
    # -(-a // b) rounds up without leaving the whole numbers, which a corpus has too many of for floating point.
    quantiles = {share: pairs[bisect_left(ends, -(-ends[-1] * share // 100))][0] for share in QUANTILES}
    return Lengths(mean, quantiles, pairs[-1][0])


def merge_statistics(parts: Iterable[Mapping[str, Any]], token_counter: str, warnings: list[str]) -> dict[str, Any]:
    """The statistics of the corpus from those of its parts.

    Args:
        parts: one entry per input file or per slice of one, in the order of the corpus, with keys file, language, kind,
            file_bytes (of the whole file), damage, counts, and slice: its number, rising within a file; no such key
            for a file that is read whole.
        token_counter: what tokens were counted by.
        warnings: sentences for the reader.
    """
    languages: dict[str, dict[str, Any]] = {}
    totals = empty_counts()
    files: list[dict[str, Any]] = []
    before: Mapping[str, Any] = {}
    for part in parts:
        counts = part["counts"]
        add_counts(languages.setdefault(part["language"], empty_counts()), counts)
        add_counts(totals, counts)
        # Two files in two folders may have one name; the numbers of the slices tell where the second begins.
        if _name(part) != _name(before) or part.get("slice", 0) <= before.get("slice", 0):
            files.append({**_name(part), "bytes": part["file_bytes"], "pages": 0, "samples": 0, "damage": None})
        entry = files[-1]
        for key in ("pages", "samples"):
            entry[key] += counts[key]
        entry["damage"] = "; ".join(filter(None, (entry["damage"], part["damage"]))) or None
        before = part
    for entry in (*languages.values(), totals):
        entry["lengths"] = dict(sorted(entry["lengths"].items(), key=lambda item: int(item[0])))
        entry["examples"] = {name: entry["examples"][name] for name in ALL_RULES if name in entry["examples"]}
    return {
        "schema": SCHEMA,
        "token_counter": token_counter,
        "languages": dict(sorted(languages.items())),
        "files": files,
        "totals": totals,
        "warnings": warnings,
    }


def _name(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part.get(key) for key in ("file", "language", "kind")}


def read_statistics(folder: Path) -> dict[str, Any]:
    """The statistics of a corpus folder.

    Raises:
        DataError: there are none, they are damaged, or an older version wrote them.
    """
    path = folder / STATISTICS
    if not path.exists():
        raise DataError(f"{path}: not there", "Name a corpus folder, or build it: unibert corpus build RECIPE.")
    statistics = read_json(path)
    found = statistics.get("schema") if isinstance(statistics, dict) else None
    if found != SCHEMA:
        raise DataError(
            f"{path}: statistics of version {found}; this is version {SCHEMA}, which also knows how long samples are",
            "Build the corpus again: unibert corpus build RECIPE.",
        )
    try:
        _see_that_it_adds_up(statistics)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: damaged, or changed by hand ({type(error).__name__}: {error})",
            "Delete the file and build the corpus again: unibert corpus build RECIPE.",
        ) from None
    return statistics


def _see_that_it_adds_up(statistics: Mapping[str, Any]) -> None:
    """Fail, in any of many ways, if something is not there, is of another kind or does not fit the totals."""
    total = empty_counts()
    for counts in statistics["languages"].values():
        add_counts(total, counts)
        length_summary(counts["lengths"])
    totals = statistics["totals"]
    add_counts(empty_counts(), totals)
    length_summary(totals["lengths"])
    for key in (*_COUNTS, "rules"):
        if total[key] != totals[key]:
            raise ValueError(f"the languages' {key} do not add up to the total")
    for entry in statistics["files"]:
        _ = [entry[key] for key in ("file", "language", "kind", "bytes", "pages", "samples", "damage")]
    if not isinstance(statistics["token_counter"], str) or not all(isinstance(w, str) for w in statistics["warnings"]):
        raise TypeError("token_counter or warnings are not text")


# --- as text ---

_SHORT = {
    "hidden_characters": "hidden",
    "links_only": "links",
    "other_language": "language",
    "near_duplicate": "near-duplicate",
}


def format_statistics(statistics: Mapping[str, Any]) -> str:
    """Tables as text: what each language has (the largest first), what the rules made of it; damage and warnings."""
    languages = sorted(statistics["languages"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows = [(code, language(code).name, counts) for code, counts in languages]
    rows.append(("", "1 language" if len(rows) == 1 else f"{len(rows)} languages", statistics["totals"]))
    sizes = [
        [
            code,
            name,
            *(f"{counts[key]:,}" for key in ("bytes", "pages", "samples", "tokens")),
            *_length_cells(length_summary(counts["lengths"])),
        ]
        for code, name, counts in rows
    ]
    drop = dropping_rules(statistics["totals"])
    rules = [
        [
            code,
            name,
            f"{counts['paragraphs']:,}",
            *(f"{counts['rules'][rule]['changed']:,}" for rule in CHANGING_RULES),
            *(f"{counts['rules'][rule]['dropped']:,}" for rule in drop),
            share_text(counts["samples"], counts["paragraphs"]),
        ]
        for code, name, counts in rows
    ]
    head = ["", "language", "bytes", "pages", "samples", "tokens", "mean length", "median", "95 %", "longest"]
    lines = [*_table(head, sizes), "", f"Tokens are counted by: {statistics['token_counter']}", ""]
    head = ["", "language", "paragraphs"]
    head += [*(f"{_SHORT.get(r, r)} changed" for r in CHANGING_RULES), *(f"{_SHORT.get(r, r)} dropped" for r in drop)]
    lines += [*_table([*head, "kept"], rules), "", *_rule_lines(statistics["totals"])]
    damage = [entry["damage"] for entry in statistics["files"] if entry["damage"]]
    if damage:
        files = statistics["files"]
        lines += ["", f"Damage in {len(damage)} of {len(files)} files:", *(f"  {text}" for text in damage)]
    warnings = statistics.get("warnings") or []
    if warnings:
        lines += ["", "Warnings:", *(f"  {text}" for text in warnings)]
    return "\n".join(lines)


def dropping_rules(totals: Mapping[str, Any]) -> list[str]:
    """The rules worth a column: the paper's, and of the others those that dropped something."""
    return [rule for rule in ALL_RULES if rule in RULE_NAMES or totals["rules"][rule]["dropped"]]


def share_text(part: int, whole: int) -> str:
    """A share as a percentage, for tables; what is not nothing is not shown as 0."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    return "< 0.01 %" if 0 < percent < 0.005 else f"{percent:.2f} %"


def format_examples(statistics: Mapping[str, Any]) -> str:
    """For every rule a few of the first texts that it changed or dropped, from as many languages as there are."""
    languages = sorted(statistics["languages"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    lines: list[str] = []
    for rule in ALL_RULES:
        # The first of every language, then the second of every language...
        found = [
            (code, counts["examples"][rule][position])
            for position in range(EXAMPLES)
            for code, counts in languages
            if len(counts["examples"].get(rule, [])) > position
        ]
        if found:
            lines += ["", f"{rule}:"]
        for code, example in found[:EXAMPLES]:
            if "before" in example:
                lines += [f"  {code}: {example['before']!r}", f"  {' ' * len(code)}  → {example['after']!r}"]
            else:
                lines.append(f"  {code}: dropped {example['text']!r}")
    return "\n".join(lines[1:]) if lines else "No rule changed or dropped anything."


def _length_cells(found: Lengths | None) -> list[str]:
    if found is None:
        return ["-"] * 4
    return [f"{found.mean:,.1f}", f"{found.median:,}", f"{found.quantiles[95]:,}", f"{found.longest:,}"]


def _rule_lines(totals: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            rule,
            *(
                cell
                for what in ("changed", "dropped")
                for number in [totals["rules"][rule][what]]
                for cell in (f"{number:,}", share_text(number, totals["paragraphs"]))
            ),
        ]
        for rule in dropping_rules(totals)
    ]
    dropped = sum(totals["rules"][rule]["dropped"] for rule in ALL_RULES)
    rows.append(["all rules", "", "", f"{dropped:,}", share_text(dropped, totals["paragraphs"])])
    return _table(["rule", "changed", "share of paragraphs", "dropped", "share of paragraphs"], rows, texts=1)


def _table(head: list[str], rows: list[list[str]], texts: int = 2) -> list[str]:
    """Columns as wide as their widest cell; the first `texts` are text, the others numbers; the last row is the sum."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        left = [cell.ljust(width) for cell, width in pairs[:texts]]
        return "  ".join([*left, *(cell.rjust(width) for cell, width in pairs[texts:])]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return [line(head), rule, *(line(row) for row in rows[:-1]), rule, line(rows[-1])]
