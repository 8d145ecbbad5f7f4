from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import RecipeError
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe, to_toml

RECIPES = Path(__file__).parents[1] / "recipes"
VALID = """
name = "trial"
[teacher]
model = "bert-base-multilingual-cased"
[pretrain]
steps = 100
warmup_steps = 10
[benchmark.data.mine]
task = "ner"
files = {no = {train = "a", test = "b"}}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "trial.toml"
    path.write_text(VALID, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_that_we_ship_is_valid_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    copy = tmp_path / "copy.toml"
    copy.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(copy) == recipe


def test_norwegian_stays_a_language(recipe_file: Path) -> None:
    assert list(load_recipe(recipe_file).benchmark.data["mine"].files) == ["no"]


def test_the_papers_values() -> None:
    pretrain = load_recipe(RECIPES / "paper.toml").pretrain
    assert (pretrain.mlm_weight, pretrain.adversary.weight, pretrain.distillation.weight) == (0.5, 0.1, 0.4)
    assert (pretrain.steps, pretrain.batch_size, pretrain.warmup_steps) == (1_000_000, 128, 50_000)
    assert (pretrain.learning_rate, pretrain.weight_decay, pretrain.clip_norm) == (5e-4, 0.01, 5.0)
    assert (pretrain.label_smoothing, pretrain.distillation.temperature, pretrain.masking.share) == (0.7, 2.0, 0.15)
    assert (pretrain.adversary.mode, pretrain.alpha) == ("loss-reversal", 1.0)


def test_overrides_are_read_as_toml_or_as_text(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file, ["pretrain.steps=77", "corpus.languages=['de','no']", "folder=out/x", "pretrain.alpha=0.3"]
    )
    assert recipe.pretrain.steps == 77
    assert recipe.corpus.languages == ["de", "no"]
    assert recipe.output == Path("out/x")
    assert recipe.pretrain.alpha == 0.3


def test_the_default_folder_has_the_recipes_name(recipe_file: Path) -> None:
    assert load_recipe(recipe_file).output == Path("runs/trial")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[pretrain.adversary]\nmoed = 'none'", ["trial.toml:12", "pretrain.adversary.moed", "did you mean 'mode'"]),
        ("[pretrain.adversary]\nmode = 'confuse'", ["trial.toml:12", "'confusion'", "confuse"]),
        ("[pretrain.masking]\nmask = 0.9\nrandom = 0.2", ["pretrain.masking", "must not be more than 1"]),
        ("[pretrain.student]\nlayers = 2\nhidden = 10\nheads = 4", ["trial.toml:11", "multiple of heads"]),
        ("[benchmark.data.x.files.es]\ntrain = 'x'\ntst = 'y'", ["trial.toml:13", "did you mean 'test'"]),
        ("[benchmark.data.xnli]\nfoldr = 'x'", ["trial.toml:12", "did you mean 'folder'"]),
        ("[benchmark.data.'a b']\nsplit = true", ["benchmark.data", "should match pattern"]),
        ("[benchmark]\nsettings = ['every']", ["benchmark.settings", "'zero-shot'"]),
        ("[benchmark.executor]\nkind = 'slurm'", ["needs a partition: set benchmark.executor.partition"]),
        ("[corpsu]\ndumps = []", ["corpsu", "did you mean 'corpus'"]),
        ("[benchmark]\nseeds = []", ["benchmark.seeds", "at least 1"]),
        ("[benchmark]\nseeds = [-1]", ["benchmark.seeds", "greater than or equal to 0"]),
        ("[Pretrain]\nsteps = 3", ["trial.toml:11", "Pretrain", "did you mean 'pretrain'"]),
        ("[pretrain.adversary]\nstart = 9\nfull = 3", ["must not come before start"]),
        ("[pretrain.students.teacher]\nlayers = 2\nhidden = 8\nheads = 2", ["no member may be called teacher"]),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_nearest_key(recipe_file: Path, line: str, says: list[str]) -> None:
    recipe_file.write_text(VALID + line + "\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file)
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("pretrain.stesp=3", "did you mean 'steps'"),
        ("pretrain.steps=-3", "--set pretrain.steps"),
        ("pretrain.steps=nan", "pretrain.steps"),
        ("pretrain.learning_rate=inf", "pretrain.learning_rate"),
        ("pretrain.warmup_steps=100", "must be less than steps"),
        ("pretrain.context=513", "512 positions"),
        ("pretrain.adversary.start=100", "would never act"),
        ("pretrain.adversary.start=1.5", "whole number of steps"),
        ("pretrain.adversary.start=0.9", "must not come before start"),
        ("teacher={}", "there is no teacher"),
        ("teacher.model=", "--set teacher.model"),
        ("license=", "--set license"),
        ("license='no licence at all'", "--set license"),
        ("pretrain.steps", "key=value"),
        ("name.x=1", "is a value, not a table"),
        ("name='a b/c'", "name"),
        ("name='..'", "name"),
        ("seed=99999999999999999999", "seed"),
        ("Pretrain.steps=3", "did you mean 'pretrain'"),
        ("corpus.languages=[]", "at least 1"),
        ("pretrain.students={}", "at least 1"),
        ("pretrain.precision={}", "--set pretrain.precision: Input should be 'auto'"),
        ("pretrain.adversary.mode={a=1}", "--set pretrain.adversary.mode: Input should be 'none'"),
        ("pretrain.students={a={layers=1,heads=2}}", "--set pretrain.students.a.hidden: Field required"),
        ("teacher={train={initialise='teacher'}}", "no teacher to begin from"),
        ("teacher={train={students=['small']}}", "makes one teacher"),
    ],
)
def test_an_impossible_override_is_refused(recipe_file: Path, override: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file, [override])
    assert says in str(caught.value)


def test_a_shape_that_fits_no_branch_is_told_once(recipe_file: Path) -> None:
    recipe_file.write_text(VALID + "[pretrain.student]\nlayers = 2\nhidden = 10\nheads = 4\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file)
    assert str(caught.value).count("pretrain.student") == 1


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe\x00", b"[a\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml"):
        load_recipe(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "none.toml")


@given(
    steps=st.integers(1, 10**7),
    rate=st.floats(1e-8, 1.0),
    languages=st.none() | st.lists(st.from_regex(r"[a-z][a-z]{1,6}", fullmatch=True), min_size=1, max_size=4),
    folder=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12),
)
def test_any_recipe_survives_a_round_trip(tmp_path_factory, steps, rate, languages, folder) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "folder": folder,
            "corpus": {"languages": languages},
            "pretrain": {"steps": steps, "warmup_steps": 0, "learning_rate": rate, "distillation": {"weight": 0}},
        }
    )
    path = tmp_path_factory.mktemp("recipe") / "x.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    "override",
    [
        "corpus.executor.sbatch={account='nlp', 'mail-type'='END'}",
        "pretrain.students={a={layers=1,hidden=8,heads=2,max_positions=512}}",
        "teacher.cache={top=3}",
    ],
)
def test_tables_with_free_names_survive_a_round_trip(recipe_file: Path, tmp_path: Path, override: str) -> None:
    recipe = load_recipe(recipe_file, [override])
    copy = tmp_path / "copy.toml"
    copy.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(copy) == recipe


def test_a_byte_order_mark_is_no_part_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_recipe(path).name == "trial"


def test_a_benchmark_s_own_fine_tuning_fills_tables_within_it_too():
    from unibert.recipe import Benchmark

    tree = {"finetune": {"epochs": 7, "method": "lora", "lora": {"rank": 16}}, "data": {"conll2002": {}}}
    tree["data"]["conll2002"]["finetune"] = {"lora": {"alpha": 32.0}, "batch_size": 4}
    own = Benchmark.model_validate(tree).data["conll2002"].finetune
    assert (own.epochs, own.batch_size, own.lora.rank, own.lora.alpha) == (7, 4, 16, 32.0)


@pytest.mark.parametrize(
    ("task", "kept"), [("ner", set()), ("nli", set()), ("qa", {"stride", "max_answer_tokens"}), ("sts", {"sts"})]
)
def test_what_is_idle_in_a_task_is_at_its_default_there(task, kept):
    from unibert.recipe import FineTune

    odd = {"stride": 7, "max_answer_tokens": 7, "sts": "bi-encoder"}
    found = FineTune.model_validate(odd).for_task(task).model_dump()
    assert {name for name, value in odd.items() if found[name] == value} == kept
