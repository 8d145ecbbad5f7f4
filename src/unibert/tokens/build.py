"""The clean corpus as token shards: one language after another, each finished once and for all."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tqdm import tqdm

from unibert import runs
from unibert.errors import DataError
from unibert.files import fingerprint, read_json, sha256_of_file, write_json
from unibert.progress import progress_bar
from unibert.recipe import Tokens
from unibert.tokenizer_files import load_tokenizer_file
from unibert.tokens.encode import (
    COLUMNS,
    Choice,
    Encoded,
    Encoder,
    choose,
    encode,
    encoding_workers,
    open_samples,
    pieces_of,
    read_rows,
    text_bytes,
)
from unibert.tokens.heldout import HeldOut
from unibert.tokens.store import (
    HELD_OUT,
    INDEX,
    SPLITS,
    TRAIN,
    check_contents,
    check_sizes,
    shard_path,
    write_index,
    write_split,
)
from unibert.tokens.vocabulary import SpecialIds, save_tokenizer, tokenizer_fingerprint, train_tokenizer

CHARACTERS_PER_LANGUAGE = 2_000_000
"""A tokenizer is trained on at most this much of each language, so that large languages do not crowd out small ones."""
UNKNOWN_WARNING = 0.05
"""Share of [UNK] among a language's tokens above which the build warns."""


