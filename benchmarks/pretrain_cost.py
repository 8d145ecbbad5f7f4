"""The share of the machine's own matrix peak that training uses, and what the paper's million steps would cost.

Steps of 128 samples, once the lines of the text as they are, once joined to about the paper's mean of 110 tokens; the
cost follows from the latter. The peak is that of large matrix products in the number format of the run, measured in the
same process. Counted are the operations that a step needs on real tokens (`unibert.models.flops`), so that padding,
full heads and recomputation would lower the share.

Days on this machine come from the measured rate. Days on an A100 or an H100 come from the same count of operations and
the data sheets' dense bfloat16 peaks, at a stated share of them: the share measured here, if this is a GPU, else an
assumption, and said to be one. The paper took 60 GPU-days per model: two A100 for 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pairs import report, seconds_of
from pretrain_support import KINDS, Scene, arguments, device_name, our_step, scene
from unibert.models.flops import step_flops
from unibert.models.peak import matrix_peak
from unibert.models.precision import resolve_precision

MEMBERS = {
    "XXSmall": ("xxsmall",),
    "XSmall": ("xsmall",),
    "Small": ("small",),
    "the family of three": ("small", "xsmall", "xxsmall"),
}
STEPS, BATCH, PAPER_SAMPLE = 1_000_000, 128, 110
PAPER_GPU_DAYS = 60
DATA_SHEET = {"A100": 312e12, "H100": 989e12}
"""Dense bfloat16, operations per second."""
ASSUMED_SHARE = 0.35
DAY = 86_400  # seconds


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for kind in KINDS:
        with scene(options, kind) as place:
            for name, sizes in MEMBERS.items():
                measured = measure(place, name, sizes, options.repeats, f"{name}, {kind}")
                if kind == "paragraphs":
                    tell_the_cost(measured, name, len(sizes), place)


@dataclass(frozen=True)
class Measured:
    """Steps of some students on one batch."""

    seconds: list[float]
    tokens: int
    operations: int
    """That a step needs."""
    share: float
    """Of the peak, the median."""


def measure(place: Scene, name: str, sizes: tuple[str, ...], repeats: int, title: str) -> Measured:
    """Time some steps and print their share of the peak."""
    micro_batches = place.micro_batches(0)
    lengths = [length for batch in micro_batches for length in batch.lengths]
    rows, tokens = sum(len(batch.rows) for batch in micro_batches), sum(lengths)
    shapes = [place.students[size] for size in sizes]
    needed = step_flops(shapes, place.teacher_shape, lengths, rows, place.special.vocabulary_size)
    precision = resolve_precision(place.settings.precision, place.device)
    update = our_step(place, sizes, micro_batches)
    update()
    peak = matrix_peak(place.device, precision)
    seconds = [seconds_of(update) for _ in range(repeats)]
    row = report(
        f"share of the measured matrix peak ({peak / 1e12:.3g} TFLOP/s), {title} of {tokens / len(lengths):.0f} tokens",
        "%",
        [100 * needed / took / peak for took in seconds],
        asked="at least 45" if place.device.type == "cuda" else "at least 25",
        device=device_name(place.device),
    )
    return Measured(seconds, tokens, needed, row["ours"] / 100)


def tell_the_cost(measured: Measured, name: str, models: int, place: Scene) -> None:
    """Print what the paper's run would take: here, at the rate measured, and on the paper's kind of GPU."""
    device, on_gpu = device_name(place.device), place.device.type == "cuda"
    paper = PAPER_GPU_DAYS * models
    steps = STEPS * BATCH * PAPER_SAMPLE / measured.tokens  # so many like the measured one are the paper's run
    days = [steps * seconds / DAY for seconds in measured.seconds]
    claim = f"on paper: 1 M steps of {BATCH} samples of {PAPER_SAMPLE} tokens, {name}"
    if on_gpu:
        report(
            f"{claim}, at the rate measured, against the paper's", "GPU-days", days, [paper] * len(days), device=device
        )
    else:
        report(f"{claim}, at the rate measured", f"days of {torch.get_num_threads()} cores", days, device=device)
    share = measured.share if on_gpu else ASSUMED_SHARE
    source = f"the {share:.0%} of the peak measured here" if on_gpu else f"an assumed {share:.0%} of its peak"
    gpu_days = {gpu: steps * measured.operations / (peak * share) / DAY for gpu, peak in DATA_SHEET.items()}
    report(
        f"{claim}, estimated for an A100 at {source} ({gpu_days['H100']:.2g} on an H100), against the paper's",
        "GPU-days",
        [gpu_days["A100"]],
        [paper],
        device=device,
    )


if __name__ == "__main__":
    main()
