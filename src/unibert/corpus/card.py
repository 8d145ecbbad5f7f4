"""The data set card: what a corpus is, where it is from, whose it is, and what is wrong with it, for those who use it.

Markdown with the front matter that the Hugging Face hub and `datasets.load_dataset` read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unibert.corpus.clean import RULE_NAMES
from unibert.corpus.download import read_downloads
from unibert.corpus.statistics import dropping_rules, length_summary, share_text
from unibert.errors import DataError
from unibert.files import atomic_file, read_json
from unibert.languages import language
from unibert.recipe import Corpus
from unibert.runs import RUN_FILE

CARD = "README.md"
_MARK = "<!-- Written by unibert. Delete this line to keep your own changes: the card is then not written again. -->"

# Where Wikipedia's code is no language tag, or that of another language.
_TAGS = {"als": "gsw", "be-tarask": "be", "nds-nl": "nds", "no": "nb", "simple": "en"}
_DUMP_DATE = re.compile(r"^[a-z_]+-(20\d\d)(\d\d)(\d\d)-")
_WHAT_RULES_DO = {
    "html": "HTML artefacts (left-over tags and entities) are removed",
    "links_only": "samples that hold only URLs or ISBNs are dropped",
    "digits": "samples of which more than {digits} are digits are dropped",
    "hidden_characters": "zero-width, control and format characters are removed",
    "short": "samples of fewer than {tokens} tokens are dropped",
    "other_language": "paragraphs in another language are dropped (language identification: {model})",
    "duplicate": "paragraphs that stood before in the same language are dropped",
    "near_duplicate": "paragraphs that are nearly the same as one before are dropped (MinHash)",
}
_FAULTS = (
    "Most of what templates produce is not there: numbers with their units, dates, infoboxes. A sentence "
    "may have a gap where one stood. Tables, lists of references, captions, formulas and code are left out as well.",
    "In some Wikipedias (ceb, war, vo, min, sv and others) much was written by programs, in few patterns.",
    "Quotations, names and whole paragraphs in other languages are part of Wikipedia, and so of this text, unless "
    "language identification is among the rules below.",
    "Names and facts about living people are as Wikipedia had them on the day of the dump. What was corrected since "
    "is not corrected here.",
    "What has an article, and how it is told, follows who writes Wikipedia: languages, places, men and women are not "
    "covered alike.",
)


def write_card(
    folder: Path, statistics: Mapping[str, Any], settings: Corpus | None, corpus: Path | None = None
) -> bool:
    """Write `folder`/README.md, unless someone made the card there their own by deleting its mark.

    Args:
        folder: where the card goes.
        statistics: of the corpus.
        settings: what the corpus was made with; None where that is not recorded.
        corpus: the corpus folder, whose run.json says how it was made; `folder` when None.

    Returns:
        Whether it was written.
    """
    path = folder / CARD
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    with atomic_file(path) as stream:
        stream.write(card_text(statistics, settings, recorded_run(corpus or folder)))
    return True


def recorded_run(folder: Path) -> dict[str, Any]:
    """The run.json of a corpus; {} where it is not there or damaged."""
    try:
        found = read_json(folder / RUN_FILE)
    except (DataError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def recorded_settings(folder: Path) -> Corpus | None:
    """The settings a corpus was made with, from its run.json; None where that cannot be read."""
    try:
        return Corpus.model_validate(recorded_run(folder)["recipe"]["corpus"])
    except (KeyError, TypeError, ValidationError):
        return None


def card_text(statistics: Mapping[str, Any], settings: Corpus | None, run: Mapping[str, Any]) -> str:
    """The card.

    Args:
        statistics: of the corpus.
        settings: what the corpus was made with; None where that is not recorded.
        run: the corpus' run.json, for command, versions and commit.
    """
    languages = [(code, counts) for code, counts in _by_size(statistics) if counts["samples"]]
    other = [entry for entry in statistics["files"] if entry["kind"] != "dump"]
    dumps = [entry for entry in statistics["files"] if entry["kind"] == "dump"]
    lines = [
        *_front_matter(languages, bool(dumps), bool(other), statistics["totals"]["samples"]),
        "",
        _MARK,
        "",
        "# Clean text in " + ("1 language" if len(languages) == 1 else f"{len(languages)} languages"),
        "",
        f"{statistics['totals']['samples']:,} paragraphs ({statistics['totals']['bytes']:,} bytes of UTF-8) "
        f"{_from(dumps, other)}, cleaned by rules, one Parquet file per language. Made by UniBERT.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'paragraphs = load_dataset("this/folder", "{languages[0][0] if languages else "de"}")["train"]',
        "```",
        "",
        *_columns(bool(other)),
        "",
        *_sizes(statistics, languages),
        "",
        *_cleaning(statistics, settings),
        "",
        *_sources(statistics, settings),
        "",
        *_licence(dumps, other),
        "",
        *_faults(statistics, bool(dumps)),
        "",
        *_reproduce(settings, run),
    ]
    return "\n".join(lines) + "\n"


def _front_matter(languages: Sequence[tuple[str, Any]], dumps: bool, other: bool, samples: int) -> Iterator[str]:
    """YAML; every string in quotation marks, because the language `no` is *false* without them."""
    yield "---"
    if languages:
        yield "language:"
        yield from (f"- {json.dumps(tag)}" for tag in dict.fromkeys(_TAGS.get(code, code) for code, _ in languages))
    yield "license:"
    yield from (f'- "{name}"' for name, there in (("cc-by-sa-4.0", dumps), ("gfdl", dumps), ("other", other)) if there)
    yield from ("task_categories:", '- "fill-mask"', '- "text-generation"')
    yield from ("multilinguality:", f'- "{"multilingual" if len(languages) > 1 else "monolingual"}"')
    yield from ("size_categories:", f"- {json.dumps(_size_category(samples))}")
    if languages:
        yield "configs:"
        for code, _ in languages:
            yield from (f"- config_name: {json.dumps(code)}", f"  data_files: {json.dumps(f'{code}.parquet')}")
    yield "---"


def _size_category(samples: int) -> str:
    """The hub's name for this many rows: `10K<n<100K`."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    if samples < 1_000:
        return "n<1K"
    power = min(len(str(samples)) - 4, len(names) - 1)
    return f"{names[power]}<n<{names[power + 1]}" if power < len(names) - 1 else "n>1T"