def build_tokens(
    settings: Tokens, corpus: Path, output: Path, tokenizer_folder: Path, recipe: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Tokenise `corpus`/LANG.parquet into `output`, after training or copying the tokenizer.

    A language whose input, settings and tokenizer have not changed, and whose files are sound, is not built again;
    all others are. The store is usable once its `index.json` is written, last of all.

    Args:
        settings: what to do.
        corpus: folder of Parquet files with the columns source, page_id and text; the file's stem is the language.
        output: the store's folder.
        tokenizer_folder: gets the tokenizer in Hugging Face's format.
        recipe: the whole resolved recipe, saved for the reader.
        seed: decides which pages are held out.

    Returns:
        The index's `languages`, with `tokenizer_sha256`, `vocabulary_size`, `built` and `reused` (languages),
        `warnings` (sentences) and `seconds`.

    Raises:
        DataError: no corpus, a damaged Parquet file, an unusable tokenizer, or not one usable sample.
        RunMismatch: `output` holds the tokens of other settings.
    """
    began = time.perf_counter()
    inputs = _corpus_files(corpus)
    if settings.workers is not None:
        # The library's thread pool reads this once, when it is first used.
        os.environ.setdefault("RAYON_NUM_THREADS", str(settings.workers))
    named = load_tokenizer_file(settings.tokenizer) if settings.tokenizer else None
    # The tokenizer's content and not its path, so that a folder may be moved.
    named_mark = tokenizer_fingerprint(named) if named else None
    identity = {
        "tokens": {**settings.model_dump(mode="json", exclude={"workers"}), "tokenizer": named_mark},
        "seed": seed,
    }
    runs.open_run(output, "tokens", identity, recipe)
    checksums = _checksums(inputs)
    made_from: dict[str, Any] = {"tokenizer_sha256": named_mark}
    if named is None:
        made_from = {
            "vocabulary_size": settings.vocabulary_size,
            "characters_per_language": CHARACTERS_PER_LANGUAGE,
            "corpus": checksums,
        }
    record = _record_path(output, "tokenizer")
    tokenizer, mark = _prepare_tokenizer(named, made_from, inputs, tokenizer_folder, record)
    special = SpecialIds.of(tokenizer)
    wanted = {
        language: {"input": checksums[language], "settings": fingerprint(identity), "tokenizer_sha256": mark}
        for language in inputs
    }
    entries = _finished_languages(output, wanted, special.vocabulary_size)
    reused, pending = list(entries), [language for language in inputs if language not in entries]
    if pending:
        (output / INDEX).unlink(missing_ok=True)  # it would name files that are about to change
        entries |= _build_languages(settings, {name: inputs[name] for name in pending}, output, tokenizer, seed, wanted)
    entries = {language: entry for language, entry in entries.items() if entry[TRAIN]["samples"]}
    if not entries:
        raise DataError(f"{corpus}: not one sample yields a token", "Check the corpus and the tokenizer.")
    write_index(output, mark, special.vocabulary_size, entries)
    _print_shares(entries)
    warnings = _warnings(inputs, entries, settings.held_out_share)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return {
        "tokenizer_sha256": mark,
        "vocabulary_size": special.vocabulary_size,
        "languages": dict(sorted(entries.items())),
        "built": pending,
        "reused": reused,
        "warnings": warnings,
        "seconds": time.perf_counter() - began,
    }


def _corpus_files(corpus: Path) -> dict[str, Path]:
    """The Parquet file of each language, sorted; every one of them opens and has the columns that are needed."""
    inputs = {path.stem: path for path in sorted(corpus.glob("*.parquet")) if not path.name.startswith(".")}
    statistics = read_json(corpus / "statistics.json") if (corpus / "statistics.json").exists() else {"languages": {}}
    gone = [code for code, counts in statistics["languages"].items() if counts["samples"] and code not in inputs]
    if gone:
        raise DataError(
            f"{corpus}: statistics.json names {', '.join(gone)}, but there is no {gone[0]}.parquet",
            "Run `unibert corpus build` again.",
        )
    if not inputs:
        raise DataError(f"{corpus}: no LANG.parquet here", "Run `unibert corpus build` first.")
    for path in inputs.values():
        missing = [column for column in COLUMNS if column not in open_samples(path).schema_arrow.names]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)}", "Build the corpus again.")
    return inputs


def _checksums(inputs: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    result = {}
    total = sum(path.stat().st_size for path in inputs.values())
    with progress_bar(total, "checking the corpus", "B", unit_scale=True, leave=False) as bar:
        for language, path in inputs.items():
            result[language] = {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
            bar.update(path.stat().st_size)
    return result


def _prepare_tokenizer(
    named: Tokenizer | None, made_from: Mapping[str, Any], inputs: Mapping[str, Path], folder: Path, record: Path
) -> tuple[Tokenizer, str]:
    """The tokenizer that is named, or one trained on the corpus, saved in `folder`; and its fingerprint.

    What an earlier build made from the same is used as it is.
    """
    saved = _saved_tokenizer(folder, record, made_from)
    if saved is not None:
        return saved
    tokenizer = named
    if tokenizer is None:
        texts: list[str] = []
        with progress_bar(len(inputs), "reading for the tokenizer", "language", leave=False) as bar:
            for path in inputs.values():
                texts += _excerpt(path, CHARACTERS_PER_LANGUAGE)
                bar.update()
        print(f"training a tokenizer of {made_from['vocabulary_size']:,} pieces", file=sys.stderr)
        tokenizer = train_tokenizer(texts, made_from["vocabulary_size"])
    save_tokenizer(tokenizer, folder)
    mark = tokenizer_fingerprint(tokenizer)
    write_json(record, {"made_from": made_from, "tokenizer_sha256": mark})
    return tokenizer, mark


def _saved_tokenizer(folder: Path, record: Path, made_from: Mapping[str, Any]) -> tuple[Tokenizer, str] | None:
    """The tokenizer in the folder and its fingerprint, if it is the one that an earlier build made from the same."""
    if not record.exists():
        return None
    try:
        found = read_json(record)
        tokenizer = load_tokenizer_file(str(folder))
    except DataError as error:
        print(f"{error.message}; the tokenizer is made again", file=sys.stderr)
        return None
    mark = tokenizer_fingerprint(tokenizer)
    complete = (folder / "tokenizer.json").exists() and (folder / "tokenizer_config.json").exists()
    same = found == {"made_from": made_from, "tokenizer_sha256": mark}
    return (tokenizer, mark) if complete and same else None


def _excerpt(path: Path, characters: int) -> list[str]:
    """About `characters` of a language's text, spread evenly over the file; all of it when there is less."""
    every = max(1, text_bytes(path) // characters)
    texts: list[str] = []
    taken = 0
    for number, (text,) in enumerate(itertools.chain.from_iterable(read_rows(path, ["text"]))):
        if number % every == 0:
            texts.append(text)
            taken += len(text)
            if taken >= characters:
                break
    return texts


def _record_path(output: Path, name: str) -> Path:
    """What a language's files (or the tokenizer) were made from."""
    return output / f"{name}.record.json"


def _finished_languages(output: Path, wanted: Mapping[str, Any], vocabulary_size: int) -> dict[str, Any]:
    """The index entries of the languages that need no work."""
    candidates = [language for language in wanted if _record_path(output, language).exists()]
    paths = [shard_path(output, language, split, "bin") for language in candidates for split in SPLITS]
    entries = {}
    total = sum(path.stat().st_size for path in paths if path.exists())
    with progress_bar(total, "checking earlier shards", "B", unit_scale=True, leave=False) as bar:
        for language in candidates:
            entry = _finished(output, language, wanted[language], vocabulary_size, bar)
            if entry is not None:
                entries[language] = entry
    return entries


def _finished(
    output: Path, language: str, wanted: Mapping[str, Any], vocabulary_size: int, bar: tqdm[Any]
) -> dict[str, Any] | None:
    """The index entry of a language that needs no work: same input, settings and tokenizer, and sound files."""
    path = _record_path(output, language)
    try:
        record = read_json(path)
        if any(record.get(key) != value for key, value in wanted.items()):
            return None
        entry: dict[str, Any] = record["entry"]
        for split in SPLITS:
            check_sizes(output, language, split, entry[split])
            check_contents(output, language, split, entry[split], vocabulary_size, bar)
    except DataError as error:
        print(f"{error.message}; {language} is built again", file=sys.stderr)
        return None
    except (KeyError, TypeError, AttributeError):
        print(f"{path}: not a record of this program; {language} is built again", file=sys.stderr)
        return None
    return entry


def _build_languages(
    settings: Tokens,
    inputs: Mapping[str, Path],
    output: Path,
    tokenizer: Tokenizer,
    seed: int,
    wanted: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Choose the held-out pages of every language, then encode all their row groups in order."""
    entries = {}
    files = {language: open_samples(path).metadata for language, path in inputs.items()}
    held_out: dict[str, HeldOut] = {}
    rest = Encoder(tokenizer.to_str())
    size = sum(text_bytes(path) for path in inputs.values())
    total = sum(metadata.num_rows for metadata in files.values())
    with encoding_workers(tokenizer, settings.workers or runs.usable_cores(), size) as run:
        share, most = settings.held_out_share, settings.held_out_samples
        choices = (Choice(path, language, seed, share, most) for language, path in inputs.items())
        with progress_bar(total, "choosing held-out pages", "sample", unit_scale=True, leave=False) as bar:
            for language, chosen in zip(inputs, run(choose, choices), strict=True):
                held_out[language] = chosen
                bar.update(files[language].num_rows)
        pieces = run(
            encode, (piece for language, path in inputs.items() for piece in pieces_of(path, held_out[language]))
        )
        with progress_bar(total, "tokenising", "sample", unit_scale=True) as bar:
            for language in inputs:
                bar.set_postfix_str(language, refresh=False)
                own = itertools.islice(pieces, files[language].num_row_groups)
                entries[language] = _build_language(output, language, own, held_out[language].texts, rest, bar)
                write_json(_record_path(output, language), {**wanted[language], "entry": entries[language]})
    return entries


def _build_language(
    output: Path, language: str, pieces: Iterable[Encoded], held_out: list[str], encoder: Encoder, bar: tqdm[Any]
) -> dict[str, Any]:
    """Write both splits of a language; a held-out text that training has too is left out of the held-out split."""
    unknown = 0
    repeated: set[str] = set()
    with write_split(output, language, TRAIN) as train, write_split(output, language, HELD_OUT) as rest:
        for piece in pieces:
            train.add_joined(piece.ids, piece.lengths)
            unknown += piece.unknown
            repeated |= piece.repeated
            bar.update(piece.rows)
        ids, lengths, unknown_there = encoder.encode([text for text in held_out if text not in repeated])
        rest.add_joined(ids, lengths)
        return {TRAIN: train.entry(), HELD_OUT: rest.entry(), "unknown": unknown + unknown_there}


def _print_shares(entries: Mapping[str, Any]) -> None:
    """One line per language, the largest first."""
    total = sum(entry[TRAIN]["tokens"] for entry in entries.values())
    header = f"{'language':<12}{'samples':>12}{'held out':>10}{'tokens':>16}{'share':>9}{'unknown':>10}"
    print(header, file=sys.stderr)
    for language, entry in sorted(entries.items(), key=lambda item: -item[1][TRAIN]["tokens"]):
        train = entry[TRAIN]
        print(
            f"{language:<12}{train['samples']:>12,}{entry[HELD_OUT]['samples']:>10,}{train['tokens']:>16,}"
            f"{train['tokens'] / total:>9.2%}{_unknown_share(entry):>10.3%}",
            file=sys.stderr,
        )


def _unknown_share(entry: Mapping[str, Any]) -> float:
    tokens = entry[TRAIN]["tokens"] + entry[HELD_OUT]["tokens"]
    return entry["unknown"] / tokens if tokens else 0.0


def _warnings(inputs: Mapping[str, Path], entries: Mapping[str, Any], held_out_share: float) -> list[str]:
    warnings = [f"{name}: no sample yields a token; the language is left out" for name in inputs if name not in entries]
    for language, entry in sorted(entries.items()):
        if _unknown_share(entry) > UNKNOWN_WARNING:
            warnings.append(f"{language}: {_unknown_share(entry):.1%} of the tokens are unknown to the tokenizer")
        if held_out_share > 0 and not entry[HELD_OUT]["samples"]:
            warnings.append(f"{language}: no held-out sample (one page, or its held-out texts are also in training)")
    return warnings
