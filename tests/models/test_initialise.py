"""First weights from teachers of every layout, all small and random."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from unibert.errors import DataError
from unibert.models.initialise import initialise_from_teacher, principal_basis
from unibert.models.student import build_student
from unibert.recipe import Architecture

VOCABULARY, POSITIONS = 50, 20


def student_of(layers: int = 2, hidden: int = 16, heads: int = 2, feed_forward: int = 24) -> BertForMaskedLM:
    shape = Architecture(layers=layers, hidden=hidden, heads=heads, feed_forward=feed_forward, max_positions=POSITIONS)
    return build_student(shape, VOCABULARY, 0, seed=1).eval()


def teacher_of(layout: str, hidden: int = 16, layers: int = 2, vocabulary: int = VOCABULARY, **changes: Any) -> Any:
    """A teacher whose every weight is random, vectors included: nothing that is copied could go unnoticed."""
    torch.manual_seed(5)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        **changes,
    }
    if layout == "bert":
        model = BertForMaskedLM(BertConfig(**shape))
    elif layout == "xlm-r":
        shape.update(max_position_embeddings=POSITIONS + 2, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-12)
        model = XLMRobertaForMaskedLM(XLMRobertaConfig(**shape))
    elif layout == "distilbert":
        names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
        names["intermediate_size"] = "hidden_dim"
        model = DistilBertForMaskedLM(DistilBertConfig(**{names.get(key, key): shape[key] for key in shape}))
    else:
        model = ModernBertForMaskedLM(ModernBertConfig(**shape, tie_word_embeddings=True))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model.eval()


def logits_of(model: Any, padding: int = 0) -> torch.Tensor:
    """Two samples, one of them padded; the padding's own logits are left out."""
    ids = torch.tensor([[5, 9, 31, 7, 12, 48, 6], [5, 44, 8, 6, padding, padding, padding]])
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits[mask.bool()]


@pytest.mark.parametrize("layout", ["bert", "xlm-r", "distilbert"])
def test_a_student_of_the_teachers_shape_becomes_the_teacher(layout: str) -> None:
    student, teacher = student_of(), teacher_of(layout)
    padding = 1 if layout == "xlm-r" else 0  # by which XLM-R finds its positions
    assert not torch.allclose(logits_of(student, padding), logits_of(teacher, padding), atol=0.1)
    taken = initialise_from_teacher(student, teacher)
    torch.testing.assert_close(logits_of(student, padding), logits_of(teacher, padding), rtol=1e-4, atol=1e-4)
    types = {"bert": 2, "xlm-r": 1, "distilbert": 0}[layout]
    assert taken == {
        "width": [16, 16],
        "kept": 1.0,
        "positions": POSITIONS,
        "token_types": types,
        "output_bias": True,
        "embedding_norm": True,
        "head": True,
        "layers": [[1, 1], [2, 2]],
    }


def test_a_copied_bert_has_the_very_same_weights() -> None:
    student, teacher = student_of(), teacher_of("bert")
    initialise_from_teacher(student, teacher)
    theirs = dict(teacher.named_parameters())
    for name, weight in student.named_parameters():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=0, msg=name)


LAYOUTS = ["bert", "xlm-r", "distilbert", "modernbert"]
WORDS = {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}
TYPES = {"bert.embeddings.token_type_embeddings.weight"}
PLACES = {"bert.embeddings.position_embeddings.weight"}
BIAS = {"cls.predictions.bias", "cls.predictions.decoder.bias"}
NORM = {"bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias"}
HEAD = {f"cls.predictions.transform.{part}.{kind}" for part in ("dense", "LayerNorm") for kind in ("weight", "bias")}


