"""Stages that do not belong together are told; what cannot be compared is left alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from unibert.files import fingerprint
from unibert.report.collect import collect
from unibert.report.lineage import mismatches
from unibert.report.page import build_report
from unibert.tasks.encoder import find_encoder


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def results_of(folder, model):
    return [
        path for path in (folder / "benchmark/results").glob("*.json") if json.loads(path.read_text())["model"] == model
    ]


@pytest.fixture
def related(make_run):
    """A run whose models and results say what they were made from, and tell the truth."""
    folder = make_run(seeds=(5,))
    index = json.loads((folder / "tokens/index.json").read_text())
    for role in ("student", "teacher"):
        change(folder / role / "run.json", identity={"tokens": fingerprint(index), "seed": 1})
        model = folder / role / "model"
        model.mkdir()
        for name in ("config.json", "tokenizer.json"):
            (model / name).write_text("{}")
        (model / "model.safetensors").write_bytes(role.encode())
        for path in results_of(folder, role):
            change(path, model_fingerprint=find_encoder(model).fingerprint)
    return folder


def told(folder):
    return {gap.part: gap for gap in mismatches(collect(folder))}


def test_a_run_of_one_piece_has_no_mismatch(related):
    assert told(related) == {}
    assert "What is missing" not in build_report(related).read_text(encoding="utf-8")


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_model_of_other_tokens_is_told(related, role):
    change(related / role / "run.json", identity={"tokens": "0" * 16})
    found = told(related)
    assert list(found) == [f"{role}/"]
    assert found[f"{role}/"].kind == "out of date"
    assert f"the {role} was trained on other tokens" in build_report(related).read_text(encoding="utf-8")


def test_tokens_written_again_concern_both_models(related):
    change(related / "tokens/index.json", vocabulary_size=7920)
    assert set(told(related)) == {"student/", "teacher/"}


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_results_of_other_weights_are_told(related, role):
    (related / role / "model/model.safetensors").write_bytes(b"trained again")
    found = told(related)
    assert list(found) == [f"benchmark/results/ ({role})"]
    expected = f"the results for {role} were made with other weights than {role}/model has now; run `unibert benchmark`"
    assert found[f"benchmark/results/ ({role})"].reason == expected
    source = build_report(related).read_text(encoding="utf-8")
    box = source[source.index('id="missing"') : source.index("</section>", source.index('id="missing"'))]
    assert "out of date" in box and expected in box


def test_a_single_result_of_other_weights_is_counted(related):
    change(results_of(related, "student")[0], model_fingerprint="old")
    assert told(related)["benchmark/results/ (student)"].reason.startswith("1 result for student was made with")


def test_a_teacher_from_elsewhere_is_not_compared_with_a_folder_that_was_left_behind(related):
    recipe = related / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text('name = "zebra"\n[teacher]\nmodel = "acme/base"\n' + text[text.index("[pretrain]") :])
    (related / "teacher/model/model.safetensors").write_bytes(b"left behind")
    run = collect(related)
    assert run.recipe is not None and run.recipe.teacher.train is None
    assert mismatches(run) == []


@pytest.mark.parametrize(
    "name", ["tokens/index.json", "student/run.json", "teacher/model/", "recipe.toml", "benchmark/results/"]
)
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_what_is_not_there_is_not_compared(related, name, how):
    path = related / name
    if path.is_dir():
        shutil.rmtree(path)
        if how == "damaged":
            path.mkdir()
    else:
        path.unlink() if how == "gone" else path.write_text("[1, ")
    found = told(related)
    if name == "teacher/model/" and how == "damaged":
        (gap,) = found.values()
        assert (gap.part, gap.kind) == ("teacher/model/", "damaged")
        assert gap.reason == "teacher/model is not a model folder: it has no config.json"
    else:
        assert found == {}


@pytest.mark.parametrize("identity", [None, "text", [1], {}, {"tokens": None}])
def test_a_run_file_without_a_usable_identity_is_not_compared(related, identity):
    change(related / "student/run.json", identity=identity)
    assert told(related) == {}


def test_torch_is_not_needed(related):
    code = (
        "import sys, pathlib; from unibert.report.page import build_report; build_report(pathlib.Path(sys.argv[1])); "
        "sys.exit(' '.join({'torch', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(related)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
