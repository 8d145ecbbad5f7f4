"""The paper's printed tables, and what follows from them by an independent calculation (fractions, scipy, loops)."""

from __future__ import annotations

import csv
import subprocess
import tomllib
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unibert.benchmark.gains import gains
from unibert.errors import DataError
from unibert.report import paper_checks
from unibert.report.paper import (
    FOUR_TASKS,
    TABLES,
    amount,
    models_table,
    paper_board,
    paper_claims,
    paper_models,
    printed_table,
    read_models,
    read_scores,
)
from unibert.report.paper_checks import (
    SCALES,
    Check,
    average_checks,
    best_scale,
    best_t_test,
    checks,
    mean_gains,
    t_readings,
    t_test,
)
from unibert.report.paper_page import readings_table, scales_table, write_paper_report

OWN = ["UniBERT-Small", "UniBERT-XSmall", "UniBERT-XXSmall"]
BASELINES = ["Distil-mBERT-base", "mBERT-base", "XLM-RoBERTa-base", "XLM-RoBERTa-large", "XLM-V-base"]
SHARED = Path(__file__).parents[3] / "shared" / "paper"


def printed(number: int) -> dict[tuple[str, str, str], str]:
    """The cells of a table as text, read without the package's reader."""
    (name,) = [
        entry.name
        for entry in files("unibert.report").joinpath("printed").iterdir()
        if entry.name.startswith(f"table{number}_")
    ]
    lines = files("unibert.report").joinpath("printed", name).read_text(encoding="utf-8").splitlines()
    return {(row["model"], row["setting"], row["language"]): row["score"] for row in csv.DictReader(lines)}


def average(number: int, model: str, setting: str) -> float:
    return float(printed(number)[model, setting, "Avg"])


def test_the_tables_are_package_data():
    names = {entry.name for entry in files("unibert.report").joinpath("printed").iterdir()}
    assert names == {"table1_models.csv", "claims.csv", *(f"{table.file}.csv" for table in TABLES)}
    # Cells of the paper, typed from it.
    assert printed(2)["mBERT-base", "each", "nl"] == "90.05"
    assert printed(5)["Distil-mBERT-base", "mono", "fr"] == "0.820"
    assert printed(6)["Distil-mBERT-base", "each", "mt"] == "39.44"


def test_the_tables_get_into_the_wheel():
    """Hatchling takes every file of the package that git does not ignore."""
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "src/unibert" in wheel["only-include"] and wheel["sources"]["src/unibert"] == "unibert"
    assert wheel["exclude"] == ["web/node_modules"]
    folder = root / "src/unibert/report/printed"
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *folder.glob("*.csv")], cwd=root, capture_output=True, text=True
    )
    if ignored.returncode == 128:
        pytest.skip("not in a git checkout")
    assert (ignored.returncode, ignored.stdout) == (1, "")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the copies that they were made from are not here")