def changed_by(student: BertForMaskedLM, teacher: Any) -> tuple[dict[str, Any], set[str]]:
    """What was said to be taken, and the names of the weights that are not what they were."""
    before = {name: weight.clone() for name, weight in student.state_dict().items()}
    taken = initialise_from_teacher(student, teacher)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    return taken, {name for name, weight in student.state_dict().items() if not torch.equal(weight, before[name])}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_narrower_student_gets_the_best_table_of_its_width_and_little_else(layout: str) -> None:
    """Eckart and Young: no matrix of rank 8 is nearer to the teacher's table than what the student's stands for."""
    student, teacher = student_of(hidden=8), teacher_of(layout)
    taken, changed = changed_by(student, teacher)

    table_VD = teacher.get_input_embeddings().weight.detach()
    words_VS = student.get_input_embeddings().weight.detach()
    left_VD, sizes_D, right_DD = torch.linalg.svd(table_VD, full_matrices=False)
    best_VD = left_VD[:, :8] * sizes_D[:8] @ right_DD[:8]
    torch.testing.assert_close(words_VS @ words_VS.T, best_VD @ best_VD.T, rtol=1e-4, atol=1e-5)
    basis_DS, _ = principal_basis(table_VD, 8)
    error = (table_VD - words_VS @ basis_DS.T).norm().item()
    assert error == pytest.approx(sizes_D[8:].norm().item(), rel=1e-4)
    assert taken["kept"] == pytest.approx(1 - (error / table_VD.norm().item()) ** 2, rel=1e-5)

    assert changed == WORDS | TYPES | BIAS | (PLACES if layout != "modernbert" else set())
    bias_V = teacher.get_output_embeddings().bias
    torch.testing.assert_close(student.get_output_embeddings().bias, bias_V, rtol=0, atol=0)
    assert taken["width"] == [16, 8] and taken["output_bias"]
    assert (taken["embedding_norm"], taken["head"], taken["layers"]) == (False, False, [])


@pytest.mark.parametrize(("layout", "first"), [("bert", 0), ("xlm-r", 2), ("distilbert", 0)])
def test_positions_go_the_way_of_the_words_from_the_teachers_first(layout: str, first: int) -> None:
    student, teacher = student_of(hidden=8), teacher_of(layout)
    taken = initialise_from_teacher(student, teacher)
    basis_DS, _ = principal_basis(teacher.get_input_embeddings().weight.detach(), 8)
    places_LD = teacher.base_model.embeddings.position_embeddings.weight[first:]
    torch.testing.assert_close(student.bert.embeddings.position_embeddings.weight, places_LD @ basis_DS)
    assert taken["positions"] == len(places_LD) == POSITIONS


def test_positions_that_the_teacher_lacks_stay_random() -> None:
    student, teacher = student_of(), teacher_of("bert", max_position_embeddings=12)
    random = student.bert.embeddings.position_embeddings.weight.detach().clone()
    assert initialise_from_teacher(student, teacher)["positions"] == 12
    ours = student.bert.embeddings.position_embeddings.weight.detach()
    torch.testing.assert_close(ours[:12], teacher.bert.embeddings.position_embeddings.weight.detach(), rtol=0, atol=0)
    torch.testing.assert_close(ours[12:], random[12:], rtol=0, atol=0)


@pytest.mark.parametrize(("layout", "rows"), [("bert", 2), ("xlm-r", 1), ("distilbert", 0), ("modernbert", 0)])
def test_every_token_type_adds_what_the_teacher_adds(layout: str, rows: int) -> None:
    student, teacher = student_of(), teacher_of(layout)
    assert initialise_from_teacher(student, teacher)["token_types"] == rows
    types = getattr(teacher.base_model.embeddings, "token_type_embeddings", None)
    expected = torch.zeros(2, 16) if types is None else types.weight.detach()[[0, min(1, rows - 1)]]
    torch.testing.assert_close(student.bert.embeddings.token_type_embeddings.weight.detach(), expected)


def test_layers_are_chosen_at_the_same_relative_depth() -> None:
    student, teacher = student_of(layers=2), teacher_of("bert", layers=5)
    assert initialise_from_teacher(student, teacher)["layers"] == [[1, 3], [2, 5]]
    for ours, theirs in ((0, 2), (1, 4)):
        expected = teacher.bert.encoder.layer[theirs].state_dict()
        for name, weight in student.bert.encoder.layer[ours].state_dict().items():
            torch.testing.assert_close(weight, expected[name], rtol=0, atol=0, msg=name)


def test_a_deeper_student_takes_layers_twice() -> None:
    taken = initialise_from_teacher(student_of(layers=5), teacher_of("bert"))
    assert taken["layers"] == [[1, 1], [2, 1], [3, 1], [4, 2], [5, 2]]


@pytest.mark.parametrize(
    "other", [{"intermediate_size": 32}, {"num_attention_heads": 4}, {"hidden_act": "relu"}, {"adapter": True}]
)
def test_layers_of_another_shape_are_left(other: dict[str, Any]) -> None:
    student = student_of()
    teacher = teacher_of("bert", **{key: value for key, value in other.items() if key != "adapter"})
    if "adapter" in other:
        teacher.bert.encoder.layer[1].adapter = torch.nn.Linear(16, 16)
    taken, changed = changed_by(student, teacher)
    assert taken["layers"] == []
    # A head before another function would not be the teacher's head either.
    assert taken["head"] == ("hidden_act" not in other)
    assert changed == WORDS | TYPES | PLACES | BIAS | NORM | (HEAD if taken["head"] else set())


