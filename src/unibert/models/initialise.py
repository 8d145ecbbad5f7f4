"""First weights for a student from its teacher's, instead of random ones.

The word embeddings are most of a small student (15.3 of 18.9 million weights in XXSmall), and the teacher has learned
them already, only wider. Let E (V x D) be the teacher's and P (D x S) its first S right singular vectors: E P is the
student's table, and E P P^T is the nearest to E of all matrices of rank S (Eckart and Young, 1936). The output layer is
tied to the table, so this is its matrix too. What is added to word embeddings, positions and token types, lives in the
same space and goes through the same P. (For decoders: Trinh et al., arXiv 2510.06502.)

The table keeps the teacher's scale. On the way in a layer normalisation follows and no scale matters, as long as all
that is added there shares it; on the way out the scale is the size of the logits, and the larger an embedding is, the
less of it a step of Adam, whose length is the learning rate's, can undo.

With equal widths P is the identity, everything above is copied to the last bit, and so are the head and, where their
shapes are equal, the layers. With unequal widths these stay random. `studies/initialisation` measures what it buys.

Shape suffixes: V vocabulary, D width of the teacher, S width of the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unibert.errors import DataError
from unibert.models.positions import first_position
from unibert.models.projections import layer_map

_POSITIONS = "embeddings.position_embeddings"
_TOKEN_TYPES = "embeddings.token_type_embeddings"
_EMBEDDING_NORMS = (("embeddings.LayerNorm",), ("embeddings.norm",))
_HEADS = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
    ("lm_head.dense", "lm_head.layer_norm"),
    ("vocab_transform", "vocab_layer_norm"),
    ("head.dense", "head.norm"),
)
"""The parts of a head before its projection, in BERT, XLM-R, DistilBERT and ModernBERT."""
_LAYER_STACKS = (("encoder.layer",), ("transformer.layer",))
_LAYERS = (
    (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ),
    (
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ),
)
"""The parts of a layer as BERT and XLM-R call them, and in the same order as DistilBERT does."""


@torch.no_grad()
def initialise_from_teacher(student: Any, teacher: Any) -> dict[str, Any]:
    """Overwrite a student's random weights with the teacher's, as far as shapes allow; the rest stays as it is.

    Args:
        student: `BertForMaskedLM` with its output tied to its embeddings.
        teacher: any `AutoModelForMaskedLM` of the same vocabulary; a table padded with more rows is cut.

    Returns:
        What was taken, for the log: `width` (of teacher and student), `kept` (share of the squared length of the
        teacher's embeddings that is left), `positions` and `token_types` (rows), `output_bias`, `embedding_norm` and
        `head` (whether), `layers` (pairs of the student's and the teacher's, counted from 1).

    Raises:
        DataError: the student is wider than the teacher's embeddings, or has more pieces.
    """
    words, table = student.get_input_embeddings().weight, teacher.get_input_embeddings().weight
    if table.shape[0] < words.shape[0]:
        raise DataError(
            f"the teacher has embeddings for {table.shape[0]:,} pieces, the student for {words.shape[0]:,}",
            "Take a teacher with the same tokenizer, or set pretrain.initialise='random'.",
        )
    if table.shape[1] < words.shape[1]:
        raise DataError(
            f"the student's embeddings are {words.shape[1]} wide, the teacher's only {table.shape[1]}",
            "Take a narrower student or a wider teacher, or set pretrain.initialise='random'.",
        )
    table_VD = table[: len(words)].float().cpu()  # where float32 is float32, and the identity copies to the last bit
    basis_DS, kept = principal_basis(table_VD, words.shape[1])
    words.copy_(table_VD @ basis_DS)
    taken: dict[str, Any] = {
        "width": [table.shape[1], words.shape[1]],
        "kept": kept,
        "positions": _take_positions(student, teacher, basis_DS),
        "token_types": _take_token_types(student, teacher, basis_DS),
        "output_bias": _take_output_bias(student, teacher),
        "embedding_norm": False,
        "head": False,
        "layers": [],
    }
    if table.shape[1] == words.shape[1]:
        ours, theirs = (_parts(model.base_model, _EMBEDDING_NORMS) for model in (student, teacher))
        taken["embedding_norm"] = _copy(ours, theirs)
        if _activation(teacher) == _activation(student):
            taken["head"] = _tied(teacher) and _copy(_parts(student, _HEADS), _parts(teacher, _HEADS))
            taken["layers"] = _take_layers(student, teacher)
    return taken


def principal_basis(table_VD: Tensor, width: int) -> tuple[Tensor, float]:
    """The first right singular vectors of a table, basis_DS, and the share of its squared length that they span.

    They are the eigenvectors of the D x D products of its columns, which cost V D^2 instead of the decomposition of a
    table of 119,547 rows; float64 makes up for the squaring. A vector's sign is free: its largest entry is positive.
    With S = D nothing is to be left out, and the basis is the identity.
    """
    if width == table_VD.shape[1]:
        return torch.eye(width).to(table_VD), 1.0
    products_DD = torch.zeros(table_VD.shape[1], table_VD.shape[1], dtype=torch.float64)
    for part in table_VD.split(8192):
        products_DD += part.double().T @ part.double()
    values_D, vectors_DD = torch.linalg.eigh(products_DD)
    basis_DS = vectors_DD[:, -width:].flip(1)
    largest_1S = basis_DS.abs().argmax(dim=0, keepdim=True)
    basis_DS = basis_DS * basis_DS.gather(0, largest_1S).sign()
    return basis_DS.to(table_VD), float(values_D[-width:].sum() / values_D.sum())


def _take_positions(student: Any, teacher: Any, basis_DS: Tensor) -> int:
    """The number of positions taken; the teacher's first is the student's first, whatever its number."""
    ours, theirs = (_table(model, _POSITIONS) for model in (student, teacher))
    if ours is None or theirs is None or theirs.shape[1] != len(basis_DS):
        return 0
    rows_D = theirs[first_position(teacher) :][: len(ours)]
    ours[: len(rows_D)] = (rows_D.float().cpu() @ basis_DS).to(ours)
    return len(rows_D)


def _take_token_types(student: Any, teacher: Any, basis_DS: Tensor) -> int:
    """The number of token types taken. A teacher without them adds nothing: the student's are set to zero."""
    ours, theirs = (_table(model, _TOKEN_TYPES) for model in (student, teacher))
    if ours is None:
        return 0
    if theirs is None or theirs.shape[1] != len(basis_DS):
        ours.zero_()
        return 0
    rows_S = (theirs[: len(ours)].float().cpu() @ basis_DS).to(ours)
    ours[:] = rows_S[0]  # where the teacher has but one type, the student's others are no different
    ours[: len(rows_S)] = rows_S
    return len(rows_S)


def _take_output_bias(student: Any, teacher: Any) -> bool:
    """The output's bias, which says how frequent each piece is, has no width."""
    ours, theirs = student.get_output_embeddings().bias, teacher.get_output_embeddings().bias
    if theirs is None:
        return False
    ours.copy_(theirs[: len(ours)])
    return True


def _take_layers(student: Any, teacher: Any) -> list[list[int]]:
    """Copy into each layer of the student the teacher's at the same relative depth, if they are of one kind and shape.

    Returns:
        Pairs of the student's and the teacher's layers, counted from 1; empty if they differ.
    """
    ours, theirs = (_parts(model.base_model, _LAYER_STACKS) for model in (student, teacher))
    if not ours or not theirs or student.config.num_attention_heads != teacher.config.num_attention_heads:
        return []
    if not all(_is_whole(layer, _parts(layer, _LAYERS)) for layer in theirs[0]):
        return []
    pairs = [[mine, max(1, other)] for mine, other in layer_map(len(ours[0]), len(theirs[0]), "all")[1:]]
    done = [_copy(_parts(ours[0][mine - 1], _LAYERS), _parts(theirs[0][other - 1], _LAYERS)) for mine, other in pairs]
    return pairs if all(done) else []


def _is_whole(module: nn.Module, parts: Sequence[nn.Module]) -> bool:
    """Whether a module has no weights beside these parts, such as adapters, without which it would not be the same."""
    inside = {id(weight) for part in parts for weight in part.parameters()}
    return all(id(weight) in inside for weight in module.parameters())


def _parts(module: nn.Module, spellings: Sequence[Sequence[str]]) -> list[Any]:
    """The parts of a module under the first spelling in which all of them are there; empty if there is none."""
    for names in spellings:
        try:
            return [module.get_submodule(name) for name in names]
        except AttributeError:
            continue
    return []


def _copy(ours: Sequence[nn.Module], theirs: Sequence[nn.Module]) -> bool:
    """Copy parts of equal shapes; a bias that the teacher's part lacks becomes zero. False, and nothing done, else."""
    if not ours or not theirs:
        return False
    pairs = [
        (weight, dict(source.named_parameters()).get(name))
        for target, source in zip(ours, theirs, strict=True)
        for name, weight in target.named_parameters()
    ]
    if any(value is not None and value.shape != weight.shape for weight, value in pairs):
        return False
    for weight, value in pairs:
        weight.zero_() if value is None else weight.copy_(value)
    return True


def _table(model: Any, name: str) -> Tensor | None:
    """The weights of an embedding table below a model's head, if it has one of this name."""
    parts = _parts(model.base_model, [[name]])
    return parts[0].weight if parts and isinstance(parts[0], nn.Embedding) else None


def _tied(model: Any) -> bool:
    """Whether the output's matrix is the embedding table itself, so that the head works in the table's space."""
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _activation(model: Any) -> Any:
    """The name of the activation function in the head and in the layers."""
    names = ("classifier_activation", "activation", "hidden_act")
    return next((getattr(model.config, name) for name in names if hasattr(model.config, name)), None)