def test_the_tables_are_unchanged_copies():
    for path in SHARED.glob("table*.csv"):
        assert files("unibert.report").joinpath("printed", path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_every_printed_cell_is_in_its_table(table):
    shown = printed_table(table)
    labels = [column.label.partition(" ")[0] for column in shown.columns]
    labels[-2:] = ["", "Avg"]
    cells = {}
    for row in shown.rows:
        for label, cell in zip(labels[2:], row[2:], strict=True):
            if label and cell.value is not None:
                cells[row[0].text, row[1].text, label] = cell.text
    assert cells == printed(table.number)
    missing = [cell for row in shown.rows for cell in row if cell.value is None]
    assert all(cell.text == "—" and cell.note for cell in missing)
    assert bool(missing) == (table.number == 5), "in STS three languages have no training part"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_bold_is_the_highest_of_its_column(table):
    shown = printed_table(table)
    for position in range(2, len(shown.columns)):
        cells = [row[position] for row in shown.rows if row[position].value is not None]
        if not cells:
            continue  # in STS no row of `each` has every language, but the others have
        best = max(float(cell.text) for cell in cells)
        assert [float(cell.text) == best for cell in cells] == [cell.strong for cell in cells]


def test_table_1_has_the_papers_models():
    shown = models_table()
    assert [row[0].text for row in shown.rows] == [*BASELINES, *OWN]
    xxsmall = shown.rows[-1]
    assert [cell.value for cell in xxsmall[1:]] == [4, 128, 4, 120_000, 19_000_000, 74_000_000]
    assert xxsmall[5].text == "19M"
    assert [model.name for model in paper_models() if model.own] == OWN


def test_gains_of_a_printed_table_are_those_of_its_scores():
    cells = printed(3)
    codes = sorted({code for _, _, code in cells} - {"Avg"})
    for gain in gains(paper_board(TABLES[1])):
        each, joint = (fmean(float(cells[gain.model, setting, code]) for code in codes) for setting in ("each", "all"))
        assert gain.percent == pytest.approx(100 * (joint / each - 1))
        assert gain.low is None and gain.verdict == "printed without an interval: nothing can be concluded"


def naive_gain(model: str, scale) -> float:
    totals = {}
    for setting in ("each", "all"):
        scores = [average(number, model, setting) for number in (2, 3, 4)]
        totals[setting] = sum(scores) + scale(average(5, model, setting))
    return 100 * (totals["all"] / totals["each"] - 1)


FIGURE_3 = dict(zip([*OWN, *BASELINES], [3.76, 10.33, 9.08, 1.51, 0.62, 2.11, 0.44, 0.95], strict=True))


def test_the_claims_are_the_printed_ones():
    found = {claim.subject: claim.value for claim in paper_claims() if claim.claim == "gain"}
    assert found == FIGURE_3
    assert [claim.printed for claim in paper_claims() if claim.claim in ("t", "p")] == ["2.714", "0.0181", "0.0184"]


@pytest.mark.parametrize("scale", SCALES)
def test_figure_3_is_the_ratio_of_averages_over_four_tasks(scale):
    written = {"r": lambda r: r, "(r + 1) / 2": lambda r: (r + 1) / 2, "100 r": lambda r: 100 * r}
    written["100 (r + 1) / 2"] = lambda r: 100 * (r + 1) / 2
    for gain in mean_gains(scale):
        assert gain.percent == pytest.approx(naive_gain(gain.model, written[scale]))


def test_figure_3_follows_within_five_hundredths_with_sts_as_printed():
    found = {gain.model: gain.percent for gain in mean_gains("r")}
    for model, value in FIGURE_3.items():
        if model != "XLM-V-base":
            assert abs(found[model] - value) < 0.05
    assert [round(found[model], 2) for model in [*OWN, *BASELINES]] == [
        3.78, 10.37, 9.13, 1.53, 0.63, 2.13, 0.46, 1.63
    ]  # fmt: skip


def test_figure_3_follows_exactly_with_sts_mapped_and_not_scaled():
    found = {gain.model: gain.percent for gain in mean_gains("(r + 1) / 2")}
    assert {model for model in FIGURE_3 if round(found[model], 2) == FIGURE_3[model]} == {*FIGURE_3} - {"XLM-V-base"}
    assert round(fmean(found[model] for model in OWN), 2) == 7.72
    assert round(fmean(found[model] for model in BASELINES[:4]), 2) == 1.17
    assert round(found["XLM-V-base"], 2) == 1.60
    assert best_scale() == "(r + 1) / 2"


def test_the_headline_depends_on_the_scale_of_sts():
    found = {gain.model: gain.percent for gain in mean_gains("100 r")}
    assert [round(found[model], 2) for model in OWN] == [6.08, 11.59, 10.63]
    assert [round(found[model], 2) for model in BASELINES] == [3.42, 1.72, 4.54, 4.15, 4.90]
    rounded = round(fmean(found[model] for model in OWN), 2), round(fmean(found[model] for model in BASELINES), 2)
    assert rounded == (9.43, 3.75)


def scipy_t(models_a: list[str], models_b: list[str], mapped: bool):
    groups = []
    for models in (models_a, models_b):
        found = []
        for model in models:
            for number in (2, 3, 4, 5):
                each, joint = (average(number, model, setting) for setting in ("each", "all"))
                if number == 5 and mapped:
                    each, joint = (each + 1) / 2, (joint + 1) / 2
                found.append(100 * (joint - each) / each)
        groups.append(found)
    return stats.ttest_ind(*groups, equal_var=False), groups


@pytest.mark.parametrize("baselines", [4, 5])
@pytest.mark.parametrize(("scale", "mapped"), [("r", False), ("(r + 1) / 2", True), ("100 (r + 1) / 2", True)])
def test_the_t_test_is_scipys(scale, mapped, baselines):
    expected, groups = scipy_t(OWN, BASELINES[:baselines], mapped)
    found = t_test(scale, baselines)
    assert (found.result.t, found.result.p, found.result.df) == pytest.approx(
        (expected.statistic, expected.pvalue, expected.df)
    )
    assert found.entries == tuple(map(len, groups)) == (12, 4 * baselines)


def test_the_printed_t_test_is_found():
    found = best_t_test()
    assert (found.scale, found.baselines, found.which) == ("(r + 1) / 2", 4, "printed")
    assert (round(found.result.t, 3), round(found.result.p, 4)) == (2.715, 0.0181)
    assert (round(found.result.mean_a, 2), round(found.result.mean_b, 2)) == (9.04, 2.21)
    assert found.entries == (12, 16)


def test_averages_over_shared_languages_are_over_those_only():
    cells = printed(5)
    shared = ["ar", "de", "en", "es", "fr", "pl", "tr"]
    found = paper_checks.averages(FOUR_TASKS[3], "shared")
    for setting in ("each", "mono", "all"):
        expected = fmean(float(cells["UniBERT-XSmall", setting, code]) for code in shared)
        assert found["UniBERT-XSmall", setting] == pytest.approx(expected)


def off(number: int) -> dict[str, Fraction]:
    """Rows whose printed average is more than half a unit away from the mean, in exact arithmetic."""
    cells = printed(number)
    found = {}
    for model, setting, code in cells:
        if code == "Avg":
            text = cells[model, setting, "Avg"]
            scores = [Fraction(v) for (m, s, c), v in cells.items() if (m, s) == (model, setting) and c != "Avg"]
            away = Fraction(text) - sum(scores) / len(scores)
            if abs(away) > Fraction(1, 2 * 10 ** len(text.partition(".")[2])):
                found[f"{model}, {setting}"] = away
    return found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_averages_that_are_not_the_mean_of_their_row(table):
    found = {
        check.claim.removesuffix(": average"): check.difference for check in average_checks(table) if not check.rounded
    }
    assert found == pytest.approx({name: -float(away) for name, away in off(table.number).items()})


def test_the_largest_differences_of_averages_are_told():
    found = {(check.place, check.claim): check for table in TABLES for check in average_checks(table)}
    for row, number in (("UniBERT-XXSmall, all", 74.39), ("mBERT-base, each", 89.64), ("UniBERT-Small, each", 83.53)):
        check = found["Table 2", f"{row}: average"]
        assert round(check.recomputed, 2) == number and not check.follows
    assert round(found["Table 6", "XLM-V-base, all: average"].recomputed, 2) == 67.23
    assert "0.54 (Table 6, XLM-V-base, all)" in paper_checks.findings()[-1]


@pytest.mark.parametrize(
    ("recomputed", "printed_", "decimals", "verdict"),
    [
        (2.7147, 2.714, 3, "follows, cut off instead of rounded"),
        (2.7147, 2.715, 3, "follows"),
        (2.675, 2.67, 2, "follows"),
        (2.675, 2.68, 2, "follows"),
        (90.68, 90.67, 2, "does not follow"),
        (0.6, 0.6, 3, "follows"),
        (-1.239, -1.23, 2, "follows, cut off instead of rounded"),
        (12, 12, 0, "follows"),
    ],
)
def test_verdicts(recomputed, printed_, decimals, verdict):
    assert Check("x", "y", printed_, decimals, recomputed, "").verdict == verdict


@given(st.integers(-(10**6), 10**6), st.integers(0, 4))
def test_a_number_that_is_rounded_or_cut_off_follows(thousandths, decimals):
    exact = Fraction(thousandths, 1000)
    scale = 10**decimals
    rounded, cut = Fraction(round(exact * scale), scale), Fraction(int(exact * scale), scale)
    assert Check("x", "y", float(rounded), decimals, float(exact), "").rounded
    assert Check("x", "y", float(cut), decimals, float(exact), "").cut_off
    assert not Check("x", "y", float(rounded + Fraction(2, scale)), decimals, float(exact), "").rounded


def test_what_follows_and_what_does_not():
    found = [(check.claim, check.place, check.verdict) for check in checks() if not check.follows]
    assert found == [
        ("gain of XLM-V-base, %", "Figure 3", "does not follow"),
        ("mean gain of UniBERT, %, as the mean of what the t-test compares", "abstract", "does not follow"),
        ("mean gain of baselines, %, as the mean of what the t-test compares", "abstract", "does not follow"),
        ("mean gain of baselines, %, as the mean of what the t-test compares", "text", "does not follow"),
        ("p", "text", "does not follow"),
    ]
    of = {(check.claim, check.printed): check for check in checks()}
    assert round(of["mean gain of baselines, %", 1.12].recomputed, 3) == 1.126
    assert "5 numbers that Figure 3 prints" in of["mean gain of baselines, %", 1.12].how


def test_tables_of_readings_hold_what_was_computed():
    scales = {row[0].text: [cell.value for cell in row[1:]] for row in scales_table().rows}
    assert scales["UniBERT-Small"][0] == 3.76
    assert scales["mean of UniBERT's"][3] == pytest.approx(9.43, abs=0.005)
    assert scales["mean of the first four baselines'"][0] == pytest.approx(1.17)
    rows = readings_table().rows
    assert [row[5].value for row in rows] == [reading.result.t for reading in t_readings()]
    (bold,) = [row for row in rows if row[5].strong]
    assert (bold[0].text, bold[1].value, bold[5].text, bold[7].text) == ("(r + 1) / 2", 4, "2.715", "0.0181")


HEAD = "model,setting,language,score"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "columns are not model, setting"),
        (["model,setting,score", "m,all,1"], "columns are not model, setting"),
        ([HEAD], "nothing in it"),
        ([HEAD, "m,all,en"], "line 2: not 4 values"),
        ([HEAD, "m,all,en,1,2"], "line 2: not 4 values"),
        ([HEAD, "n,all,en,1"], "line 2: n is not a model of Table 1"),
        ([HEAD, "m,some,en,1"], "some is no setting"),
        ([HEAD, "m,all,xq,1"], "xq is the code of no language"),
        ([HEAD, "m,all,en,one"], "'one' is not a number"),
        ([HEAD, "m,all,en,nan"], "nan is not a number from 0 to 100"),
        ([HEAD, "m,all,en,100.1"], "100.1 is not a number from 0 to 100"),
        ([HEAD, "m,all,en,1", "m,all,en,1"], "line 3: m, all, en is there twice"),
        ([HEAD, "m,all,en,1"], "m, all: no average"),
    ],
)
def test_bad_tables_are_told_by_file_and_line(lines, says):
    with pytest.raises(DataError, match=r"t\.csv") as told:
        read_scores(lines, "t.csv", per_cent=True, models=["m"])
    assert says in told.value.message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("m,6,512,x,120K,87M,334M", "not three whole numbers"),
        ("m,6,512,8,120Q,87M,334M", "'120Q' is not a number with K, M or G"),
    ],
)
def test_bad_models_are_told(line, says):
    with pytest.raises(DataError) as told:
        read_models(["model,layers,hidden,heads,vocab,params,size", line], "t.csv")
    assert says in told.value.message and "line 2" in told.value.message


