"""The model card: the hub takes it, its code runs, its recipe reads back, and it says what is so and nothing else."""

import re
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from finish_support import FULL, TEACHER, finished_run, make_recipe
from tests_support import World, make_settings
from unibert.files import read_json
from unibert.languages import LANGUAGES, PAPER_CODES
from unibert.pretrain.card import model_card, named
from unibert.pretrain.card_metadata import card_problems, language_tags, on_hub
from unibert.pretrain.card_tables import duration, losses_section
from unibert.pretrain.log import read_log
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), world)


@pytest.fixture
def summary(run: Path) -> dict[str, Any]:
    return deepcopy(read_json(run / "summary.json"))


@pytest.fixture
def card(run: Path) -> str:
    return (run / "model" / "README.md").read_text(encoding="utf-8")


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def block(card: str, kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", card, re.DOTALL)
    assert found
    return found[1]


def metadata(card: str) -> dict[str, Any]:
    return ModelCard(card).data.to_dict()


def test_the_hub_can_read_it(card: str) -> None:
    assert metadata(card) == {
        "base_model": TEACHER["name"],
        "language": ["multilingual", "de", "en", "ru"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "fill-mask",
        "tags": ["unibert", "bert", "distillation"],
    }
    assert card_problems(card) == []


def test_every_language_has_a_code_that_the_hub_takes(summary: dict[str, Any]) -> None:
    for codes in (list(LANGUAGES), list(PAPER_CODES)):
        text = model_card({**summary, "languages": codes}, {})
        assert card_problems(text) == []
        found = metadata(text)["language"]
        assert found[0] == "multilingual"
        # YAML takes a bare `no` for false.
        assert all(isinstance(code, str) for code in found)
        assert len(found) > len(codes) - 4


def test_languages_without_a_code_of_their_own() -> None:
    codes = ["de", "simple", "en", "no", "als", "be-tarask", "nds-nl", "map-bms", "klingonese"]
    short, long = language_tags(codes)
    assert short == ["multilingual", "de", "en", "nb", "gsw", "be", "nds", "map"]
    assert long == ["en-simple", "be-tarask", "nds-NL", "map-bms"]
    assert language_tags(["sw"]) == (["sw"], [])


def test_its_code_runs(run: Path, card: str, capfd: pytest.CaptureFixture[str]) -> None:
    exec(block(named(card, str(run / "model")), "python"), {})
    told = capfd.readouterr().out.splitlines()
    assert len(told) == 4
    assert all(re.match(r"0\.\d{3} .", line) for line in told[:3])
    assert -1 <= float(told[3]) <= 1


def test_its_code_runs_in_the_folder_as_it_stands(run: Path, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run / "model")
    scope: dict[str, Any] = {}
    exec(block(card, "python"), scope)
    assert scope["embeddings"].shape == (2, 16)


def test_it_greets_in_the_model_s_own_languages(card: str, summary: dict[str, Any]) -> None:
    assert "The river flows into the sea." in block(card, "python")  # English has the largest share
    text = block(model_card({**summary, "languages": ["sw", "ru", "tr"], "language_samples": {}}, {}), "python")
    assert "Река впадает в море." in text
    assert "Nehir denize dökülür." in text
    assert "river" in block(model_card({**summary, "languages": ["sw"], "language_samples": {}}, {}), "python")


def test_it_gets_the_name_that_the_model_has_on_the_hub(card: str) -> None:
    text = named(card, "someone/small")
    assert 'name = "someone/small"\n' in block(text, "python")
    assert len(set(text.splitlines()) ^ set(card.splitlines())) == 2
    assert named("my own card\n", "someone/small") == "my own card\n"


def test_languages_are_told_with_their_share_loss_and_unknown_pieces(summary: dict[str, Any]) -> None:
    summary["unknown_shares"] = {"de": 0.0, "en": 0.001, "ru": 0.25}
    text = model_card(summary, {})
    rows = [line for line in section(text, "Languages").splitlines() if line.startswith("| ")][2:]
    assert rows == [
        "| en | English | 50.00% | 6.000 | 0.10% |",
        "| ru | Russian | 30.00% | 7.000 | 25.00% |",
        "| de | German | 20.00% | 5.000 | 0.00% |",
    ]
    assert "from 5.000 (German) to 7.000 (Russian)" in section(text, "Languages")
    assert "<details>" in section(text, "Languages")
    limits = section(text, "Limits")
    assert "cannot spell every language" in limits
    assert "Russian (25.0%)" in limits
    assert "English" not in limits


def test_all_can_be_spelled(card: str) -> None:
    assert "cannot spell" not in card


def test_the_recipe_in_it_can_be_run_and_names_no_machine(summary: dict[str, Any], tmp_path: Path) -> None:
    settings = make_settings(**FULL)
    changes = {
        "folder": "/home/somebody/runs/x",
        "teacher": {"model": "/home/somebody/models/large"},
        "corpus": {
            "dumps": ["/home/somebody/dumps", "/data/somebody/*.bz2"],
            "text": ["~somebody/text"],
            "tokenizer": "/home/somebody/vocab.txt",
            "executor": {"setup": "source /home/somebody/venv/bin/activate", "sbatch": {"account": "somebody"}},
        },
    }
    summary["teacher"] = {"name": "/home/somebody/models/large", "fingerprint": "ab"}
    card = model_card(summary, make_recipe(settings, **changes))
    assert "somebody" not in card
    assert "base_model" not in metadata(card)
    (tmp_path / "again.toml").write_text(block(card, "toml"), encoding="utf-8")
    again = load_recipe(tmp_path / "again.toml")
    assert again.pretrain == settings
    assert again.corpus.dumps == ["dumps", "*.bz2"]
    assert (again.teacher.model, again.output.name) == ("large", "demo")


def test_a_family_s_recipe_can_be_run(summary: dict[str, Any], tmp_path: Path) -> None:
    settings = make_settings(**FULL, students=["small", "xsmall"], context=32)
    (tmp_path / "again.toml").write_text(block(model_card(summary, make_recipe(settings)), "toml"), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml").pretrain == settings


def test_without_a_recipe_there_is_none(summary: dict[str, Any]) -> None:
    assert "```toml" not in model_card(summary, {})


PARTS = {
    "MLM": "Masked language modelling",
    "KD": "Distillation",
    "conf": "Language adversary",
    "hid": "Hidden states",
    "rel": "Attention relations",
}


@pytest.mark.parametrize(
    ("changes", "total", "parts"),
    [
        (FULL, r"0.5\,{MLM} + 0.1\,{conf} + 0.4\,{KD} + 0.1\,{hid} + 0.2\,{rel}", PARTS.values()),
        ({"adversary": {"mode": "none"}, "mlm_weight": 1}, r"1\,{MLM}", ["Masked language modelling"]),
        (
            {"adversary": {"mode": "loss-reversal", "weight": 0.3}, "distillation": {"weight": 0.4}},
            r"0.5\,{MLM} - 0.3\,{adv} + 0.4\,{KD}",
            ["Masked language modelling", "Language adversary", "Distillation"],
        ),
        (
            {"adversary": {"mode": "none"}, "mlm_weight": 0, "distillation": {"weight": 0.7}},
            r"0.7\,{KD}",
            ["Distillation"],
        ),
        (
            {"adversary": {"mode": "gradient-reversal", "weight": 0}},
            r"0.5\,{MLM}",
            ["Masked language modelling", "Language adversary"],
        ),
    ],
)
def test_the_objective_is_this_run_s(
    world: World, tmp_path: Path, changes: dict[str, Any], total: str, parts: list[str]
) -> None:
    run = finished_run(tmp_path, world, make_settings(**changes))
    text = section((run / "model" / "README.md").read_text(encoding="utf-8"), "Objective")
    expected = re.sub(r"\{(\w+)\}", r"\\mathcal{L}_{\\mathrm{\1}}", total)
    assert f"\\mathcal{{L}} = {expected}\n" in text
    assert {name for name in PARTS.values() if f"**{name}**" in text} == set(parts)
    assert text.count("$$") == 2 * (1 + len(list(parts)))
    # LaTeX whose braces do not match is not drawn.
    assert all(formula.count("{") == formula.count("}") for formula in text.split("$$")[1::2])


def test_the_adversary_s_settings_are_told(card: str, summary: dict[str, Any]) -> None:
    text = section(card, "Objective")
    for said in (
        "2 hidden layers of width 32",
        "mode `confusion`",
        "updated 3 times",
        "learning rate is 0.001",
        "K = 3",
    ):
        assert said in text
    summary["objective"]["adversary"] |= {"start": 1000, "full": 2500, "hidden": None}
    text = section(model_card(summary, {}), "Objective")
    assert "one linear layer" in text
    assert "0 up to step 1,000 and whole from step 2,500 on" in text
    summary["objective"]["adversary"]["full"] = 0
    assert "0 up to step 1,000 and whole from step 1,000 on" in section(model_card(summary, {}), "Objective")
    assert "does not make embeddings free of language" in section(card, "Limits")
    for change in ({"weight": 0.0}, {"mode": "none"}):
        summary["objective"]["adversary"] |= change
        text = model_card(summary, {})
        assert "adversary" not in section(text, "Limits")
        assert "a language adversary" not in text.split("## ")[0]
        assert ("it was only watched" in section(text, "Objective")) == ("weight" in change)


def test_answers_of_a_cache_are_told_as_an_approximation(card: str, summary: dict[str, Any]) -> None:
    assert "were kept" not in section(card, "Objective")
    text = model_card({**summary, "teacher": {**TEACHER, "top": 64}}, {})
    assert "the 64 most probable pieces were kept" in section(text, "Objective")


def test_the_curve_has_a_few_rows_with_the_first_and_the_last(run: Path) -> None:
    log = read_log(run / "log.jsonl")
    rows = [line for line in losses_section(log).splitlines() if line.startswith("| ")]
    assert rows[0] == (
        "| step | tokens | whole objective | masked language modelling | distillation | adversary | held out |"
    )
    assert len(rows) == 2 + 8
    assert rows[2] == "| 10 | 1,000 | 4.450 | 8.900 | 2.500 | 1.250 | 9.400 |"
    assert rows[-1] == "| 300 | 30,000 | 3.000 | 6.000 | 2.500 | 1.250 | 6.500 |"
    without = losses_section([record for record in log if record["kind"] == "train"])
    assert without.splitlines()[-1] == "| 300 | 30,000 | 3.000 | 6.000 | 2.500 | 1.250 | - |"
    assert losses_section([]) == ""


def test_the_teacher_is_named_if_others_can_have_it(summary: dict[str, Any], tmp_path: Path) -> None:
    assert f"Teacher: `{TEACHER['name']}` (fingerprint of its weights: `0123456789abcdef`)." in model_card(summary, {})
    local = {**summary, "teacher": {"name": str(tmp_path)}}
    assert "read from a folder" in model_card(local, {})
    recipe = Recipe.model_validate({"name": "x", "teacher": {"train": {"student": "small"}}}).resolved()
    assert "trained before by masked language modelling alone" in model_card(local, recipe)
    alone = model_card({**summary, "teacher": None}, {})
    assert "Teacher:" not in alone
    assert "distillation" not in metadata(alone)["tags"]
    started = metadata(model_card({**summary, "initialise": "teacher"}, {}))
    assert (started["base_model"], started["base_model_relation"]) == (TEACHER["name"], "finetune")


@pytest.mark.parametrize("name", [None, "", "/a/folder", "./folder", "a/b/c", "~/x", "x--y", "a b", "tests"])
def test_what_is_no_name_on_the_hub(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert on_hub(name) is None


def test_data_licence_and_source_are_told(summary: dict[str, Any]) -> None:
    corpus = {
        "dumps": ["dumps"],
        "hub": ["wikimedia/wikipedia:20231101.de", "wikimedia/wikipedia:20231101.en"],
        "rules": {"html": False, "max_digit_share": 0.5, "min_tokens": 7},
        "deduplicate": {"exact": True},
    }
    recipe = make_recipe(make_settings(**FULL), corpus=corpus)
    card = model_card({**summary, "license": "cc-by-sa-4.0"}, recipe)
    assert metadata(card)["datasets"] == ["wikimedia/wikipedia"]
    assert metadata(card)["license"] == "cc-by-sa-4.0"
    data = section(card, "Training data")
    for said in ("from its dumps", "20231101.de", "more than 50% digits", "fewer than 7 tokens", "repeated paragraphs"):
        assert said in data
    assert "HTML" not in data
    assert "12,345 tokens in 100 samples" in data
    licence = section(card, "Licence")
    assert "`cc-by-sa-4.0`, the choice of whoever publishes them" in licence
    assert "CC BY-SA 4.0" in licence
    other = make_recipe(make_settings(**FULL), corpus={"text": ["text"]})
    assert "Wikipedia's text" not in section(model_card(summary, other), "Licence")


def test_duration_machine_and_versions_are_told(summary: dict[str, Any]) -> None:
    text = section(model_card({**summary, "processes": 2, "flops": 1.5e15}, {}), "Training")
    assert re.search(r"10 minutes 17 seconds of training on .*\d cores in 2 processes, 20 tokens per second", text)
    assert "1.5e+15 floating point operations" in text
    assert "kWh" not in text
    assert "transformers" in text
    assert "2.25 kWh" in model_card({**summary, "energy_kwh": 2.25}, {})
    assert "on Some GPU" in model_card({**summary, "device": "Some GPU"}, {})


def test_nothing_is_left_open(card: str) -> None:
    text = card.replace(block(card, "toml"), "")
    for word in ("TODO", "None", "null", "nan", "[More", "??", "{", "}"):
        found = text.replace(block(card, "bibtex"), "").replace(block(card, "python"), "")
        assert word not in re.sub(r"\$\$.*?\$\$", "", found, flags=re.DOTALL)
    assert tomllib.loads(block(card, "toml"))["name"] == "demo"


HEAD = "---\nlicense: mit\n{}\n---\n# A model\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# A model\n", "no metadata"),
        ("", "no metadata"),
        ("---\nlicense: [\n---\n", "cannot be read"),
        ("---\n- mit\n---\n", "cannot be read"),
        ("---\nlanguage: de\n---\n", "no license"),
        (HEAD.format("language:\n- no"), "language holds False"),
        (HEAD.format("language: German"), "'German', no ISO 639 code"),
        (HEAD.format("language: [de, be-tarask]"), "'be-tarask', no ISO 639 code"),
        (HEAD.format("base_model: /home/x/model"), "base_model holds '/home/x/model'"),
        (HEAD.format("datasets: [a/b/c]"), "datasets holds 'a/b/c'"),
        (HEAD.format("pipeline_tag: [fill-mask]"), "pipeline_tag is ['fill-mask']"),
        (HEAD.format("tags: [1]"), "tags holds 1"),
    ],
)
def test_what_the_hub_would_refuse_is_told_before(text: str, says: str) -> None:
    problems = card_problems(text)
    assert len(problems) == 1
    assert says in problems[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than a second"),
        (1, "1 second"),
        (61, "1 minute 1 second"),
        (3600, "1 hour"),
        (3605, "1 hour"),
        (90_000, "1 day 1 hour"),
        (2_592_000, "30 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
