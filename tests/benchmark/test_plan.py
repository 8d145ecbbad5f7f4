"""The plan: every run once, addresses that hold what decides the score, settings that leave out what they cannot do."""

import pytest

from grid_support import files_of, models_of, settings_of, write_grid_world
from ner_support import write_tiny_bert
from unibert.benchmark import models as models_module
from unibert.benchmark import plan as module
from unibert.benchmark.loading import LoadedData
from unibert.benchmark.models import BASELINES, model_names
from unibert.benchmark.plan import plan
from unibert.benchmark.run import read_work, write_work
from unibert.errors import DataError, RecipeError
from unibert.tasks.data import Split, Splits


@pytest.fixture
def world(tmp_path):
    return write_grid_world(tmp_path)


def runs_of(world, models=None, **changes):
    return plan(settings_of(world, **changes), models or models_of(world)).runs


def addresses(world, models=None, **changes):
    return [run.address for run in runs_of(world, models, **changes)]


def test_the_plan_has_every_run_once_and_a_seed_at_a_time(world):
    runs = runs_of(world)
    assert [(run.seed, run.setting, run.languages, run.encoder.name) for run in runs[:6]] == [
        (1, "each", ("xx",), "student"),
        (1, "each", ("xx",), "teacher"),
        (1, "each", ("yy",), "student"),
        (1, "each", ("yy",), "teacher"),
        (1, "all", ("xx", "yy"), "student"),
        (1, "all", ("xx", "yy"), "teacher"),
    ]
    assert [run.seed for run in runs] == [1] * 6 + [2] * 6
    assert len({run.address for run in runs}) == 12
    assert addresses(world, seeds=[1, 2, 1]) == [run.address for run in runs]


def test_addresses_hold_what_decides_the_score_and_nothing_else(world):
    before = addresses(world)
    assert addresses(world) == before
    moved = files_of(world)
    (world / "xx").rename(world / "moved")
    (world / "student").rename(world / "renamed")
    moved["xx"] = {part: path.replace("/xx/", "/moved/") for part, path in moved["xx"].items()}
    own = {"student": world / "renamed", "teacher": world / "teacher"}
    executor = {"kind": "ray", "workers": 7}
    assert addresses(world, own, files=moved, executor=executor) == before


def tuned(world, **changes):
    tree = settings_of(world).finetune.model_dump()
    return addresses(world, finetune={**tree, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2},
        {"patience": 1},
        {"batch_size": 32},
        {"learning_rate": 2e-2},
        {"learning_rates": [1e-2, 2e-2]},
        {"warmup_share": 0.2},
        {"weight_decay": 0.02},
        {"max_length": 512},
        {"method": "bitfit"},
        {"method": "lora"},
    ],
    ids=str,
)
def test_every_setting_changes_every_address(world, changes):
    assert not set(tuned(world, **changes)) & set(tuned(world))


def test_settings_that_are_idle_change_no_address(world):
    idle = {"stride": 7, "max_answer_tokens": 7, "sts": "bi-encoder", "lora": {"rank": 7}}
    assert tuned(world, **idle) == tuned(world)
    assert tuned(world, learning_rates=[2e-2]) == tuned(world, learning_rate=2e-2)
    several = {"learning_rates": [1e-2, 2e-2]}
    assert tuned(world, **several, learning_rate=0.5) == tuned(world, **several)
    assert tuned(world, method="lora", lora={"rank": 7}) != tuned(world, method="lora")


def test_auto_precision_has_the_address_of_what_it_stands_for(world, monkeypatch):
    tree = settings_of(world).finetune.model_dump()
    full, half = (addresses(world, finetune={**tree, "precision": name}) for name in ("float32", "bfloat16"))
    assert not set(full) & set(half)
    monkeypatch.setattr(module, "resolved_precision", lambda name: "bfloat16")
    assert addresses(world, finetune={**tree, "precision": "auto"}) == half


def test_what_auto_stands_for_elsewhere_is_decided_here_and_told(world, monkeypatch):
    monkeypatch.setattr(module, "resolved_precision", lambda name: "bfloat16" if name == "auto" else name)
    tree = settings_of(world).finetune.model_dump()

    def notes(precision, kind):
        changes = {"finetune": {**tree, "precision": precision}, "executor": {"kind": kind}}
        return plan(settings_of(world, **changes), models_of(world)).notes

    assert any("precision `auto` is bfloat16, as on this machine" in note for note in notes("auto", "ray"))
    for precision, kind in (("float32", "ray"), ("auto", "local")):
        assert not any("precision" in note for note in notes(precision, kind))


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_changed_file_changes_the_runs_that_use_it(world, split):
    before = runs_of(world)
    with (world / "xx" / split).open("a") as stream:
        stream.write("\nZaki B-PER\n")
    for old, new in zip(before, runs_of(world), strict=True):
        assert (old.address == new.address) == (new.languages == ("yy",))


