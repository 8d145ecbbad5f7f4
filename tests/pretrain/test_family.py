"""Several students beside each other become what each becomes alone; a step equals the naive one, part by part."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor
from transformers import DebertaV2Config, DebertaV2ForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from tests_support import World, make_settings
from unibert.errors import DataError
from unibert.files import read_json
from unibert.models.adversary import LanguageDiscriminator
from unibert.models.packed import unpacked
from unibert.models.student import build_student
from unibert.pretrain import tally
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.distributed import Team
from unibert.pretrain.family import Family
from unibert.pretrain.log import read_log
from unibert.pretrain.loop import pretrain
from unibert.pretrain.step import MEASURES, Totals
from unibert.recipe import Architecture, Pretrain, TeacherCache
from unibert.tokens.batches import Batches, MicroBatch
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer

SHAPES = {
    "wide": {"layers": 2, "hidden": 16, "heads": 2, "feed_forward": 24, "max_positions": 32},
    "narrow": {"layers": 1, "hidden": 8, "heads": 2, "feed_forward": 16, "max_positions": 32},
}
TEACHER = Architecture(layers=3, hidden=32, heads=4, feed_forward=24, max_positions=64)
EVERYTHING = {
    "adversary": {"mode": "confusion", "weight": 0.3, "hidden": 12, "depth": 2, "learning_rate": 1e-2, "steps": 2},
    "distillation": {
        "weight": 0.4,
        "hidden": {"weight": 0.2},
        "relations": {"weight": 0.3, "heads": 4},
    },
}


@pytest.fixture(scope="module")
def teacher_folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer = load_tokenizer(world.tokenizer)
    build_student(TEACHER, len(tokenizer), 0, seed=5).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def test_a_teacher_whose_relations_cannot_be_read_is_refused_before_anything_is_trained(
    world: World, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 16}
    config = DebertaV2Config(vocab_size=len(tokenizer), max_position_embeddings=64, **shape)
    DebertaV2ForMaskedLM(config).save_pretrained(tmp_path / "teacher")
    settings = make_settings(**EVERYTHING)
    with pytest.raises(DataError, match="queries, keys and values cannot be read"):
        pretrain(settings, **world.arguments(tmp_path / "run"), teacher=tmp_path / "teacher")
    assert not (tmp_path / "run" / "log.jsonl").exists()


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["mlm", "everything"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_member_becomes_what_it_becomes_alone(
    world: World, teacher_folder: Path, tmp_path: Path, changes: dict[str, Any], dropout: float
) -> None:
    tree = {**changes, "dropout": dropout, "micro_batch_tokens": 40}
    family = make_settings(students=SHAPES, **tree)
    arguments = {**world.arguments(tmp_path / "family"), "teacher": teacher_folder if changes else None}
    summaries = pretrain(family, **arguments)
    assert list(summaries) == list(SHAPES)
    assert [summary["siblings"] for summary in summaries.values()] == [["narrow"], ["wide"]]
    for member, shape in SHAPES.items():
        alone = tmp_path / member
        pretrain(make_settings(student=shape, **tree), **{**arguments, "output": alone})
        together = tmp_path / "family" / member
        for key, tensor in tensors(alone).items():
            assert torch.equal(tensor, tensors(together)[key]), key
        timing = {"seconds", "tokens_per_second", "peak_fraction"}
        logs = [
            [
                {key: value for key, value in record.items() if key not in timing}
                for record in read_log(path / "log.jsonl")
            ]
            for path in (alone, together)
        ]
        assert logs[0] == logs[1]
        assert len(logs[0]) > 5


def test_a_family_resumes_bit_for_bit(world: World, teacher_folder: Path, tmp_path: Path) -> None:
    settings = make_settings(students=SHAPES, steps=8, save_every=3, **EVERYTHING)
    arguments = {**world.arguments(tmp_path / "whole"), "teacher": teacher_folder}
    pretrain(settings, **arguments)
    part = {**arguments, "output": tmp_path / "part"}
    import unibert.pretrain.loop as loop

    class Killed(Exception):
        pass

    def killed(step: int) -> float:
        if step == 7:
            raise Killed
        return original(step, settings)

    original = loop.learning_rate
    loop.learning_rate = lambda step, settings: killed(step)
    try:
        with pytest.raises(Killed):
            pretrain(settings, **part)
    finally:
        loop.learning_rate = original
    pretrain(settings, **part)
    for member in SHAPES:
        one, other = tensors(tmp_path / "whole" / member), tensors(tmp_path / "part" / member)
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("positions", ["masked", "all"])
def test_only_heads_that_run_are_counted(world: World, monkeypatch: pytest.MonkeyPatch, positions: str) -> None:
    counted = []

    def count(shapes: Any, teacher: Any, lengths: Any, rows: int, vocabulary: int, teacher_rows: int) -> int:
        counted.append((rows, teacher_rows))
        return 0

    monkeypatch.setattr(tally, "step_flops", count)
    distillation = {"weight": 0.0, "positions": positions, "hidden": {"weight": 1.0}}
    family, micro_batches, totals = make_family(world, make_settings(distillation=distillation))
    counter = tally.Tally(Progress(0, 0, 0.0, [0, 0, 0]), family, ["de", "en", "ru"], family.vocabulary_size)
    counter.add(micro_batches, totals, np.zeros(3, dtype=np.int64), family.update(0, micro_batches, totals), 1.0)
    assert counted == [(len(batch.rows), 0) for batch in micro_batches]


def test_first_weights_from_the_teacher_change_nothing_of_its_cache(
    world: World, teacher_folder: Path, tmp_path: Path
) -> None:
    cache = TeacherCache(top=8, folder=str(tmp_path / "cache"))
    for start in ("random", "teacher"):
        settings = make_settings(
            steps=4, initialise=start, precision="bfloat16", distillation={"weight": 0.4}, save_every=4
        )
        pretrain(settings, **world.arguments(tmp_path / start), teacher=teacher_folder, cache=cache)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert len(list((tmp_path / "cache").glob("*/*.top"))) == 1  # the second wrote nothing


def test_rotary_positions_of_a_teacher_keep_their_precision(world: World) -> None:
    store, special = TokenStore(world.tokens), SpecialIds.of(load_tokenizer(world.tokenizer))
    config = ModernBertConfig(
        vocab_size=special.vocabulary_size, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    teacher = ModernBertForMaskedLM(config).eval().requires_grad_(False).to(torch.bfloat16)
    before = {}
    for name, buffer in ModernBertForMaskedLM(config).named_buffers():
        before[name] = buffer.clone()
        teacher.get_buffer(name).data = buffer.clone()  # as `from_pretrained(dtype=...)` has them
    family = Family(
        make_settings(distillation={"weight": 0.4}), 3, vocabulary_size=special.vocabulary_size, pad_id=special.pad,
        languages=len(store.languages), teacher=teacher, team=Team(0, 1, torch.device("cpu")), dtype=torch.bfloat16,
        compiled=False,
    )  # fmt: skip
    assert before
    assert all(torch.equal(family.teacher.get_buffer(name), buffer) for name, buffer in before.items())
    assert {parameter.dtype for parameter in family.teacher.parameters()} == {torch.bfloat16}


# ---- a step against the naive one


def make_family(world: World, settings: Pretrain) -> tuple[Family, list[MicroBatch], Totals]:
    store, tokenizer = TokenStore(world.tokens), load_tokenizer(world.tokenizer)
    special = SpecialIds.of(tokenizer)
    teacher = build_student(TEACHER, special.vocabulary_size, special.pad, seed=5).eval().requires_grad_(False)
    for parameter in teacher.parameters():
        if parameter.ndim == 2:
            parameter.data *= 10  # initial weights answer almost the same everywhere
    family = Family(
        settings,
        3,
        vocabulary_size=special.vocabulary_size,
        pad_id=special.pad,
        languages=len(store.languages),
        teacher=teacher,
        team=Team(0, 1, torch.device("cpu")),
        dtype=torch.float32,
        compiled=False,
    )
    micro_batches = Batches(store, special, settings, 3).batch(0)
    rows, tokens = (sum(len(b.rows) for b in micro_batches), sum(b.tokens for b in micro_batches))
    return family, micro_batches, Totals(rows, tokens, settings.batch_size)


def naive_objective(family: Family, settings: Pretrain, micro_batches: list[MicroBatch], totals: Totals) -> Tensor:
    """Equation 5 and its additions, sample by sample, with full heads."""
    member = family.members["student"]
    student, teacher, distillation = member.student, family.teacher, settings.distillation
    total = torch.zeros(())
    with unpacked(student), unpacked(teacher):
        for batch in micro_batches:
            rows = batch.rows.split(batch.rows_per_sample)
            labels = batch.labels.split(batch.rows_per_sample)
            for number, ids in enumerate(batch.input_ids.split(batch.lengths)):
                chosen = rows[number] - int(batch.offsets[number])
                mine = student(input_ids=ids[None], output_hidden_states=True)
                theirs = teacher(input_ids=ids[None], output_hidden_states=True)
                total = total + settings.mlm_weight / totals.rows * functional.cross_entropy(
                    mine.logits[0, chosen], labels[number], label_smoothing=settings.label_smoothing, reduction="sum"
                )
                everywhere = distillation.positions == "all"
                compared = slice(None) if everywhere else chosen
                temperature = distillation.temperature
                divergence = functional.kl_div(
                    (mine.logits[0, compared] / temperature).log_softmax(-1),
                    (theirs.logits[0, compared] / temperature).softmax(-1),
                    reduction="sum",
                )
                count = totals.tokens if everywhere else totals.rows
                scale = temperature**2 if distillation.scale_by_temperature else 1
                total = total + distillation.weight * scale * divergence / count
                if member.projections is not None:
                    pairs = list(zip(member.projections.maps, member.objective.layers, strict=True))
                    for projection, (one, other) in pairs:
                        error = (projection(mine.hidden_states[one][0]) - theirs.hidden_states[other][0]) ** 2
                        total = total + distillation.hidden.weight * error.mean(-1).sum() / len(pairs) / totals.tokens
                if member.discriminator is not None:
                    pooled_D = mine.hidden_states[-1][0].mean(0)
                    log_answer_K = member.discriminator(pooled_D).log_softmax(-1)
                    weight = settings.adversary.weight / totals.samples
                    if settings.adversary.mode == "confusion":
                        total = total - weight * log_answer_K.mean()
                    else:
                        total = total + weight * log_answer_K[batch.languages[number]]
    return total


@pytest.mark.parametrize(
    "changes",
    [
        {"adversary": {"mode": mode, "weight": 0.3}, "distillation": {"weight": 0.4}}
        for mode in ("none", "loss-reversal", "gradient-reversal", "confusion")
    ]
    + [
        {"distillation": {"weight": 0.4, "positions": "all", "scale_by_temperature": True, "temperature": 3.0}},
        {"distillation": {"weight": 0.4, "hidden": {"weight": 0.5}}},
        {"distillation": {"weight": 0.0, "hidden": {"weight": 0.5, "layers": "last"}}, "mlm_weight": 0.0},
    ],
    ids=["none", "loss-reversal", "gradient-reversal", "confusion", "all-positions", "hidden", "hidden-last-alone"],
)
def test_a_step_equals_the_naive_one_in_loss_and_gradient(world: World, changes: dict[str, Any]) -> None:
    settings = make_settings(dropout=0.0, clip_norm=1e9, micro_batch_tokens=40, **changes)
    family, micro_batches, totals = make_family(world, settings)
    assert len(micro_batches) > 1
    student = family.members["student"].student
    naive = naive_objective(family, settings, micro_batches, totals)
    parameters = dict(student.named_parameters())
    wanted = dict(
        zip(parameters, torch.autograd.grad(naive, list(parameters.values()), allow_unused=True), strict=True)
    )

    found: dict[str, Tensor] = {}

    def remember(*_: Any) -> None:
        found.update({name: p.grad.clone() for name, p in parameters.items() if p.grad is not None})

    family.members["student"].optimizer.register_step_pre_hook(remember)
    update = family.update(0, micro_batches, totals)["student"]
    torch.testing.assert_close(update.measures[MEASURES.index("loss")], naive.detach(), rtol=1e-4, atol=1e-5)
    for name, gradient in wanted.items():
        if gradient is None:
            assert name not in found or not found[name].any(), name
        else:
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("mode", ["loss-reversal", "gradient-reversal", "confusion"])
def test_the_discriminator_takes_its_own_steps(world: World, mode: str) -> None:
    adversary = {"mode": mode, "weight": 0.3, "learning_rate": 1e-2, "steps": 3}
    settings = make_settings(dropout=0.0, clip_norm=1e9, weight_decay=0.0, adversary=adversary)
    family, micro_batches, totals = make_family(world, settings)
    member = family.members["student"]
    assert isinstance(member.discriminator, LanguageDiscriminator)
    pooled, languages = [], []
    with torch.no_grad(), unpacked(member.student):
        for batch in micro_batches:
            for ids, language in zip(batch.input_ids.split(batch.lengths), batch.languages, strict=True):
                pooled.append(member.student.bert(input_ids=ids[None]).last_hidden_state[0].mean(0))
                languages.append(language)
    naive = LanguageDiscriminator(16, 3, None, 1, seed=0)
    naive.load_state_dict(member.discriminator.state_dict())
    optimizer = torch.optim.AdamW(naive.parameters(), lr=1e-2 / 3, weight_decay=0.0)  # a third of the warm-up
    sign = -0.3 if mode == "loss-reversal" else 1.0
    for _ in range(3):
        optimizer.zero_grad()
        (sign * functional.cross_entropy(naive(torch.stack(pooled)), torch.stack(languages))).backward()
        optimizer.step()
    family.update(0, micro_batches, totals)
    for name, parameter in naive.named_parameters():
        torch.testing.assert_close(member.discriminator.state_dict()[name], parameter.detach(), rtol=1e-3, atol=1e-5)


def test_without_adversary_there_is_no_discriminator(world: World) -> None:
    family, micro_batches, totals = make_family(world, make_settings(adversary={"mode": "none", "weight": 0}))
    assert list(family.modules()) == ["student"] == list(family.optimizers())
    assert float(family.update(0, micro_batches, totals)["student"].measures[MEASURES.index("adversary")]) == 0


def test_relations_are_learned(world: World) -> None:
    changes = {"mlm_weight": 0.0, "distillation": {"weight": 0.0, "relations": {"weight": 1.0, "heads": 4}}}
    settings = make_settings(adversary={"mode": "none", "weight": 0}, **changes)
    family, micro_batches, totals = make_family(world, settings)
    place = MEASURES.index("relations")
    values = [float(family.update(step, micro_batches, totals)["student"].measures[place]) for step in range(12)]
    assert values[-1] < 0.9 * values[0]


def test_the_first_weights_may_come_from_the_teacher(world: World, teacher_folder: Path, tmp_path: Path) -> None:
    settings = make_settings(initialise="teacher", steps=4, adversary={"mode": "none", "weight": 0})
    pretrain(settings, **{**world.arguments(tmp_path / "warm"), "teacher": teacher_folder})
    pretrain(make_settings(steps=4, adversary={"mode": "none", "weight": 0}), **world.arguments(tmp_path / "cold"))
    warm, cold = (read_log(tmp_path / name / "log.jsonl")[0]["mlm"] for name in ("warm", "cold"))
    assert warm != cold
    summary = read_json(tmp_path / "warm" / "summary.json")
    assert summary["initialised"]["width"] == [32, 16]
    assert read_json(tmp_path / "cold" / "summary.json")["initialised"] is None
    card = (tmp_path / "warm" / "model" / "README.md").read_text()
    assert "distillation" not in card.split("## How to make it again")[0]
