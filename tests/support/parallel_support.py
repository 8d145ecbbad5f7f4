"""Line-aligned translations and text of three languages, made on the spot: the same words in another order."""

from pathlib import Path

import numpy as np

from ner_support import FILLERS

CODES = ("de", "fr", "zh")


def write_parallel(folder: Path) -> Path:
    """`set.XX-en.{XX,en}` with 40 sentences each, and `XX.txt` with 90; every language has a word of its own."""
    generator = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    english = [" ".join(generator.choice(FILLERS[:20], 6)) for _ in range(40)]
    for number, code in enumerate(CODES):
        turned = [" ".join([*reversed(line.split()), FILLERS[20 + number]]) for line in english]
        lines = [" ".join([*generator.choice(FILLERS[:20], 6), FILLERS[20 + number]]) for _ in range(90)]
        for name, texts in ((f"set.{code}-en.en", english), (f"set.{code}-en.{code}", turned), (f"{code}.txt", lines)):
            (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder
