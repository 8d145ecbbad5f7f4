"""The processor's own counters of energy, where there are some."""

from __future__ import annotations

from pathlib import Path

import pytest

from unibert.deploy import energy
from unibert.deploy.energy import EnergyMeter, find_meter


def write_zone(place: Path, zone: str, name: str, counter: str = "1000", whole: str = "262143328850") -> Path:
    folder = place / zone
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", counter), ("max_energy_range_uj", whole)):
        (folder / file).write_text(f"{text}\n")
    return folder


def test_packages_are_counted_and_their_parts_are_not(tmp_path):
    first, second = (write_zone(tmp_path, f"intel-rapl:{n}", f"package-{n}", str(100 * n)) for n in (0, 1))
    write_zone(tmp_path, "intel-rapl:0:0", "core")
    write_zone(tmp_path, "intel-rapl:2", "psys")
    (tmp_path / "intel-rapl").mkdir()
    meter = find_meter(tmp_path)
    assert isinstance(meter, EnergyMeter)
    assert meter.counters == (first / "energy_uj", second / "energy_uj")
    before = meter.read()
    (first / "energy_uj").write_text("2500000\n")
    (second / "energy_uj").write_text("500100\n")
    assert before == [0, 100]
    assert meter.joules(before, meter.read()) == pytest.approx(2.5 + 0.5)


def test_a_counter_that_began_again_is_followed():
    meter = EnergyMeter((Path("a"), Path("b")), (10_000_000, 10_000_000))
    assert meter.joules([9_000_000, 1_000_000], [2_000_000, 1_500_000]) == pytest.approx(3.0 + 0.5)


@pytest.mark.parametrize("made", [False, True])
def test_a_machine_without_counters_says_so(tmp_path, made):
    if made:
        write_zone(tmp_path, "intel-rapl:0", "psys")
    told = find_meter(tmp_path if made else tmp_path / "none")
    assert isinstance(told, str) and "does not expose RAPL" in told and str(tmp_path) not in told


def test_counters_for_the_administrator_only(tmp_path, monkeypatch):
    write_zone(tmp_path, "intel-rapl:0", "package-0")

    def denied(self: EnergyMeter) -> list[int]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(energy.EnergyMeter, "read", denied)
    assert find_meter(tmp_path) == "this machine's RAPL counters may be read by the administrator only"


def test_counters_that_are_damaged(tmp_path):
    (write_zone(tmp_path, "intel-rapl:0", "package-0") / "energy_uj").write_text("many")
    assert "cannot be read" in find_meter(tmp_path)
