"""The whole pipeline in a shortened form: three languages, a few steps; every stage really runs."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from unibert.errors import RunMismatch
from unibert.files import read_json
from unibert.quickstart.run import WORLD_SEED, quickstart, quickstart_recipe
from unibert.quickstart.wikis import expected_removals
from unibert.quickstart.world import load_world
from unibert.recipe_file import load_recipe

LANGUAGES = ["ar", "en", "zh"]
SHORT = [
    f"corpus.languages={LANGUAGES}",
    "corpus.workers=1",
    "tokens.vocabulary_size=2000",
    "teacher.train.steps=12",
    "teacher.train.warmup_steps=2",
    "teacher.train.evaluate_every=6",
    "pretrain.steps=12",
    "pretrain.warmup_steps=2",
    "pretrain.evaluate_every=6",
    "pretrain.save_every=6",
    "pretrain.log_every=3",
    "pretrain.precision=float32",
    "benchmark.models=['student']",
    "benchmark.seeds=[1]",
    "benchmark.finetune.epochs=1",
    "benchmark.finetune.precision=float32",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    assert quickstart(folder, SHORT) == folder / "report" / "index.html"
    return folder


def test_the_rules_removed_exactly_what_the_world_holds_for_them(run: Path) -> None:
    statistics = read_json(run / "corpus" / "statistics.json")
    expected = expected_removals(load_world(), WORLD_SEED)
    assert sorted(statistics["languages"]) == LANGUAGES
    for language in LANGUAGES:
        rules = statistics["languages"][language]["rules"]
        assert {name: rules[name] for name in expected[language]} == expected[language]
        assert not any(rules[name]["dropped"] for name in set(rules) - set(expected[language]))


def test_all_three_losses_were_trained(run: Path) -> None:
    records = [json.loads(line) for line in (run / "student" / "log.jsonl").read_text().splitlines()]
    last = [record for record in records if record["kind"] == "train"][-1]
    assert last["step"] == 12
    assert min(last["mlm"], last["adversary"], last["distillation"]) > 0


def test_the_encoder_loads_as_any_other(run: Path) -> None:
    """The lines of the README, on this run's folder."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert lines
    assert "runs/quickstart" in lines[1]
    names: dict[str, object] = {}
    exec(lines[1].replace("runs/quickstart", str(run)), names)
    assert type(names["encoder"]).__name__ == "BertModel"
    model = AutoModelForMaskedLM.from_pretrained(run / "student" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "student" / "model")
    with torch.no_grad():
        logits = model(**tokenizer("The capital is [MASK].", return_tensors="pt")).logits
    assert logits.shape[-1] == len(tokenizer)


def test_the_report_shows_this_runs_figures(run: Path) -> None:
    page = unescape((run / "report" / "index.html").read_text(encoding="utf-8"))
    markdown = (run / "report" / "report.md").read_text(encoding="utf-8")
    results = [read_json(path) for path in (run / "benchmark" / "results").glob("*.json")]
    assert len(results) == len(LANGUAGES) + 1
    for result in results:
        for scores in result["scores"].values():
            assert f"{scores['metrics']['f1']:.2f}" in page
            assert f"{scores['metrics']['f1']:.2f}" in markdown
    samples = read_json(run / "corpus" / "statistics.json")["totals"]["samples"]
    assert f"{samples:,}" in page.replace("\u202f", ",")


def test_a_second_run_repeats_nothing_but_the_report(run: Path) -> None:
    watched = [
        path
        for path in run.rglob("*")
        if path.is_file() and path.parts[len(run.parts)] not in ("report", "recipe.toml")
    ]
    before = {path: path.read_bytes() for path in watched}
    weights = (run / "student" / "model" / "model.safetensors").stat().st_mtime_ns
    quickstart(run, SHORT)
    assert {path: path.read_bytes() for path in watched} == before
    assert (run / "student" / "model" / "model.safetensors").stat().st_mtime_ns == weights


def test_another_recipe_in_the_same_folder_is_refused(run: Path) -> None:
    with pytest.raises(RunMismatch, match="held_out_share"):
        quickstart(run, [*SHORT, "tokens.held_out_share=0.2"])


def test_the_saved_recipe_reads_back(run: Path) -> None:
    assert load_recipe(run / "recipe.toml") == quickstart_recipe(run, SHORT)
