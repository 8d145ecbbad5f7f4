"""The loop as a whole: what it writes, that it learns, that it resumes bit for bit, that it refuses what it must."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from tests_support import WORDS, World, make_settings, write_world
from unibert.errors import DataError, Interrupted, RunMismatch, UniBertError
from unibert.models.student import build_student
from unibert.pretrain.checkpoint import list_checkpoints
from unibert.pretrain.log import read_log
from unibert.pretrain.loop import pretrain
from unibert.recipe import Architecture, Pretrain
from unibert.tokens.batches import Batches
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer


def weights(output: Path) -> dict[str, torch.Tensor]:
    return AutoModelForMaskedLM.from_pretrained(output / "model").state_dict()


def assert_same_run(one: Path, two: Path, exactly: bool = True) -> None:
    first, second = weights(one), weights(two)
    for key, tensor in first.items():
        if exactly:
            assert torch.equal(tensor, second[key]), key
        else:
            torch.testing.assert_close(tensor, second[key], rtol=1e-4, atol=1e-5)
    timing = {"seconds", "tokens_per_second", "peak_fraction"}
    logs = [
        [{key: value for key, value in record.items() if key not in timing} for record in read_log(path / "log.jsonl")]
        for path in (one, two)
    ]
    if exactly:
        assert logs[0] == logs[1]
    else:
        assert [record["step"] for record in logs[0]] == [record["step"] for record in logs[1]]
        for left, right in zip(*logs, strict=True):
            assert left["mlm"] == pytest.approx(right["mlm"], rel=1e-4)


@pytest.fixture(scope="module")
def teacher(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    shape = {"layers": 1, "hidden": 24, "heads": 2, "feed_forward": 32, "max_positions": 32}
    settings = make_settings(student=shape, adversary={"mode": "none", "weight": 0}, steps=20, save_every=20)
    pretrain(settings, **{**world.arguments(folder), "name": "teacher"})
    return folder / "model"


FULL = {"distillation": {"weight": 0.4}, "adversary": {"mode": "confusion", "weight": 0.1}}


def test_what_comes_out_loads_with_transformers_alone(world: World, teacher: Path, tmp_path: Path) -> None:
    summary = pretrain(make_settings(**FULL), **world.arguments(tmp_path), teacher=teacher)
    script = """
import sys
sys.modules["unibert"] = None  # importing it would fail
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
batch = tokenizer(["the river flows", "река"], return_tensors="pt", padding=True)
print(AutoModel.from_pretrained(folder)(**batch).last_hidden_state.shape[-1])
print(AutoModelForMaskedLM.from_pretrained(folder)(**batch).logits.shape[-1], len(tokenizer))
"""
    out = subprocess.run([sys.executable, "-c", script, str(tmp_path / "model")], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["16", str(summary["vocabulary_size"]), str(summary["vocabulary_size"])]
    # BERT's pooler is no part of a masked language model; nothing else may be missing.
    assert all(
        "pooler" in line for line in out.stderr.splitlines() if "MISSING" in line and "|" in line and "." in line
    )
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"{summary['parameters']:,}" in card
    assert "confusion" in card


def test_the_log_tells_every_part_of_the_objective(world: World, teacher: Path, tmp_path: Path) -> None:
    pretrain(make_settings(**FULL), **world.arguments(tmp_path), teacher=teacher)
    records = read_log(tmp_path / "log.jsonl")
    train = [record for record in records if record["kind"] == "train"]
    held_out = [record for record in records if record["kind"] == "heldout"]
    assert [record["step"] for record in train] == [2, 4, 6, 8, 10, 12]
    assert [record["step"] for record in held_out] == [0, 6, 12]
    assert set(held_out[0]["languages"]) == set(WORDS)
    # Confusion is bounded below by log K, and equation 5 adds up.
    for record in train:
        confusion = (record["loss"] - 0.5 * record["mlm"] - 0.4 * record["distillation"]) / 0.1
        assert confusion >= torch.log(torch.tensor(3.0)) - 1e-3
    assert sum(train[-1]["shares"].values()) == pytest.approx(1)
    assert train[-1]["tokens"] > train[0]["tokens"] > 0


@pytest.mark.parametrize("mode", ["loss-reversal", "gradient-reversal"])
def test_equation_5_adds_up(world: World, teacher: Path, tmp_path: Path, mode: str) -> None:
    changes = {"distillation": {"weight": 0.4}, "adversary": {"mode": mode, "weight": 0.1}}
    pretrain(make_settings(**changes), **world.arguments(tmp_path), teacher=teacher)
    for record in read_log(tmp_path / "log.jsonl"):
        if record["kind"] == "train":
            total = 0.5 * record["mlm"] - 0.1 * record["adversary"] + 0.4 * record["distillation"]
            assert record["loss"] == pytest.approx(total, rel=1e-4)


def test_it_learns(world: World, tmp_path: Path) -> None:
    settings = make_settings(
        steps=150, evaluate_every=150, save_every=150, log_every=50, label_smoothing=0.0, dropout=0.0
    )
    pretrain(settings, **world.arguments(tmp_path))
    held_out = [record["mlm"] for record in read_log(tmp_path / "log.jsonl") if record["kind"] == "heldout"]
    assert held_out[-1] < held_out[0] - 1.0


def test_the_student_learns_from_the_teacher(world: World, teacher: Path, tmp_path: Path) -> None:
    settings = make_settings(
        steps=150, save_every=150, mlm_weight=0.0, distillation={"weight": 1.0}, adversary={"mode": "none", "weight": 0}
    )
    pretrain(settings, **world.arguments(tmp_path), teacher=teacher)
    losses = [record["distillation"] for record in read_log(tmp_path / "log.jsonl") if record["kind"] == "train"]
    assert losses[-1] < losses[0] / 2


def test_the_same_seed_gives_the_same_loss_and_weights(world: World, teacher: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / name), teacher=teacher)
    assert_same_run(tmp_path / "one", tmp_path / "two")


class StopAt:
    """Sends this process SIGINT while the batch of a step is being made."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, original: Any) -> Any:
        def languages_of(batches: Any, step: int) -> Any:
            if step == self.step:
                os.kill(os.getpid(), signal.SIGINT)
            return original(batches, step)

        return languages_of


