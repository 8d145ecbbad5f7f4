"""The adversary study: its students are possible, its translations aligned, its table tells what was measured."""

import csv
import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from unibert.errors import DataError
from unibert.recipe_file import load_recipe
from universality_support import make_universality

STUDY = Path(__file__).parents[2] / "studies" / "adversary"


def module(name):
    sys.path.insert(0, str(STUDY))
    try:
        spec = importlib.util.spec_from_file_location(f"adversary_{name}", STUDY / f"{name}.py")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = loaded
        spec.loader.exec_module(loaded)
        return loaded
    finally:
        sys.path.remove(str(STUDY))


@pytest.fixture(scope="module")
def study():
    return module("study")


@pytest.fixture(scope="module")
def tell():
    return module("tell")


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(STUDY / "adversary.toml")


def test_every_student_is_possible_and_differs_from_the_others(study, recipe):
    base = recipe.pretrain.model_dump()
    seen = {}
    for variant in study.variants():
        changed = {table: {**base[table], **values} for table, values in variant.changes.items()}
        settings = type(recipe.pretrain).model_validate({**base, **changed})
        assert settings.identity() not in seen.values(), variant.name
        seen[variant.name] = settings.identity()
        assert settings.needs_teacher or "distilled" not in variant.name
    assert len(seen) == len(study.variants())
    assert recipe.teacher.train is not None


def write_data(folder, odd=False):
    for code in ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "it", "nl", "pl", "pt", "ro", "ru", "tr", "zh"):
        lines = [f"{code} {number % 30}" for number in range(40)]
        files = {
            f"nli/xnli/dev-{code}.tsv.gz": "".join(f"{line}\thyp\tneutral\n" for line in lines),
            f"qa/xquad/xquad.{code}.json.gz": json.dumps(
                {"data": [{"paragraphs": [{"qas": [{"question": line} for line in lines]}]}]}
            ),
            f"sts/stsb_multi_mt/stsb-{code}-test.csv.gz": "".join(f'"{line}","b",1\n' for line in lines),
        }
        if odd and code == "pt":
            files[f"sts/stsb_multi_mt/stsb-{code}-test.csv.gz"] = "a,b,1\n"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(path, "wt", encoding="utf-8") as stream:
                stream.write(text)


def test_translations_are_aligned_and_no_sentence_is_there_twice(tmp_path):
    translations = module("translations")
    write_data(tmp_path / "data")
    translations.write_translations(tmp_path / "data", tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    wanted = [pair for group in (translations.RELATED, translations.DISTANT) for its in group.values() for pair in its]
    assert len(files) == 2 * len(wanted)
    for path in files:
        code = path.suffix[1:]
        assert path.read_text(encoding="utf-8").splitlines() == [f"{code} {number}" for number in range(30)]


def test_translations_that_are_not_aligned_are_refused(tmp_path):
    translations = module("translations")
    write_data(tmp_path / "data", odd=True)
    with pytest.raises(DataError, match="not aligned"):
        translations.write_translations(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="cannot be read"):
        translations.write_translations(tmp_path / "nowhere", tmp_path / "out")


def test_the_table_and_the_figures_tell_what_was_measured(tell, recipe, tmp_path):
    for variant, seed, loss in (("none", 1, 4.0), ("none", 2, 4.2), ("confusion-0.1-late", 1, 4.5)):
        name = f"{variant}-seed{seed}"
        folder = tmp_path / "students" / name
        (folder / "universality").mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"heldout": {"mlm": loss}}))
        found = make_universality(name)
        pairs = dict(found.pairs) | {
            "es-pt": found.pairs["es-en"].model_copy(update={"other": "pt"}),
            "zh-en (xnli.en-zh)": found.pairs["zh-en"],
        }
        tables = [
            table.model_copy(
                update={
                    "pairs": {**table.pairs, "es-pt": table.pairs["es-en"], "zh-en (xnli.en-zh)": table.pairs["zh-en"]}
                }
            )
            for table in found.retrieval
        ]
        found = found.model_copy(update={"pairs": pairs, "retrieval": tables})
        (folder / "universality" / f"{name}.json").write_text(json.dumps(found.as_json()))
    (tmp_path / "students" / "half").mkdir()
    (tmp_path / "students" / "half" / "summary.json").write_text("{}")
    rows = tell.read_rows(tmp_path)
    assert [(row["variant"], row["seed"]) for row in rows] == [("confusion-0.1-late", 1), ("none", 1), ("none", 2)]
    last = found.retrieval_at(found.layers, "cosine", "centred")
    assert rows[0]["related_centred"] == pytest.approx(last.pairs["es-pt"].mean)
    assert rows[0]["distant_centred"] == pytest.approx(last.pairs["zh-en (xnli.en-zh)"].mean)
    told = tell.tell(rows, recipe)
    lines = [line for line in told.splitlines() if line.startswith("| ")]
    cells = next(csv.reader([lines[1].replace(" | ", ",")], delimiter=","))
    assert cells[0].strip("| ") == "none"
    assert cells[1:3] == ["2", "4.100 ± 1.271"]
    against = lines[-1].split(" | ")
    assert against[:3] == ["| confusion-0.1-late", "1", "+12.50"]
    assert float(against[3]) == pytest.approx(rows[0]["raw"] / rows[1]["raw"], abs=0.006)
    assert float(against[4]) == pytest.approx(100 * (rows[0]["raw"] - rows[1]["centred"]), abs=0.006)
    pictures = tell.draw(rows)
    assert {picture.name for picture in pictures} == {"pareto-raw", "pareto-centred", "pareto-related", "pareto-probe"}
    assert all("confusion" in picture.file for picture in pictures)
    assert "No student" in tell.tell([], recipe)
    assert tell.draw([]) == []
