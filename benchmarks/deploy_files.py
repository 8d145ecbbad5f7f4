"""How large the int8 files of our sizes are: the encoder, and the encoder with its head for masked language modelling.

With mBERT's vocabulary of 119,547 pieces and random weights, of which the size does not depend. The baseline is the
same model's ONNX file in float32.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from deploy_latency import shape_of
from pairs import report
from unibert.deploy.export import export_model
from unibert.deploy.latency_models import make_shape
from unibert.deploy.quantise import quantise_model
from unibert.models.sizes import SIZES
from unibert.models.student import build_student

NAMES = {"xxsmall": "XXSmall", "small": "Small"}
ASKED = {"xxsmall": "at most 21", "small": "at most 90"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--quick", action="store_true", help="tiny models: does it run?")
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "model"
            configuration = shape_of(size, options.quick)
            make_shape(configuration, folder)  # for its tokenizer
            shape = SIZES[size]
            if options.quick:
                shape = shape.model_copy(update={"layers": 1, "hidden": 16, "heads": 2, "feed_forward": 24})
            build_student(shape, configuration["vocab_size"], 0, 1).save_pretrained(folder)
            for kind, what in (("encoder", "the encoder"), ("head", "with its head for masked language modelling")):
                exported = export_model(folder, Path(name) / kind, kind).folder
                found = quantise_model(exported, minimum_cosine=None)  # random weights
                claim = f"file of {NAMES[size]} in int8 ONNX against float32, {what}"
                report(claim, "MB", [found.bytes / 1e6], [found.bytes_before / 1e6], asked=f"{ASKED[size]} MB")


if __name__ == "__main__":
    main()