@pytest.mark.parametrize("stop_at", [0, 4, 7, 10])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    world: World, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """With dropout, with all three losses: weights and log are the same to the last bit."""
    assert threading.current_thread() is threading.main_thread()
    settings = make_settings(**FULL)
    pretrain(settings, **world.arguments(tmp_path / "whole"), teacher=teacher)

    from unibert.tokens.batches import Batches

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "languages_of", StopAt(stop_at)(Batches.languages_of))
        with pytest.raises(Interrupted, match=f"stopped at step {stop_at + 1} "):
            pretrain(settings, **world.arguments(tmp_path / "cut"), teacher=teacher)
    assert not (tmp_path / "cut" / "model").exists()
    pretrain(settings, **world.arguments(tmp_path / "cut"), teacher=teacher)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_killed_run_goes_on_from_its_last_checkpoint(world: World, tmp_path: Path) -> None:
    """What was logged after the checkpoint is forgotten, the newest checkpoint may even be damaged."""
    settings = make_settings()
    pretrain(settings, **world.arguments(tmp_path / "whole"))
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    killed = tmp_path / "killed"
    shutil.rmtree(killed / "model")
    (killed / "summary.json").unlink()
    newest = list_checkpoints(killed / "checkpoints")[-1]
    (newest / "student.safetensors").write_bytes(b"half")
    with (killed / "log.jsonl").open("a") as stream:
        stream.write('{"kind": "train", "st')
    pretrain(settings, **world.arguments(killed))
    assert_same_run(tmp_path / "whole", killed)


def test_a_finished_run_is_not_repeated(world: World, tmp_path: Path) -> None:
    first = pretrain(make_settings(), **world.arguments(tmp_path))
    before = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    assert pretrain(make_settings(), **world.arguments(tmp_path)) == first
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_another_recipe_in_the_same_folder_is_refused(world: World, tmp_path: Path) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    with pytest.raises(RunMismatch, match=r"settings\.learning_rate: 0\.005 -> 0\.001"):
        pretrain(make_settings(learning_rate=1e-3), **world.arguments(tmp_path))
    # What only concerns logging is no other run.
    pretrain(make_settings(log_every=5), **world.arguments(tmp_path))


@pytest.mark.parametrize("lost", ["checkpoints", "summary.json"])
def test_another_recipe_is_refused_where_run_json_was_lost(world: World, tmp_path: Path, lost: str) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    (tmp_path / "run.json").unlink()
    shutil.move(tmp_path / lost, tmp_path / "elsewhere")
    with pytest.raises(RunMismatch, match=r"run\.json is missing, and the results are those of run"):
        pretrain(make_settings(learning_rate=1e-3), **world.arguments(tmp_path))
    assert not (tmp_path / "run.json").exists()  # and so the right one can go on
    pretrain(make_settings(), **world.arguments(tmp_path))


def test_micro_batches_change_nothing_but_rounding(world: World, teacher: Path, tmp_path: Path) -> None:
    for name, size in (("cut", 32), ("whole", 100_000)):
        settings = make_settings(**FULL, micro_batch_tokens=size, dropout=0.0)
        pretrain(settings, **world.arguments(tmp_path / name), teacher=teacher)
    assert_same_run(tmp_path / "cut", tmp_path / "whole", exactly=False)


def test_two_processes_train_as_one(world: World, teacher: Path, tmp_path: Path) -> None:
    """Gloo on this machine, started by torchrun; without dropout, whose random numbers belong to a process."""
    settings = make_settings(**FULL, dropout=0.0)
    pretrain(settings, **world.arguments(tmp_path / "one"), teacher=teacher)
    run_two_processes(world, settings, teacher, tmp_path)
    assert_same_run(tmp_path / "one", tmp_path / "two", exactly=False)


def test_two_processes_with_different_numbers_of_micro_batches_train_a_family_as_one(
    world: World, teacher: Path, tmp_path: Path
) -> None:
    shape = {"layers": 1, "hidden": 16, "heads": 2, "feed_forward": 24, "max_positions": 32}
    students = {"wide": shape, "narrow": {**shape, "hidden": 8}}
    settings = make_settings(**FULL, dropout=0.0, students=students, batch_size=6, micro_batch_tokens=16)
    store, special = TokenStore(world.tokens), SpecialIds.of(load_tokenizer(world.tokenizer))
    counts = [[len(Batches(store, special, settings, 3, rank, 2).batch(step)) for rank in (0, 1)] for step in range(12)]
    assert any(first != second for first, second in counts)
    pretrain(settings, **world.arguments(tmp_path / "one"), teacher=teacher)
    run_two_processes(world, settings, teacher, tmp_path)
    for member in students:
        assert_same_run(tmp_path / "one" / member, tmp_path / "two" / member, exactly=False)


def run_two_processes(world: World, settings: Pretrain, teacher: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"""
from pathlib import Path
from unibert.pretrain.loop import pretrain
from unibert.recipe import Pretrain
settings = Pretrain.model_validate_json({settings.model_dump_json()!r})
for name in ("first", "two"):  # a recipe's teacher and student are trained in one go
    pretrain(settings, name="student", seed=3, tokens=Path({str(world.tokens)!r}),
             tokenizer=Path({str(world.tokenizer)!r}), output=Path({str(tmp_path)!r}) / name, teacher={str(teacher)!r})
""")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    command = [*launcher, str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert out.returncode == 0, out.stderr[-3000:]


def test_a_teacher_with_another_tokenizer_is_refused(world: World, tmp_path: Path) -> None:
    other = write_world(
        tmp_path / "other", {"en": WORDS["en"], "el": "ο ποταμός διασχίζει την πόλη και χύνεται".split()}
    )
    shape = Architecture(layers=1, hidden=16, heads=2, feed_forward=24, max_positions=32)
    model = build_student(shape, 200, 0, seed=1)
    model.save_pretrained(tmp_path / "teacher")
    AutoTokenizer.from_pretrained(other.tokenizer).save_pretrained(tmp_path / "teacher")
    with pytest.raises(DataError, match=r"another tokenizer \(.* pieces differ"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=tmp_path / "teacher")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_too_small_is_refused(world: World, tmp_path: Path) -> None:
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForMaskedLM(config).save_pretrained(tmp_path / "teacher")
    with pytest.raises(DataError, match="20 rows"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=tmp_path / "teacher")


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_teacher_that_is_none_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "teacher"
    if content is not None:
        folder.mkdir()
        (folder / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"cannot be loaded as a masked language model|no such folder"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=folder)


def save_teacher(world: World, folder: Path, rows: int, positions: int = 64, head: bool = True) -> Path:
    """A random teacher with the world's tokenizer."""
    config = BertConfig(
        vocab_size=rows, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=positions,
    )  # fmt: skip
    (BertForMaskedLM if head else BertModel)(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(world.tokenizer).save_pretrained(folder)
    return folder


def test_a_teacher_with_a_padded_vocabulary_teaches(world: World, tmp_path: Path) -> None:
    teacher = save_teacher(world, tmp_path / "teacher", rows=640)
    summary = pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=teacher)
    assert summary["vocabulary_size"] < 640


@pytest.mark.parametrize(
    ("changes", "says"), [({"head": False}, "its weights lack"), ({"positions": 20}, "at most 20 tokens")]
)
def test_a_teacher_that_cannot_teach_is_refused(world: World, tmp_path: Path, changes: Any, says: str) -> None:
    teacher = save_teacher(world, tmp_path / "teacher", **{"rows": 640, **changes})
    with pytest.raises(DataError, match=says):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=teacher)


