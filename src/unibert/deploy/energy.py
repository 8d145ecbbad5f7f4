"""How much energy the processor took, by its own counters (RAPL), where the system lets them be read.

RAPL (running average power limit) counts microjoules per processor package, everything that runs on it included; Linux
has it below /sys/class/powercap, for Intel's processors and AMD's alike, and since 5.10 for the administrator only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class EnergyMeter:
    """The counters of all packages."""

    counters: tuple[Path, ...]
    ranges: tuple[int, ...]
    """Microjoules after which each begins again at 0."""

    def read(self) -> list[int]:
        """Where the counters stand, in microjoules.

        Raises:
            OSError: they cannot be read any more.
        """
        return [_number(path) for path in self.counters]

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """What was taken between two readings; each counter may have begun again once.

        Args:
            before: from `read`.
            after: from a later one.
        """
        taken = 0
        for start, end, whole in zip(before, after, self.ranges, strict=True):
            taken += end - start if end >= start else end - start + whole
        return taken / 1e6


def find_meter(place: Path = POWERCAP) -> EnergyMeter | str:
    """The counters of this machine; why there are none, as text without a full stop.

    Args:
        place: where Linux has them.
    """
    try:
        zones = sorted(zone for zone in place.glob("intel-rapl:*") if zone.name.count(":") == 1)
        # Other zones are parts of a package, or the whole machine, a package's energy once more.
        packages = [zone for zone in zones if (zone / "name").read_text(encoding="utf-8").startswith("package")]
    except OSError as error:
        return f"this machine's RAPL counters cannot be read ({error.strerror or error})"
    if not packages:
        return "this machine does not expose RAPL counters (virtual machines and containers seldom do)"
    try:
        ranges = tuple(_number(zone / "max_energy_range_uj") for zone in packages)
        meter = EnergyMeter(tuple(zone / "energy_uj" for zone in packages), ranges)
        meter.read()
    except PermissionError:
        return "this machine's RAPL counters may be read by the administrator only"
    except (OSError, ValueError) as error:
        return f"this machine's RAPL counters cannot be read ({getattr(error, 'strerror', None) or error})"
    return meter


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))
