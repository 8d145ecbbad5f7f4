"""Models that are called by a path get the shortest end of it that tells them apart."""

from __future__ import annotations

import pytest

from unibert.report.names import short_names
from unibert.report.page import build_report
from universality_support import make_universality, write_universality


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["student", "acme/base", "xlm-roberta-base"], {}),
        (["/data/models/large", "student"], {"/data/models/large": "large"}),
        (["./mine", "/data/small"], {"./mine": "mine", "/data/small": "small"}),
        (["/a/x/base", "/b/y/base"], {"/a/x/base": "x/base", "/b/y/base": "y/base"}),
        (["/a/base", "acme/base", "base"], {"/a/base": "a/base"}),
        (["/acme/base", "acme/base"], {}),
        (["runs/mini/student/model"], {"runs/mini/student/model": "mini/student"}),
        (["runs/mini/students/small/model"], {"runs/mini/students/small/model": "small"}),
    ],
)
def test_shortest_end_that_is_its_own(names, short):
    assert short_names(names) == short


def test_page_shows_short_names_and_tells_them(make_run):
    folder = make_run(seeds=(5, 6))
    paths = sorted((folder / "benchmark/results").glob("*.json"))
    for path in paths:
        path.write_text(path.read_text().replace('"model": "acme/base"', '"model": "runs/other/student/model"'))
    before = {path: path.read_bytes() for path in paths}
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace("acme/base", "runs/other/student/model"))
    index = build_report(folder)
    assert {path: path.read_bytes() for path in paths} == before
    rows = [row.split(",")[0] for row in (folder / "report/tables/ner.csv").read_text().splitlines()]
    assert set(rows) == {"Model", "student", "teacher", "other/student"}
    source = index.read_text(encoding="utf-8")
    assert "called by the end of their path: other/student for runs/other/student/model." in source
    assert "there is no result for" not in source


def test_encoders_whose_universality_was_measured_get_short_names_too(tmp_path):
    names = ["/data/runs/mini/student/model", "/data/runs/mini/teacher/model"]
    found = [make_universality(name, ["de", "fr", "ru"], layers=1, points=0, disparity=[]) for name in names]
    run = write_universality(tmp_path, *found)
    files = sorted((run / "universality").iterdir())
    before = [path.read_bytes() for path in files]
    source = build_report(run).read_text(encoding="utf-8")
    # Two folders are called by what tells them apart, and neither is called as the run's own models are.
    assert "mini/student for /data/runs/mini/student/model" in source
    assert source.count("/data/runs/mini/student") == 1
    assert [path.read_bytes() for path in files] == before
