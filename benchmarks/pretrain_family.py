"""Three students from one pass of the teacher, against training each of them by itself, one after another.

Both ways are ours: a step of the family against the sum of a step of Small, one of XSmall and one of XXSmall, on the
same batch of 128 samples of real text. The students come out the same, bit for bit (tested).
"""

from __future__ import annotations

from pairs import report, seconds_of
from pretrain_support import arguments, device_name, our_step, scene

SIZES = ("small", "xsmall", "xxsmall")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with scene(options) as place:
        micro_batches, teacher = place.micro_batches(0), place.teacher()
        together = our_step(place, SIZES, micro_batches, teacher)
        alone = [our_step(place, [size], micro_batches, teacher) for size in SIZES]
        ways = (together, lambda: [step() for step in alone])
        for way in ways:
            way()
        seconds = [[seconds_of(way) for way in ways] for _ in range(options.pairs)]
        report(
            "time of a distillation step: Small, XSmall and XXSmall as a family against three separate runs",
            "s",
            [pair[0] for pair in seconds],
            [pair[1] for pair in seconds],
            asked="at most 0.65",
            device=device_name(place.device),
        )


if __name__ == "__main__":
    main()
