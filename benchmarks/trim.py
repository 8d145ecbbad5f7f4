"""What trimming takes and leaves: UniBERT-XXSmall under mBERT's 119,547 pieces, on text of five European languages.

Timed is all of it, reading the text and writing the folder included. Sizes are those of the ONNX file in
int8, as `unibert export` and `unibert quantise` write it. The second model has only the most used pieces, of each
language alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from ner_finetuning import random_encoder
from pairs import report, seconds_of
from pretrain_support import DATA
from unibert.deploy.export import export_model
from unibert.deploy.quantise import quantise_model
from unibert.deploy.trim import trim_on_files
from unibert.deploy.trim_pieces import Choice

LANGUAGES = ["de", "en", "es", "fr", "it"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an encoder; UniBERT-XXSmall with random weights without")
    parser.add_argument("--text", nargs="+", default=[DATA / "text"], help="files or folders, XX.txt[.gz]")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--pieces", type=int, default=24_500, help="of the smallest model")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not all(Path(path).exists() for path in options.text):
        sys.exit(f"no text at {options.text}: see the README of the data")
    os.environ["UNIBERT_QUIET"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or random_encoder(folder / "model")
        choices = {"everything": Choice(), "fewer": Choice(pieces=options.pieces)}
        found, seconds = {}, []
        for number in range(options.repeats):
            for what, choice in choices.items():
                output = folder / f"{what}-{number}"

                def once(output: Path = output, choice: Choice = choice, what: str = what) -> None:
                    found[what] = trim_on_files(model, output, options.text, options.languages, choice)

                seconds.append(seconds_of(once))
        sizes = {what: onnx_size(folder / f"{what}-0", folder / f"{what}-onnx") for what in choices}
        whole = onnx_size(model, folder / "whole-onnx")
    shape = options.model.name if options.model else "XXSmall"
    named = ", ".join(options.languages)
    claim = f"trimming {shape}, {found['everything'].before.pieces:,} pieces, on text in {named}"
    report(claim, "s", seconds, asked="at most 120")
    for what, asked in (("everything", "at most 10"), ("fewer", "goal 7")):
        trimmed = found[what]
        least = min(own.pieces for own in trimmed.coverage.values())
        claim = (
            f"{shape} trimmed to {named}, int8 ONNX file: {trimmed.after.pieces:,} pieces, "
            f"{trimmed.after.parameters / 1e6:.2f} of {trimmed.before.parameters / 1e6:.2f} million parameters, at "
            f"least {least:.1%} of held-out pieces kept in each language"
        )
        report(claim, "MB", [sizes[what] / 1e6], [whole / 1e6], asked=asked)


def onnx_size(model: Path, folder: Path) -> int:
    """Bytes of a model's ONNX file in int8."""
    export_model(model, folder)
    # Of random weights no embedding says anything: how far int8 moves them is not asked here.
    return quantise_model(folder, minimum_cosine=None).bytes


if __name__ == "__main__":
    main()