@pytest.mark.parametrize(
    ("text", "value"), [("120K", 120_000), ("1.12G", 1_120_000_000), ("87M", 87_000_000), ("5", 5)]
)
def test_amounts(text, value):
    assert amount(text, "here") == value


@pytest.mark.parametrize("name", ["tables/mine.csv", ""])
def test_nothing_of_the_users_is_replaced(tmp_path, name):
    path = tmp_path / "there" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(DataError, match="exists and is no report"):
        write_paper_report(tmp_path / "there")
    assert path.read_text() == "mine"


def test_the_page_of_the_paper(tmp_path):
    index = write_paper_report(tmp_path / "new" / "folder")
    assert index == tmp_path / "new" / "folder" / "index.html"
    source = index.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    for number in ("2.715", "0.0181", "10.33", "9.04 % and 2.21 %", "does not follow"):
        assert number in source, number
    markdown = (index.parent / "report.md").read_text(encoding="utf-8")
    assert "Printed and recomputed" in markdown and "2.7147" in markdown
    tables = {path.name for path in (index.parent / "tables").iterdir()}
    assert {f"table-{n}.{kind}" for n in range(1, 7) for kind in ("csv", "md", "tex")} <= tables
    assert {"recomputed.csv", "t-test.csv", "figure-3-scales.csv", "averages.csv"} <= tables
    assert {"figure-3.svg", "figure-3-benchmarks.svg", "table-5-size.svg"} <= {
        path.name for path in (index.parent / "figures").iterdir()
    }
    rows = list(csv.DictReader((index.parent / "tables/table-5.csv").open(encoding="utf-8")))
    first = next(row for row in rows if (row["Model"], row["Setting"]) == ("UniBERT-Small", "each"))
    assert (first["Average"], first["Average, printed"]) == ("", "0.547")
