"""Teachers of every layout: read whole and unchanged, or refused with the reason before a student learns from them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from tests_support import World, write_world
from unibert.errors import DataError
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import encode, pack
from unibert.models.positions import position_limit
from unibert.models.teacher import check_length, check_same_tokenizer, load_teacher
from unibert.tokens.batches import MicroBatch
from unibert.tokens.vocabulary import load_tokenizer, save_tokenizer, train_tokenizer

VOCABULARY, PADDED = 61, 64
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
POSITIONS = {"max_position_embeddings": 34, "pad_token_id": 1}
MODERN = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}


def bert(vocabulary: int = VOCABULARY, **changes: Any) -> PreTrainedModel:
    return BertForMaskedLM(BertConfig(vocab_size=vocabulary, **{**SIZES, "max_position_embeddings": 40, **changes}))


def modern(vocabulary: int = VOCABULARY, **changes: Any) -> PreTrainedModel:
    return ModernBertForMaskedLM(
        ModernBertConfig(vocab_size=vocabulary, max_position_embeddings=50, **SIZES, **MODERN, **changes)
    )


LAYOUTS: dict[str, tuple[Callable[[int], PreTrainedModel], int]] = {
    "bert": (bert, 40),
    "bert, untied": (lambda vocabulary: bert(vocabulary, tie_word_embeddings=False), 40),
    "roberta": (lambda vocabulary: RobertaForMaskedLM(RobertaConfig(vocab_size=vocabulary, **SIZES, **POSITIONS)), 32),
    "xlm-r": (
        lambda vocabulary: XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=vocabulary, **SIZES, **POSITIONS)),
        32,
    ),
    "modernbert": (modern, 50),
    "distilbert": (
        lambda vocabulary: DistilBertForMaskedLM(
            DistilBertConfig(
                vocab_size=vocabulary, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=36
            )
        ),
        36,
    ),
}
"""Each with the longest sequence it reads."""


@pytest.fixture
def ids_BL() -> torch.Tensor:
    return torch.randint(5, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(1))


def save(model: PreTrainedModel, folder: Path, **options: Any) -> PreTrainedModel:
    """To the disk, with weights that no test can take for another model's, not even the biases."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.eval().save_pretrained(folder, **options)
    return model


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    weights = change(load_file(path))
    path.unlink()
    save_file(weights, path, metadata={"format": "pt"})


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# --- what is read ---


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_frozen_and_unchanged(layout: str, tmp_path: Path, ids_BL: torch.Tensor) -> None:
    make, limit = LAYOUTS[layout]
    model = save(make(VOCABULARY), tmp_path)
    teacher = load_teacher(tmp_path)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert {parameter.dtype for parameter in teacher.parameters()} == {torch.float32}
    with torch.no_grad():
        torch.testing.assert_close(teacher(ids_BL).logits, model(ids_BL).logits)
    assert position_limit(teacher) == limit
    check_length("t", teacher, limit)
    with pytest.raises(DataError, match=f"at most {limit} tokens, but pretrain.context is {limit + 1}") as caught:
        check_length("t", teacher, limit + 1)
    assert f"pretrain.context={limit}" in caught.value.fix


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("padded", [False, True])
def test_every_layout_answers_on_packed_rows_without_the_pieces_that_pad_it(
    layout: str, padded: bool, tmp_path: Path
) -> None:
    save(LAYOUTS[layout][0](PADDED if padded else VOCABULARY), tmp_path)
    teacher = load_teacher(tmp_path)
    generator = torch.Generator().manual_seed(2)
    samples = [torch.randint(5, VOCABULARY, (length,), generator=generator) for length in (9, 6, 6, 3)]
    with torch.no_grad():
        alone = torch.cat([teacher(ids.unsqueeze(0)).logits[0] for ids in samples])
        pack(teacher)
        rows = torch.tensor([0, 4, 9, 14, 20, 23])
        features = head_features(teacher, encode(teacher, MicroBatch.of(samples)).hidden_TD[rows])
        weight_VD, bias_V = vocabulary_projection(teacher, VOCABULARY)
        logits_MV = torch.nn.functional.linear(features, weight_VD, bias_V)
    torch.testing.assert_close(logits_MV, alone[rows, :VOCABULARY], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_come_in_the_number_format_that_is_asked_for(layout: str, tmp_path: Path, ids_BL: torch.Tensor) -> None:
    model = save(LAYOUTS[layout][0](VOCABULARY), tmp_path)
    teacher = load_teacher(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in teacher.parameters()} == {torch.bfloat16}
    for (name, ours), (_, theirs) in zip(teacher.named_parameters(), model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs.detach().bfloat16()), name
    with torch.no_grad():
        expected = model(ids_BL).logits
        error = (teacher(ids_BL).logits.float() - expected).norm() / expected.norm()
    assert error < 0.05
    # And the other way round: a file in half precision.
    model.half().save_pretrained(tmp_path / "half")
    assert {parameter.dtype for parameter in load_teacher(tmp_path / "half").parameters()} == {torch.float32}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_may_lie_in_many_files(layout: str, tmp_path: Path, ids_BL: torch.Tensor) -> None:
    model = save(LAYOUTS[layout][0](VOCABULARY), tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    with torch.no_grad():
        torch.testing.assert_close(load_teacher(tmp_path)(ids_BL).logits, model(ids_BL).logits)


@pytest.mark.parametrize(
    ("layout", "tied"),
    [
        ("bert", "cls.predictions.decoder.weight"),
        ("roberta", "lm_head.decoder.weight"),
        ("xlm-r", "lm_head.decoder.weight"),
        ("modernbert", "decoder.weight"),
        ("distilbert", "vocab_projector.weight"),
    ],
)
def test_a_tied_head_may_be_absent_or_present(layout: str, tied: str, tmp_path: Path, ids_BL: torch.Tensor) -> None:
    model = save(LAYOUTS[layout][0](VOCABULARY), tmp_path)
    with torch.no_grad():
        expected = model(ids_BL).logits
        for present in (False, True):
            weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            assert tied in weights
            edit(tmp_path, lambda _, w=weights, p=present: {key: value for key, value in w.items() if p or key != tied})
            torch.testing.assert_close(load_teacher(tmp_path)(ids_BL).logits, expected)


def test_an_old_file_with_other_names_and_more_heads_is_read(tmp_path: Path, ids_BL: torch.Tensor) -> None:
    """As BERT's first checkpoints are: gamma and beta, a pooler, a head for sentence pairs, the bias by two names."""
    model = save(bert(), tmp_path)

    def old(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        renamed = {
            key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for key, tensor in weights.items()
        }
        more = {
            "bert.pooler.dense.weight": torch.ones(16, 16),
            "bert.pooler.dense.bias": torch.ones(16),
            "cls.seq_relationship.weight": torch.ones(2, 16),
            "cls.seq_relationship.bias": torch.ones(2),
            "bert.embeddings.position_ids": torch.arange(40).unsqueeze(0),
            "cls.predictions.decoder.bias": weights["cls.predictions.bias"].clone(),
        }
        return renamed | more

    edit(tmp_path, old)
    with torch.no_grad():
        torch.testing.assert_close(load_teacher(tmp_path)(ids_BL).logits, model(ids_BL).logits)


def test_a_model_of_both_pretraining_tasks_is_a_teacher(tmp_path: Path, ids_BL: torch.Tensor) -> None:
    model = save(BertForPreTraining(BertConfig(vocab_size=VOCABULARY, **SIZES)), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(load_teacher(tmp_path)(ids_BL).logits, model(ids_BL).prediction_logits)


# --- what is refused ---


def without(*parts: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit(folder, lambda weights: {key: w for key, w in weights.items() if not any(part in key for part in parts)})

    return change


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def not_numbers(folder: Path) -> None:
    edit(
        folder,
        lambda weights: {k: w * torch.nan if "layer.1.output.dense.bias" in k else w for k, w in weights.items()},
    )


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def shortened(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no head": (without("cls.predictions"), r"lack cls\.predictions\.\S+ and \d+ more"),
    "no embeddings": (without("word_embeddings"), "lack bert.embeddings.word_embeddings.weight"),
    "a layer is missing": (lambda f: configure(f, num_hidden_layers=3), r"lack bert\.encoder\.layer\.2"),
    "another vocabulary in its configuration": (
        lambda f: configure(f, vocab_size=70),
        r"word_embeddings.weight is \[61, 16\] in its weights, but \[70, 16\] by its config.json",
    ),
    "not a number": (not_numbers, r"not numbers \(bert.encoder.layer.1.output.dense.bias\)"),
    "pickled weights": (pickled, "no file named model.safetensors"),
    "cut weights": (shortened, "cannot be loaded"),
    "a pointer instead of weights": (replaced("model.safetensors", b"version https://git-lfs"), "cannot be loaded"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "model_type"),
    "broken configuration": (replaced("config.json", b'{"model_type": '), "not a valid JSON"),
    "a word for a number": (lambda f: configure(f, hidden_size="many"), "hidden_size"),
    "an unknown layout": (lambda f: configure(f, model_type="nothing"), "nothing"),
    "code of its own": (
        lambda f: configure(f, model_type="own", auto_map={"AutoConfig": "c.C", "AutoModelForMaskedLM": "m.M"}),
        "custom code",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_student_must_not_learn_from_is_refused(damage: str, tmp_path: Path) -> None:
    save(bert(), tmp_path)
    change, reason = DAMAGES[damage]
    change(tmp_path)
    with pytest.raises(DataError, match=reason) as caught:
        load_teacher(tmp_path)
    assert caught.value.message.startswith(f"teacher {tmp_path}: ")
    assert caught.value.fix
    assert "\n" not in caught.value.message


def test_a_lost_or_cut_file_of_many_is_refused(tmp_path: Path) -> None:
    save(bert(), tmp_path, max_shard_size="3KB")
    victim = sorted(tmp_path.glob("model-*.safetensors"))[1]
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_teacher(tmp_path)
    victim.unlink()
    with pytest.raises(DataError, match=victim.name):
        load_teacher(tmp_path)


def test_an_untied_head_must_be_there(tmp_path: Path) -> None:
    save(bert(tie_word_embeddings=False), tmp_path)
    edit(tmp_path, lambda weights: {key: w for key, w in weights.items() if key != "cls.predictions.decoder.weight"})
    with pytest.raises(DataError, match=r"lack cls\.predictions\.decoder\.weight"):
        load_teacher(tmp_path)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (BertModel(BertConfig(vocab_size=VOCABULARY, **SIZES)), "lack cls.predictions"),
        (GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=1, n_head=2)), "GPT2Config"),
        (
            BartForConditionalGeneration(
                BartConfig(
                    vocab_size=VOCABULARY,
                    d_model=16,
                    encoder_layers=1,
                    decoder_layers=1,
                    encoder_ffn_dim=16,
                    decoder_ffn_dim=16,
                    encoder_attention_heads=2,
                    decoder_attention_heads=2,
                    pad_token_id=1,
                    bos_token_id=0,
                    eos_token_id=2,
                    decoder_start_token_id=2,
                    forced_eos_token_id=2,
                )
            ),
            "has a decoder",
        ),
    ],
    ids=["encoder alone", "decoder", "both"],
)
def test_models_of_other_kinds_are_refused(model: PreTrainedModel, reason: str, tmp_path: Path) -> None:
    save(model, tmp_path)
    with pytest.raises(DataError, match=reason):
        load_teacher(tmp_path)


def test_a_path_that_is_no_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    save(bert(), tmp_path)
    for name in (tmp_path / "none", "./none", "~/none/at/all", "runs/mini/teacher/model"):
        with pytest.raises(DataError, match="no such folder"):
            load_teacher(name)
    with pytest.raises(DataError, match="is a file"):
        load_teacher(tmp_path / "model.safetensors")


def test_a_folder_may_be_named_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    save(bert(len(tokenizer)), tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    monkeypatch.setenv("HOME", str(tmp_path))
    check_same_tokenizer("~/teacher", load_teacher("~/teacher"), tokenizer)


# --- the same vocabulary ---


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("more", [0, 3])
def test_the_same_pieces_are_the_same_vocabulary_padded_or_not(
    layout: str, more: int, tmp_path: Path, world: World
) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    save(LAYOUTS[layout][0](len(tokenizer) + more), tmp_path)
    teacher = load_teacher(tmp_path)
    if more:
        with pytest.raises(DataError, match=f"has no tokenizer and {len(tokenizer) + more} rows"):
            check_same_tokenizer(tmp_path, teacher, tokenizer)
    else:
        check_same_tokenizer(tmp_path, teacher, tokenizer)
    tokenizer.save_pretrained(tmp_path)
    check_same_tokenizer(tmp_path, teacher, tokenizer)


def test_too_few_rows_are_another_vocabulary(tmp_path: Path, world: World) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    save(bert(len(tokenizer) - 1), tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(DataError, match=f"has {len(tokenizer) - 1} rows, the student uses {len(tokenizer)}"):
        check_same_tokenizer(tmp_path, load_teacher(tmp_path), tokenizer)


def test_another_tokenizer_is_told_by_a_piece(tmp_path: Path, world: World) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    save(bert(len(tokenizer) + 500), tmp_path)
    save_tokenizer(train_tokenizer(["quite other words than those of the world"], 200), tmp_path / "other")
    load_tokenizer(tmp_path / "other").save_pretrained(tmp_path)
    teacher = load_teacher(tmp_path)
    with pytest.raises(DataError, match=r"another tokenizer \(\d+ pieces differ; '\S+' is (id \d+|missing) there"):
        check_same_tokenizer(tmp_path, teacher, tokenizer)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="its tokenizer cannot be read"):
        check_same_tokenizer(tmp_path, teacher, tokenizer)