def test_a_model_that_was_deleted_is_made_again(world: World, tmp_path: Path) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    before = weights(tmp_path)
    shutil.rmtree(tmp_path / "model")
    pretrain(make_settings(), **world.arguments(tmp_path))
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights(tmp_path).items())


def test_a_teacher_with_a_damaged_tokenizer_is_refused(world: World, tmp_path: Path) -> None:
    teacher = save_teacher(world, tmp_path / "teacher", rows=640)
    (teacher / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="tokenizer cannot be read"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=teacher)


def test_a_teacher_with_damaged_weights_is_refused(world: World, tmp_path: Path) -> None:
    teacher = save_teacher(world, tmp_path / "teacher", rows=640)
    (teacher / "model.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="cannot be loaded"):
        pretrain(make_settings(**FULL), **world.arguments(tmp_path / "run"), teacher=teacher)


def test_a_tokenizer_that_is_not_the_stores_is_refused(world: World, tmp_path: Path) -> None:
    other = write_world(tmp_path, {"el": "ο ποταμός διασχίζει την πόλη και χύνεται στη θάλασσα".split()})
    with pytest.raises(DataError, match="another tokenizer"):
        pretrain(make_settings(), **{**world.arguments(tmp_path / "run"), "tokenizer": other.tokenizer})


def test_a_corrupted_shard_is_refused(tmp_path: Path) -> None:
    world = write_world(tmp_path)
    shard = world.tokens / "de.train.bin"
    content = bytearray(shard.read_bytes())
    content[5] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"de\.train\.bin"):
        pretrain(make_settings(), **world.arguments(tmp_path / "run"))


def test_a_gradient_that_is_not_a_number_stops_the_run(world: World, tmp_path: Path) -> None:
    with pytest.raises(UniBertError, match="not a number at step"):
        pretrain(make_settings(learning_rate=1e30, warmup_steps=0, clip_norm=1e30), **world.arguments(tmp_path))


def test_want_of_memory_is_told(world: World, tmp_path: Path) -> None:
    shape = {"layers": 1, "hidden": 8, "heads": 2, "feed_forward": 1 << 50, "max_positions": 64}
    with pytest.raises(UniBertError, match=r"memory does not suffice\n.*micro_batch_tokens"):
        pretrain(make_settings(student=shape), **world.arguments(tmp_path))


def test_the_literal_loss_reversal_runs_off_and_says_so(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(steps=60, adversary={"mode": "loss-reversal", "weight": 10.0, "bound": 3.0})
    pretrain(settings, **world.arguments(tmp_path))
    told = capsys.readouterr().err
    assert told.count("has run off") == 1
    assert "mode=confusion" in told


def test_nothing_held_out_is_no_loss_of_zero(tmp_path: Path) -> None:
    world = write_world(tmp_path, held_out=False)
    summary = pretrain(make_settings(), **world.arguments(tmp_path / "run"))
    assert summary["heldout"] is None
    assert "0.000" not in (tmp_path / "run" / "model" / "README.md").read_text()


def test_the_tokenizer_knows_how_long_the_encoder_reads(world: World, tmp_path: Path) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    batch = tokenizer("the river flows " * 50, return_tensors="pt", truncation=True)
    assert batch["input_ids"].shape[1] == 32
    AutoModel.from_pretrained(tmp_path / "model")(**batch)


def test_log_lines_are_json(world: World, tmp_path: Path) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        assert "NaN" not in line
        json.loads(line)


def test_the_embeddings_are_the_encoders(world: World, tmp_path: Path) -> None:
    pretrain(make_settings(), **world.arguments(tmp_path))
    encoder = AutoModel.from_pretrained(tmp_path / "model").eval()
    full = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    ids = torch.tensor([[2, 7, 8, 3]])
    torch.testing.assert_close(encoder(ids).last_hidden_state, full.bert(ids).last_hidden_state)