def test_other_columns_of_the_same_file_make_other_runs(world):
    rows = "".join(
        f'{{"tokens": ["Ana", "Rom"], "coarse": ["B-PER", "O"], "fine": ["B-A{n % 2}", "B-B"]}}\n' for n in range(6)
    )
    (world / "both.jsonl").write_text(rows, encoding="utf-8")
    files = {"xx": dict.fromkeys(("train", "test"), str(world / "both.jsonl"))}

    def found(tags):
        return addresses(world, data={"ner": {"task": "ner", "files": files, "columns": {"tags": tags}}})

    assert not set(found("coarse")) & set(found("fine"))
    assert found("fine") == found("fine")


def test_another_teacher_makes_another_run_and_other_waves(world):
    write_tiny_bert(world / "third", seed=3)
    tree = settings_of(world).finetune.model_dump()

    def taught(teacher):
        finetune = {**tree, "distillation": {"teacher": teacher}}
        changes = {"models": ["student"], "seeds": [1], "settings": ["each"], "finetune": finetune}
        return plan(settings_of(world, **changes), models_of(world))

    one, other = taught("teacher"), taught(str(world / "third"))
    first, second = one.waves
    assert [run.encoder.name for run in first] == ["teacher", "teacher"]
    assert [run.teacher for run in second] == [run.address for run in first]
    assert all(run.keep for run in first) and not any(run.keep for run in second)
    assert not {run.address for run in one.runs} & {run.address for run in other.runs}


# Settings of a benchmark -------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(world, monkeypatch):
    """Say which parts each language has: `{"xx": "train dev test"}`; the samples are those of xx."""
    whole = runs_of(world)[0].data["xx"]

    def load(parts, mono=None):
        languages = {
            code: Splits(
                **{part: Split(code, f"{code} {part}", getattr(whole, part).samples) for part in named.split()}
            )
            for code, named in parts.items()
        }
        found = LoadedData("ner", "Title", "ner", languages, ["a note"], tuple(languages if mono is None else mono))
        monkeypatch.setattr(module.Source, "load", lambda self: found)

    return load


def shape(planned):
    return [
        (run.setting, run.languages, tuple(code for code in run.data if run.data[code].test)) for run in planned.runs
    ]


def small(world, *settings, **changes):
    return settings_of(world, models=["student"], seeds=[1], settings=list(settings), **changes)


WHOLE = "train dev test"


@pytest.mark.parametrize(
    ("parts", "setting", "expected"),
    [
        ({"de": WHOLE, "en": WHOLE, "fr": "test"}, "each", [(("de",), ("de",)), (("en",), ("en",))]),
        ({"de": WHOLE, "en": WHOLE, "fr": "test"}, "all", [(("de", "en"), ("de", "en", "fr"))]),
        ({"de": "train", "en": WHOLE, "fr": "test"}, "all", [(("en",), ("en", "fr"))]),
        ({"de": WHOLE, "en": WHOLE, "fr": "dev test"}, "zero-shot", [(("en",), ("de", "en", "fr"))]),
        ({"de": "test", "en": "train dev"}, "zero-shot", [(("en",), ("de",))]),
    ],
)
def test_languages_that_lack_a_part(world, loaded, parts, setting, expected):
    loaded(parts)
    planned = plan(small(world, setting), models_of(world))
    assert shape(planned) == [(setting, *entry) for entry in expected]
    for run in planned.runs:
        # Dev parts of languages that are not trained on choose nothing.
        assert [code for code, splits in run.data.items() if splits.dev] == list(run.languages)
    assert "ner: a note" in planned.notes


def test_a_language_without_dev_to_choose_by_is_named(world, loaded):
    loaded({"de": WHOLE, "en": "train test"})
    finetune = {"learning_rates": [1e-3, 1e-2]}
    with pytest.raises(DataError, match=r"benchmark.data.\w+, each, en: several learning rates") as caught:
        plan(small(world, "all", "each", finetune=finetune), models_of(world))
    assert "split = true" in caught.value.fix


def test_mono_leaves_the_pairs_out_and_each_keeps_them(world, loaded):
    loaded({"de": WHOLE, "de-en": WHOLE, "en": WHOLE}, mono=["de", "en"])
    planned = plan(small(world, "each", "all", "mono"), models_of(world))
    assert shape(planned) == [
        ("each", ("de",), ("de",)),
        ("each", ("de-en",), ("de-en",)),
        ("each", ("en",), ("en",)),
        ("all", ("de", "de-en", "en"), ("de", "de-en", "en")),
        ("mono", ("de", "en"), ("de", "en")),
    ]