def _from(dumps: Sequence[Any], other: Sequence[Any]) -> str:
    found = ["the articles of Wikipedia"] if dumps else []
    found += ["other text (see the sources)"] if other else []
    return f"from {' and '.join(found)}" if found else "from no file"


def _columns(other: bool) -> list[str]:
    rows = {
        "text": "the paragraph: one line, Unicode normal form C, single spaces",
        "language": "code of the Wikipedia it is from",
        "title": "of the article",
        "page_id": "of the article in its Wikipedia: `https://CODE.wikipedia.org/?curid=PAGE_ID`",
        "section": "headings above the paragraph",
        "source": "name of the file it was read from",
    }
    if other:
        rows["title"] += "; empty for text that has none"
        rows["page_id"] += "; for other text the document's own number or its place in the file, 0 for plain text"
    return ["| column | what it holds |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in rows.items())]


def _sizes(statistics: Mapping[str, Any], languages: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    head = ("code", "language", "bytes", "articles", "samples", "tokens", "mean", "median", "95 %", "longest")
    rows = []
    for code, counts in [*languages, ("all", statistics["totals"])]:
        found = length_summary(counts["lengths"])
        lengths = (
            ("-",) * 4 if found is None else (f"{found.mean:,.1f}", found.median, found.quantiles[95], found.longest)
        )
        name = "" if code == "all" else language(code).name
        rows.append((code, name, *(counts[key] for key in ("bytes", "pages", "samples", "tokens")), *lengths))
    return [
        "## Languages",
        "",
        f"A sample is a paragraph. Tokens are counted by: {_plain(statistics['token_counter'])}; the last four columns "
        "are lengths of samples in tokens.",
        "",
        *_table(head, rows, texts=2),
    ]


def _cleaning(statistics: Mapping[str, Any], settings: Corpus | None) -> list[str]:
    totals = statistics["totals"]
    known = {"digits": "the allowed share", "tokens": "the least number of", "model": "a fastText model"}
    off: set[str] = set()
    if settings is not None:
        rules = settings.rules
        known = {"digits": f"{rules.max_digit_share:.0%}", "tokens": str(rules.min_tokens)}
        known["model"] = f"{Path(settings.identify.model or 'none').name}, from {settings.identify.min_score:g} up"
        off = {name for name in RULE_NAMES if not getattr(rules, name)}
    rows = [
        (
            name,
            "switched off" if name in off else _WHAT_RULES_DO[name].format(**known),
            totals["rules"][name]["changed"],
            totals["rules"][name]["dropped"],
            share_text(totals["rules"][name]["dropped"], totals["paragraphs"]),
        )
        for name in dropping_rules(totals)
    ]
    return [
        "## Cleaning",
        "",
        f"{totals['paragraphs']:,} paragraphs went through these rules, in this order; a paragraph that one of them "
        "drops is not seen by the next.",
        "",
        *_table(("rule", "what it does", "changed", "dropped", "share dropped"), rows, texts=2),
    ]


def _sources(statistics: Mapping[str, Any], settings: Corpus | None) -> list[str]:
    downloads = _downloads(settings)
    rows = []
    for entry in statistics["files"]:
        record = downloads.get(entry["file"], {})
        found = _DUMP_DATE.match(entry["file"]) or re.match(r"(\d{4})(\d\d)(\d\d)$", str(record.get("date", "")))
        date = "-".join(found.groups()[-3:]) if found else "-"
        check = f"sha1 {record['sha1']}" if record.get("sha1") else f"md5 {record['md5']}" if record.get("md5") else "-"
        name = _plain(entry["file"])
        name = f"[{name}]({record['url']})" if str(record.get("url", "")).startswith(("http://", "https://")) else name
        rows.append((name, entry["language"], date, check, entry["bytes"], entry["samples"]))
    hub = [f"- Hugging Face hub: {_plain(name)}" for name in settings.hub] if settings else []
    head = ("file", "language", "date", "checksum", "bytes", "samples")
    return ["## Sources", "", *([*hub, ""] if hub else []), *_table(head, rows, texts=4)]


def _downloads(settings: Corpus | None) -> dict[str, dict[str, Any]]:
    """What `unibert corpus download` noted about the dumps, by file name."""
    found: dict[str, dict[str, Any]] = {}
    for pattern in settings.dumps if settings else ():
        path = Path(pattern).expanduser()
        try:
            found |= read_downloads(path if path.is_dir() else path.parent)
        except (DataError, OSError):
            continue  # the card does without
    return found


def _licence(dumps: Sequence[Any], other: Sequence[Any]) -> list[str]:
    lines = ["## Licence and attribution", ""]
    if dumps:
        lines += [
            "The text is by the authors of Wikipedia, under the [Creative Commons Attribution-ShareAlike 4.0]"
            "(https://creativecommons.org/licenses/by-sa/4.0/) licence and, for most of it, also under the "
            "[GNU Free Documentation Licence](https://www.gnu.org/licenses/fdl-1.3.html); see "
            "[Wikimedia's terms of use](https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use). Every sample "
            "has its article's title and page number, and the history of that page names its authors: "
            "`https://CODE.wikipedia.org/w/index.php?curid=PAGE_ID&action=history`. It was changed: markup was removed "
            "and the rules above were applied. Whoever passes this text on, changed or not, does so under the same "
            "licence and with this attribution.",
            "",
        ]
    if other:
        lines += [
            f"**{len(other):,} of the files are not dumps of Wikipedia.** Their licences are those of their owners and "
            "are not known to UniBERT; nothing above covers them. Whoever publishes this corpus has to name them here, "
            "and in place of `other` at the top of this card.",
            "",
        ]
    return lines[:-1]


def _faults(statistics: Mapping[str, Any], dumps: bool) -> list[str]:
    damage = [entry["damage"] for entry in statistics["files"] if entry["damage"]]
    lines = ["## Known faults", ""]
    lines += [f"- {text}" for text in _FAULTS] if dumps else []
    lines += [f"- Not all of a file could be read: {_plain(text)}" for text in damage]
    lines += [f"- {_plain(text)}" for text in statistics.get("warnings") or ()]
    return lines if len(lines) > 2 else [*lines, "None that are known."]


def _reproduce(settings: Corpus | None, run: Mapping[str, Any]) -> list[str]:
    lines = ["## How to make it again", ""]
    versions = run.get("versions")
    if isinstance(versions, Mapping):
        lines += [
            f"With {', '.join(f'{_plain(str(name))} {_plain(str(number))}' for name, number in versions.items())}"
            + (f", UniBERT at commit `{run['commit']}`" if run.get("commit") else "")
            + ". The result does not depend on the machine or on how many workers there are.",
            "",
        ]
    command = run.get("command")
    if command:
        lines += ["```bash", *(line for line in str(command).splitlines() if not line.startswith("```")), "```", ""]
    if settings is None:
        return [*lines, "The recipe is not recorded."]
    lines += ["The recipe's settings that are not the default:", "", "```toml", "[corpus]"]
    chosen = settings.model_dump(mode="json", exclude_defaults=True, exclude={"executor", "workers"})
    lines += [f"{key} = {json.dumps(_without_folders(value), ensure_ascii=False)}" for key, value in _flat(chosen)]
    return [*lines, "```"]


def _flat(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        elif value is not None:
            yield f"{path}{key}", value


def _without_folders(value: Any) -> Any:
    """Absolute paths without the folders of the machine they were on: the card may travel."""
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _by_size(statistics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(statistics["languages"].items(), key=lambda item: (-item[1]["bytes"], item[0]))


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], texts: int) -> list[str]:
    """A Markdown table whose first columns are text and whose others are numbers."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    marks = ["---" if column < texts else "--:" for column in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in ([*head], marks, *cells)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line: names and titles come from outside."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(str(text).split()))