def test_of_a_modernbert_of_equal_width_all_but_positions_and_layers_is_taken() -> None:
    student, teacher = student_of(), teacher_of("modernbert")
    taken, changed = changed_by(student, teacher)
    assert (taken["positions"], taken["embedding_norm"], taken["head"], taken["layers"]) == (0, True, True, [])
    # Its normalisations and the head's map have no biases; the student's are zero as they were.
    assert changed == WORDS | TYPES | BIAS | {name for name in NORM | HEAD if name.endswith("weight")}
    table_VD = teacher.get_input_embeddings().weight
    torch.testing.assert_close(student.get_input_embeddings().weight, table_VD, rtol=0, atol=0)
    torch.testing.assert_close(student.cls.predictions.transform.dense.weight, teacher.head.dense.weight)


def test_the_head_of_an_untied_teacher_belongs_to_another_table() -> None:
    teacher = teacher_of("bert", tie_word_embeddings=False)
    taken, changed = changed_by(student_of(), teacher)
    assert taken["head"] is False and not changed & HEAD
    assert taken["output_bias"] and len(taken["layers"]) == 2


@pytest.mark.parametrize("hidden", [8, 16])
def test_rows_that_pad_the_teachers_vocabulary_are_cut(hidden: int) -> None:
    teacher = teacher_of("bert", vocabulary=VOCABULARY + 14)
    with torch.no_grad():
        teacher.get_input_embeddings().weight[VOCABULARY:] = 1000.0  # would bend the basis if it counted
    student = student_of(hidden=hidden)
    initialise_from_teacher(student, teacher)
    table_VD = teacher.get_input_embeddings().weight[:VOCABULARY].detach()
    basis_DS, _ = principal_basis(table_VD, hidden)
    torch.testing.assert_close(student.get_input_embeddings().weight.detach(), table_VD @ basis_DS)
    bias_V = teacher.get_output_embeddings().bias[:VOCABULARY]
    torch.testing.assert_close(student.get_output_embeddings().bias, bias_V)


def test_a_teacher_that_is_too_small_is_refused_before_anything_changes() -> None:
    for teacher, message in (
        (teacher_of("bert", hidden=8), r"16 wide, the teacher's only 8"),
        (teacher_of("bert", vocabulary=VOCABULARY - 1), r"for 49 pieces, the student for 50"),
    ):
        student = student_of()
        before = {name: weight.clone() for name, weight in student.state_dict().items()}
        with pytest.raises(DataError, match=message) as error:
            initialise_from_teacher(student, teacher)
        assert "initialise" in error.value.fix
        assert all(torch.equal(weight, before[name]) for name, weight in student.state_dict().items())


def test_the_student_stays_trainable_and_the_teacher_as_it_was() -> None:
    student, teacher = student_of(hidden=8), teacher_of("bert")
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    initialise_from_teacher(student, teacher)
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())
    student(input_ids=torch.tensor([[5, 6, 7]])).logits.sum().backward()
    words = student.get_input_embeddings().weight
    assert words.requires_grad and words.grad is not None and words.grad.abs().sum() > 0


@settings(deadline=None)
@given(rows=st.integers(1, 12), width=st.integers(1, 9), data=st.data())
def test_the_basis_is_orthonormal_optimal_and_has_a_fixed_sign(rows: int, width: int, data: st.DataObject) -> None:
    kept_width = data.draw(st.integers(1, width))
    table_VD = torch.randn(rows, width, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 10**6))))
    basis_DS, kept = principal_basis(table_VD, kept_width)
    assert basis_DS.shape == (width, kept_width) and basis_DS.dtype == table_VD.dtype
    torch.testing.assert_close(basis_DS.T @ basis_DS, torch.eye(kept_width), rtol=1e-4, atol=1e-5)
    if kept_width < width:
        lengths = (table_VD @ basis_DS).norm(dim=0)
        assert (lengths.diff() <= 1e-4).all(), "the largest comes first"
    sizes = torch.linalg.svdvals(table_VD)
    error = (table_VD - table_VD @ basis_DS @ basis_DS.T).norm()
    torch.testing.assert_close(error, sizes[kept_width:].norm(), rtol=1e-4, atol=1e-4)
    assert kept == pytest.approx(float(sizes[:kept_width].square().sum() / sizes.square().sum()), rel=1e-4)
    if kept_width < width and rows >= width:
        assert (basis_DS.gather(0, basis_DS.abs().argmax(dim=0, keepdim=True)) > 0).all()
