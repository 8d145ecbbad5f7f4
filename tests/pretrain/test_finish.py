"""What a run leaves behind: whole or not there, complete, and not taken for what it is not."""

import json
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from finish_support import FULL, TEACHER, finished_run, make_recipe, tiny_student, write_log
from tests_support import World, make_settings
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.pretrain import finish as module
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.finish import finish, is_finished, unknown_shares
from unibert.report.schema import Summary
from unibert.tokens.store import TokenStore


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), world)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def read_summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text(encoding="utf-8"))


def test_the_folder_holds_the_model_its_tokenizer_and_nothing_else(run: Path) -> None:
    names = {path.name for path in (run / "model").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    model, loading = AutoModelForMaskedLM.from_pretrained(run / "model", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert tokenizer.model_max_length == 32
    logits = model(**tokenizer("the river", return_tensors="pt")).logits
    assert logits.shape[-1] == read_summary(run)["vocabulary_size"]
    assert bool(torch.isfinite(logits).all())


def test_the_summary_tells_everything(run: Path, world: World) -> None:
    summary, settings, store = read_summary(run), make_settings(**FULL), TokenStore(world.tokens)
    assert summary["objective"] == {
        "mlm": 0.5,
        "label_smoothing": 0.1,
        "adversary": settings.adversary.model_dump(),
        "distillation": settings.distillation.model_dump(),
    }
    for key in ("learning_rate", "warmup_steps", "weight_decay", "clip_norm", "dropout", "alpha", "batch_size"):
        assert summary["training"][key] == getattr(settings, key)
    assert summary["training"]["masking"] == settings.masking.model_dump()
    assert summary["shares"] == {"de": 0.2, "en": 0.5, "ru": 0.3}
    assert summary["language_samples"] == {"de": 20, "en": 50, "ru": 30}
    assert summary["tokens_per_second"] == pytest.approx(20)
    assert summary["heldout"] == {
        "kind": "heldout", "step": 300, "mlm": 6.5, "languages": {"de": 5.0, "en": 6.0, "ru": 7.0}
    }  # fmt: skip
    assert summary["teacher"] == TEACHER
    assert (summary["precision"], summary["initialise"]) == ("float32", "random")
    assert summary["tokens_fingerprint"] == store.fingerprint
    assert summary["weights_sha256"] == sha256_of_file(run / "model" / "model.safetensors")
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["hardware"]["cores"] >= 1


def test_the_report_reads_it(run: Path) -> None:
    summary = Summary.model_validate(read_summary(run))
    assert summary.heldout is not None
    assert summary.heldout.mlm == 6.5


def test_what_only_the_loop_knows_is_given(world: World, tmp_path: Path) -> None:
    facts = {"precision": "bfloat16", "compiled": True, "processes": 2, "device": "a GPU", "flops": 1e15}
    finished_run(
        tmp_path, world, **facts, energy_kwh=1.5, peak_fraction=0.4, siblings=["xsmall", "student"], license="mit"
    )
    summary = read_summary(tmp_path)
    told = {key: summary[key] for key in ("precision", "processes", "device", "flops")}
    assert told == {key: facts[key] for key in told}
    assert (summary["compile"], summary["energy_kwh"], summary["peak_fraction"]) == (True, 1.5, 0.4)
    assert (summary["siblings"], summary["license"]) == (["xsmall"], "mit")


@pytest.mark.parametrize("distils", [True, False])
def test_without_facts_the_teacher_is_the_recipe_s(world: World, tmp_path: Path, distils: bool) -> None:
    settings = make_settings(**FULL if distils else {})
    store = TokenStore(world.tokens)
    arguments = (world.tokenizer, store, Progress(5, 50, 0.0, [1, 2, 3]), make_recipe(settings))
    summary = finish(tmp_path, "student", settings, 3, tiny_student(settings, store), *arguments)
    assert summary["teacher"] == ({"name": TEACHER["name"]} if distils else None)
    assert summary["heldout"] is None
    assert summary["tokens_per_second"] is None
    assert is_finished(tmp_path)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "No text was held out" in card
    assert "## Losses" not in card


def test_a_member_of_a_family_is_told_as_if_alone(world: World, tmp_path: Path) -> None:
    shape = {"layers": 2, "hidden": 24, "heads": 2, "feed_forward": 32, "max_positions": 32}
    family = make_settings(students={"bigger": shape, "smaller": {**shape, "layers": 1}})
    finished_run(tmp_path / "bigger", world, family.alone("bigger"), "bigger", siblings=["bigger", "smaller"])
    summary = read_summary(tmp_path / "bigger")
    assert summary["name"] == "bigger"
    assert summary["architecture"]["layers"] == 2
    assert "Trained side by side with `smaller`" in (tmp_path / "bigger/model/README.md").read_text(encoding="utf-8")


def test_unknown_pieces_are_counted_by_language(world: World) -> None:
    store = TokenStore(world.tokens)
    tokens = store.tokens("de", "train") + store.tokens("de", "heldout")
    store.index["languages"]["de"]["unknown"] = tokens // 2
    del store.index["languages"]["ru"]["unknown"]
    shares = unknown_shares(store)
    assert shares["de"] == pytest.approx(0.5, abs=0.01)
    assert shares["en"] == 0
    assert "ru" not in shares


def test_a_finished_run_is_finished(copy: Path) -> None:
    assert is_finished(copy)
    (copy / "model" / "README.md").write_text("my own words")
    assert is_finished(copy)


def empty(copy: Path) -> None:
    shutil.rmtree(copy / "model")
    (copy / "model").mkdir()


def cut(copy: Path) -> None:
    path = copy / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def foreign(copy: Path) -> None:
    """Another model of the same shape and size."""
    model = AutoModelForMaskedLM.from_pretrained(copy / "model")
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 0] += 1e-3
    model.save_pretrained(copy / "model")


@pytest.mark.parametrize(
    "damage",
    [
        empty,
        cut,
        foreign,
        lambda copy: shutil.rmtree(copy / "model"),
        lambda copy: (copy / "summary.json").unlink(),
        lambda copy: (copy / "summary.json").write_text('{"schema": 1, "weights'),
        lambda copy: (copy / "summary.json").write_text("[]"),
        lambda copy: (copy / "summary.json").write_text('{"schema": 1}'),
        lambda copy: (copy / "model" / "config.json").unlink(),
        lambda copy: (copy / "model" / "tokenizer.json").write_text(""),
        lambda copy: shutil.rmtree(copy),
    ],
)
def test_what_is_not_the_run_s_model_is_not_taken_for_it(copy: Path, damage: Any) -> None:
    damage(copy)
    assert not is_finished(copy)


def test_finishing_again_replaces_what_is_there(copy: Path, world: World) -> None:
    foreign(copy)
    (copy / "model" / "stranger.bin").write_bytes(b"x")
    (copy / ".model.abcd1234.tmp").mkdir()
    finished_run(copy, world, seed=4)
    assert is_finished(copy)
    assert read_summary(copy)["seed"] == 4
    assert not (copy / "model" / "stranger.bin").exists()
    assert not list(copy.glob(".model.*"))


@pytest.mark.parametrize("step", ["write_tokenizer_files", "model_card", "sha256_of_file", "write_json"])
def test_a_failure_on_the_way_leaves_nothing_half_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, fail)
    with pytest.raises(KeyboardInterrupt):
        finished_run(tmp_path, world)
    assert not is_finished(tmp_path)
    assert not (tmp_path / "summary.json").exists()
    # The model is whole when only the summary is missing.
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", *(["model"] if step == "write_json" else [])}
    monkeypatch.undo()
    finished_run(tmp_path, world)
    assert is_finished(tmp_path)


def test_a_full_disk_is_told_and_the_model_before_stays(copy: Path, world: World) -> None:
    """No file may grow beyond what a log takes; the system answers a writer as it does on a full disk."""
    settings, store = make_settings(**FULL), TokenStore(world.tokens)
    write_log(copy, store)
    before = sha256_of_file(copy / "model" / "model.safetensors")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DataError, match=r"model: cannot be written") as caught:
            student = tiny_student(settings, store, 9)
            progress = Progress(300, 1, 1.0, [1, 1, 1])
            finish(copy, "student", settings, 3, student, world.tokenizer, store, progress, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "Make room on the disk" in caught.value.fix
    assert sha256_of_file(copy / "model" / "model.safetensors") == before
    assert is_finished(copy)
    assert not list(copy.glob(".model.*"))


def test_one_student_has_no_siblings(world: World, tmp_path: Path) -> None:
    finished_run(tmp_path, world, name="teacher", siblings=["student"])
    assert read_summary(tmp_path)["siblings"] == []
    assert "side by side" not in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