@pytest.mark.parametrize(
    ("parts", "setting", "note"),
    [
        ({"de": WHOLE, "en": WHOLE}, "mono", "the same as all"),
        ({"de": WHOLE, "en": "test"}, "zero-shot", "no training part in en"),
        ({"de": WHOLE, "en": "test"}, "mono", "the same as all"),
    ],
)
def test_a_setting_that_makes_no_sense_is_left_out_with_a_note(world, loaded, parts, setting, note):
    loaded(parts)
    planned = plan(small(world, "each", setting), models_of(world))
    assert {run.setting for run in planned.runs} == {"each"}
    assert any(note in told for told in planned.notes)
    with pytest.raises(DataError, match="nothing to train") as caught:
        plan(small(world, setting), models_of(world))
    assert note in caught.value.message


def test_all_of_one_language_is_each(world, loaded):
    loaded({"de": WHOLE, "en": "train"})
    planned = plan(small(world, "each", "all"), models_of(world))
    assert shape(planned) == [("each", ("de",), ("de",))]
    assert any("for want of a test part: en" in note for note in planned.notes)
    assert [run.setting for run in plan(small(world, "all"), models_of(world)).runs] == ["all"]


def test_training_parts_of_another_benchmark(world):
    data = {
        "mine": {"task": "ner", "files": files_of(world, parts=["test"]), "train_on": "other"},
        "other": {"task": "ner", "files": files_of(world, ["xx"], parts=["train", "dev"])},
    }
    planned = plan(small(world, "all", data=data), models_of(world))
    (run,) = planned.runs
    assert (run.benchmark, run.languages, list(run.data)) == ("mine", ("xx",), ["xx", "yy"])
    assert any("other: nothing is trained on it, because no language has a test part" in note for note in planned.notes)
    write_work(run, world / "out")
    assert dict(read_work(world / "out", run.address).data) == dict(run.data)
    assert run.title == "mine, trained on other"
    data["mine"]["max_train"] = 7
    (fewer,) = plan(small(world, "all", data=data), models_of(world)).runs
    assert len(fewer.data["xx"].train.samples) == 7
    write_work(fewer, world / "out")
    assert dict(read_work(world / "out", fewer.address).data) == dict(fewer.data)


# Names -------------------------------------------------------------------------------------------------------------


def test_the_papers_five_are_one_word():
    assert len(BASELINES) == 5
    assert model_names(["student", "baselines", "xlm-roberta-base"]) == ["student", *BASELINES]


def test_models_are_looked_up_by_name_and_folder(world, monkeypatch):
    seen = []
    monkeypatch.setattr(
        models_module, "find_encoder", lambda source, name=None: seen.append((str(source), name)) or Known(str(source))
    )
    models_module.find_models(["student", "me/mine"], {"student": world / "student"})
    assert seen == [(str(world / "student"), "student"), ("me/mine", None)]


class Known:
    def __init__(self, name):
        self.name = self.fingerprint = name


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"only_benchmarks": ["nre"]}, "Did you mean ner?"),
        ({"only_models": ["studnet"]}, "Did you mean student?"),
        ({"only_models": ["x"]}, "There is student, teacher."),
    ],
)
def test_a_filter_that_fits_nothing_is_told(world, options, says):
    with pytest.raises(RecipeError) as caught:
        plan(settings_of(world), models_of(world), **options)
    assert says in caught.value.fix


def test_an_unknown_benchmark_is_told_with_the_nearest_name(world):
    with pytest.raises(DataError) as caught:
        plan(settings_of(world, data={"conll2oo2": {}}), models_of(world))
    assert "conll2oo2" in caught.value.message
    assert "conll2002" in str(caught.value)


# Runs as files -----------------------------------------------------------------------------------------------------


def test_a_run_is_the_same_from_its_file(world):
    tree = settings_of(world).finetune.model_dump()
    finetune = {**tree, "distillation": {"teacher": "teacher"}}
    for run in runs_of(world, finetune=finetune, settings=["each", "all", "zero-shot"], zero_shot_from=["yy"]):
        write_work(run, world / "out")
        again = read_work(world / "out", run.address)
        assert again.address == run.address
        assert (str(again), again.keep, again.teacher) == (str(run), run.keep, run.teacher)
        assert dict(again.data) == dict(run.data)


@pytest.mark.parametrize("changed", ["xx/train", "student/config.json"])
def test_what_has_changed_since_the_plan_is_told(world, changed):
    (run, *_) = runs_of(world)
    write_work(run, world / "out")
    with (world / changed).open("a") as stream:
        stream.write("\n\n")
    with pytest.raises(DataError, match="has changed since the run was planned"):
        read_work(world / "out", run.address)
