"""What `benchmarks/run.py` keeps, and the table it makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest


def row(script: str, claim: str, device: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "script": script,
        "date": "2026-01-02",
        "claim": claim,
        "unit": "tokens/s",
        "ours": 2000.0,
        "versions": {"torch": "2.13.0"},
        "commit": "abc",
        "hardware": {"processor": "EPYC", "cores": 2},
        **({"device": device} if device else {}),
    } | more


def test_only_the_rows_of_one_script_on_one_machine_are_replaced() -> None:
    import run

    old = [row("a", "one"), row("a", "two"), row("b", "three"), row("b", "three", "H100")]
    kept = run.replaced(old, "b", [row("b", "four")])
    assert [(r["script"], r["claim"]) for r in kept] == [("a", "one"), ("a", "two"), ("b", "three"), ("b", "four")]
    assert [r.get("device") for r in kept] == [None, None, "H100", None]


def test_nothing_is_lost_where_nothing_came_out() -> None:
    import run

    assert run.replaced([row("a", "one")], "a", []) == [row("a", "one")]


def test_each_machine_has_a_table_and_each_row_its_commit() -> None:
    import run

    pair = {"baseline": 100.0, "ratio": 20.0, "lowest": 19.5, "highest": 21.0, "pairs": 3, "asked": "at least 20"}
    lines = run.tables(
        [row("a", "one", **pair), row("a", "two", "NVIDIA H100", commit="def", ratio=0.0123, baseline=1)]
    )
    assert [line for line in lines if line.startswith("On ")] == [
        "On EPYC, 2 cores, torch 2.13.0; made by `make bench`, each row at the commit it names.",
        "On NVIDIA H100 (EPYC, 2 cores), torch 2.13.0; made by `make bench`, each row at the commit it names.",
    ]
    assert (
        "| one | at least 20 | 2,000 tokens/s | 100 tokens/s | **20.00** (19.50 to 21.00, 3 pairs) | abc, 2026-01-02 "
        "| `benchmarks/a.py` |" in lines
    )
    assert any("| two |" in line and "**0.012**" in line and "def, 2026-01-02" in line for line in lines)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks with a README of its own."""
    import run

    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    printed = {key: value for key, value in row("good", "fine").items() if key not in ("script", "date")}
    for name, code in {
        "good": f"import json; print('noise'); print(json.dumps({printed!r}))",
        "bad": "raise SystemExit('broken')",
        "silent": "import sys; print('no data here', file=sys.stderr)",
    }.items():
        (tmp_path / "benchmarks" / f"{name}.py").write_text(code)
    monkeypatch.setattr(run, "HERE", tmp_path / "benchmarks")
    monkeypatch.setattr(run, "RESULTS", tmp_path / "benchmarks" / "results.jsonl")
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    return tmp_path


def test_chosen_scripts_are_run_and_the_others_rows_stay(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import run

    run.RESULTS.write_text(
        "".join(json.dumps(r) + "\n" for r in (row("silent", "kept"), row("good", "gone"), row("removed", "gone")))
    )
    monkeypatch.setattr("sys.argv", ["run.py", "benchmarks/good.py", "silent"])
    run.main()
    readme = (house / "README.md").read_text()
    assert readme.startswith("before\n<!-- benchmarks -->\n") and readme.endswith("<!-- /benchmarks -->\nafter\n")
    assert "| fine |" in readme and "| kept |" in readme
    assert "gone" not in readme and "old" not in readme
    assert [r["claim"] for r in run.read_rows(run.RESULTS)] == ["fine", "kept"]


def test_what_was_measured_before_a_failure_is_kept(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import run

    monkeypatch.setattr("sys.argv", ["run.py", "good", "bad"])
    with pytest.raises(SystemExit, match="bad failed:\nbroken"):
        run.main()
    assert [r["claim"] for r in run.read_rows(run.RESULTS)] == ["fine"]


def test_an_unknown_name_is_refused(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import run

    monkeypatch.setattr("sys.argv", ["run.py", "god"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no such benchmark: god; there are bad, good, silent" in capsys.readouterr().err


def test_a_report_has_medians_and_the_range_of_the_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    from pairs import report

    report("claim", "tokens/s", [10.0, 30.0, 20.0], [5.0, 5.0, 5.0], asked="at least 2", device=None)
    found = json.loads(capsys.readouterr().out)
    assert (found["ours"], found["baseline"], found["ratio"]) == (20.0, 5.0, 4.0)
    assert (found["lowest"], found["highest"], found["pairs"], found["asked"]) == (2.0, 6.0, 3, "at least 2")
    assert "device" not in found
    report("alone", "%", [1.0, 3.0, 2.0])
    found = json.loads(capsys.readouterr().out)
    assert (found["ours"], found["lowest"], found["highest"], found["runs"]) == (2.0, 1.0, 3.0, 3)
    assert "ratio" not in found
