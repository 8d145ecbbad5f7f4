"""A model with the vocabulary that some languages need: fewer pieces, the same answers on what is kept.

Most of a small multilingual model is its table of pieces: 119,547 of them are 15.3 of UniBERT-XXSmall's 18.9 million
parameters. (The idea is that of Abdaoui, Pradel and Sigel, Load what you need, 2020, arXiv 2010.05609.) What is kept
stands in `trim_pieces`, why text is spelled as before in `trim_tokenizer`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.deploy.source import Deployable, load_deployable
from unibert.deploy.trim_card import trim_card
from unibert.deploy.trim_coverage import Coverage, check_coverage, check_scripts, measure_coverage
from unibert.deploy.trim_pieces import (
    Choice,
    Kept,
    choose_pieces,
    count_pieces,
    letters_by_script,
    spells_word_by_word,
    units_of,
)
from unibert.deploy.trim_tokenizer import Vocabulary, open_trimmed, write_trimmed
from unibert.deploy.trim_weights import required_ids, write_trimmed_model
from unibert.errors import DataError, check_names
from unibert.files import atomic_folder, see_that_it_is_free, telling_of_full_disk, write_json
from unibert.languages import LANGUAGES
from unibert.models.positions import position_limit
from unibert.progress import progress_bar
from unibert.universality.sentences import LEAST_TEXTS, find_texts

FACTS = "trim.json"
CARD = "README.md"
SCHEMA = 1
MOST_TEXTS = 50_000
"""Texts of each language that are read."""
_HELD_OUT = 10
"""One of so many texts has no say in what is kept."""
_SAMPLE = 100
"""Texts of each language that show whether a word is spelled by itself."""
_CHECKED = 4
"""Texts of each language that go through both models."""
_TRIED = 1000
"""So many are looked at for that: not every text is spelled with kept pieces only."""
_LONGEST = 64
"""Of these, in tokens."""
_TOLERANCE = 1e-4
"""Of outputs, relative to the largest: float32's rounding, and no more."""


@dataclass(frozen=True)
class Size:
    """Of a model."""

    pieces: int
    """Rows of its embedding table."""
    parameters: int
    """Tied ones once."""
    float32: int
    """Bytes of the parameters."""
    int8: int
    """Bytes, estimated: a byte for each number of a matrix and a float32 scale for each of its rows; vectors stay."""

    @classmethod
    def of(cls, model: Any) -> Size:
        """Count a model's parameters."""
        shapes = [tuple(parameter.shape) for parameter in model.parameters()]
        numbers = [int(parameter.numel()) for parameter in model.parameters()]
        int8 = sum(
            number + 4 * shape[0] if len(shape) > 1 else 4 * number
            for shape, number in zip(shapes, numbers, strict=True)
        )
        rows = int(model.get_input_embeddings().weight.shape[0])
        return cls(rows, sum(numbers), 4 * sum(numbers), int8)

    def facts(self) -> dict[str, int]:
        """For JSON."""
        return {
            "pieces": self.pieces,
            "parameters": self.parameters,
            "float32_bytes": self.float32,
            "int8_bytes_estimated": self.int8,
        }


@dataclass(frozen=True)
class Trimmed:
    """What came of it."""

    name: str
    """The original model's."""
    before: Size
    after: Size
    kept: Kept
    coverage: dict[str, Coverage]
    """By language."""
    checked: int
    """Texts that went through both models."""
    difference: float | None
    """The largest between the two models' outputs for the kept pieces; None where no text could be compared."""

    def facts(self) -> dict[str, Any]:
        """trim.json."""
        kept = self.kept
        return {
            "schema": SCHEMA,
            "source": self.name,
            "before": self.before.facts(),
            "after": self.after.facts(),
            "kept": {
                "special": len(kept.special),
                "alphabet": len(kept.alphabet - kept.special),
                "used": len(kept.used - kept.alphabet - kept.special),
            },
            "languages": {code: coverage.facts() for code, coverage in self.coverage.items()},
            "check": {"texts": self.checked, "largest_difference": self.difference},
        }


def trim_on_files(
    source: Path | str,
    output: Path,
    paths: Sequence[Path | str],
    languages: Collection[str] | None = None,
    choice: Choice | None = None,
    least: float = 0.9,
    most: int = MOST_TEXTS,
    seed: int = 1,
) -> Trimmed:
    """Trim a model to what the texts in some files need.

    Args:
        source: see `trim_model`.
        output: see `trim_model`.
        paths: text by language: `XX.txt[.gz]`, folders of them, a corpus folder (see `sentences.find_texts`).
        languages: codes; only these of the languages that there is text of.
        choice: see `trim_model`.
        least: see `trim_model`.
        most: texts of each language that are drawn.
        seed: of the draw.

    Raises:
        RecipeError: an unknown language.
        DataError: no text, none of a language that is named, or what `trim_model` refuses.
    """
    see_that_it_is_free(output)
    if not paths:
        raise DataError(
            "no text is given, and only text tells which pieces a language needs",
            "Name some with --text: de.txt or de.txt.gz with a sentence or paragraph a line, a folder of such files, "
            "or the corpus folder of a run; any text of the language will do, such as a Wikipedia dump's "
            "(unibert corpus).",
        )
    texts, left_out = find_texts(paths, languages, most, seed)
    for code in languages or ():
        if code in texts:
            continue
        check_names("--languages", [code], [*LANGUAGES, *texts], "the languages: `unibert languages` lists them")
        damaged = [f"{name}: {reason}" for name, reason in left_out.items() if name.startswith(f"{code}.")]
        raise DataError(
            "; ".join([f"{code}: {left_out.get(code, 'no text of it was found')}", *damaged]),
            f"Give at least {LEAST_TEXTS} different lines of {code}, a sentence or paragraph each: {code}.txt.",
        )
    if not texts:
        raise DataError(
            f"no text to go by: {'; '.join(f'{name}: {reason}' for name, reason in left_out.items())}",
            "Give more text, a sentence or paragraph a line.",
        )
    return trim_model(source, output, texts, choice, least)


def trim_model(
    source: Path | str,
    output: Path,
    texts: Mapping[str, Sequence[str]],
    choice: Choice | None = None,
    least: float = 0.9,
) -> Trimmed:
    """Write a model with the pieces that texts need, and prove that it answers as before.

    Kept are the special pieces, an alphabet to spell unseen words with, and what the texts use (see
    `trim_pieces.choose_pieces`). The last tenth of each language's texts has no say: what is lost is measured on it.

    Args:
        source: a model's folder, a finished run's, or a name on the Hugging Face hub; with or without a head.
        output: appears when all of it is written; must not be there yet.
        texts: by language; in no order.
        choice: how much of what the texts use; all when None.
        least: a language of which less is kept is refused: share of the pieces of held-out text that are kept and not
            [UNK]. At 0 nothing is refused, nor is text in another script than the language's.

    Raises:
        DataError: what `load_deployable` refuses; a tokenizer that cannot be trimmed; there is something at the
            output's place; an empty text; text of another script than its language's; fewer pieces asked for than are
            always kept; too little kept of a language.
    """
    see_that_it_is_free(output)
    held_out = {code: list(own[-max(1, len(own) // _HELD_OUT) :]) for code, own in texts.items()}
    counted = {code: list(own[: len(own) - len(held_out[code])]) for code, own in texts.items()}
    for code, its_texts in counted.items():
        if not any(text.strip() for text in its_texts):
            raise DataError(f"{code}: its text is empty", "Give text in this language, a sentence or paragraph a line.")
    if not counted:
        raise DataError("no text is given", "Give text of at least one language.")
    model = load_deployable(source)
    vocabulary = Vocabulary(model.tokenizer, model.name)
    backend = vocabulary.backend
    sample = [text for own in counted.values() for text in own[:_SAMPLE]]
    by_words = spells_word_by_word(backend, sample)
    units = {code: units_of(own, by_words) for code, own in counted.items()}
    letters = {code: letters_by_script(own) for code, own in units.items()}
    if least > 0:
        check_scripts(vocabulary, letters)
    with progress_bar(2 * len(texts), "spelling", " languages", leave=False) as bar:
        counts = {}
        for code, own in units.items():
            counts[code] = count_pieces(backend, own, vocabulary.rows)
            bar.update()
        kept = choose_pieces(vocabulary, counts, letters, choice or Choice(), required_ids(model.model))
        numbered = vocabulary.numbered(kept.all)
        tree = vocabulary.trimmed(numbered)
        trimmed = open_trimmed(tree, numbered, vocabulary, model.name)
        coverage = {}
        for code, unseen in held_out.items():
            spelled = units_of(unseen, by_words)
            coverage[code] = measure_coverage(vocabulary, trimmed, kept.all, len(counted[code]), len(unseen), spelled)
            bar.update()
    check_coverage(coverage, least)
    with telling_of_full_disk(output), atomic_folder(output) as scratch:
        write_trimmed_model(model.folder, scratch, model.model, model.tokenizer, numbered)
        write_trimmed(model.tokenizer, tree, scratch)
        written = load_deployable(scratch, model.kind)
        examples = [own + counted[code] for code, own in held_out.items()]
        checked, difference = compare_models(model, written, numbered, examples)
        result = Trimmed(model.name, Size.of(model.model), Size.of(written.model), kept, coverage, checked, difference)
        write_json(scratch / FACTS, result.facts())
        (scratch / CARD).write_text(trim_card(result.facts(), model, output.name), encoding="utf-8")
    return result


def compare_models(
    before: Deployable, after: Deployable, numbered: Sequence[int], groups: Sequence[Sequence[str]]
) -> tuple[int, float | None]:
    """Send texts that are spelled with kept pieces only through both models.

    Args:
        before: the original.
        after: the trimmed one.
        numbered: old ids in the order of the new ones.
        groups: of texts; four at most are taken of each, cut to 64 tokens.

    Returns:
        The number of texts, and the largest difference of the outputs; of a head that fills masks, for kept pieces.

    Raises:
        DataError: a text is spelled otherwise, or the outputs differ by more than rounding.
    """
    import torch

    new_id = {old: new for new, old in enumerate(numbered)}
    unknown = before.tokenizer.unk_token_id
    longest = min(_LONGEST, position_limit(before.model) or _LONGEST)
    fix = "This model cannot be trimmed; please report it with its name."
    difference = None
    checked = 0
    for group in groups:
        found = 0
        for text in group[:_TRIED]:
            if found == _CHECKED:
                break
            inputs = before.tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
            old = inputs["input_ids"][0].tolist()
            if unknown in old or not all(number in new_id for number in old):
                continue
            found += 1
            again = after.tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
            if again["input_ids"][0].tolist() != [new_id[number] for number in old]:
                raise DataError(f"model {before.name}: the trimmed tokenizer spells {text[:60]!r} otherwise", fix)
            with torch.inference_mode():
                outputs = [model(**batch).to_tuple() for model, batch in ((before.model, inputs), (after.model, again))]
            for one, other in zip(*outputs, strict=True):
                wanted = one[..., list(numbered)] if before.task == "fill-mask" else one
                its = float((wanted - other).abs().max())
                if not its <= _TOLERANCE * max(1.0, float(wanted.abs().max())):
                    raise DataError(f"model {before.name}: the trimmed model's outputs differ by {its:.1e}", fix)
                difference = max(difference or 0.0, its)
        checked += found
    return checked, difference
