"""First weights for a student from its teacher's, instead of random ones.

The word embeddings are most of a small student (15.3 of 18.9 million weights in XXSmall), and the teacher has learned
them already, only wider. Let E (V x D) be the teacher's and P (D x S) its first S right singular vectors: E P is the
student's table, and E P P^T is the nearest to E of all matrices of rank S (Eckart and Young, 1936). The output layer is
tied to the table, so this is its matrix too. What is added to word embeddings, positions and token types, lives in the
same space and goes through the same P.

The table keeps the teacher's scale. On the way in a layer normalisation follows and no scale matters, as long as all
that is added there shares it; on the way out the scale is the size of the logits, and the larger an embedding is, the
less of it a step of Adam, whose length is the learning rate's, can undo.

With equal widths P is the identity, everything above is copied to the last bit, and so are the head and, where their
shapes are equal, the layers. With unequal widths these stay random. `docs/method.md` says what was measured.

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

_LAYER_PARTS = (
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
)
"""The parts of a layer as BERT and XLM-R call them, and as DistilBERT does."""


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
    table_VD = table[: len(words)].to(words)
    basis_DS, kept = principal_basis(table_VD, words.shape[1])
    words.copy_(table_VD @ basis_DS)
    taken: dict[str, Any] = {
        "width": [table.shape[1], words.shape[1]],
        "kept": kept,
        **_positions_and_types(student, teacher, basis_DS),
        "output_bias": _output_bias(student, teacher),
        "embedding_norm": False,
        "head": False,
        "layers": [],
    }
    if table.shape[1] == words.shape[1] == _hidden_width(teacher):
        taken["embedding_norm"] = _copy_part(student, teacher, _EMBEDDING_NORM)
        taken["head"] = _copy_head(student, teacher)
        taken["layers"] = _copy_layers(student, teacher)
    return taken


def principal_basis(table_VD: Tensor, width: int) -> tuple[Tensor, float]:
    """The first right singular vectors of a table, basis_DS, and the share of its squared length that they span.

    They are the eigenvectors of the D x D products of its columns, which cost V D^2 instead of the decomposition of a
    table of 119,547 rows; float64 makes up for the squaring. A vector's sign is free: its largest entry is positive.
    With S = D nothing is to be left out, and the basis is the identity.
    """
    if width == table_VD.shape[1]:
        return torch.eye(width).to(table_VD), 1.0
    products_DD = sum(part.double().T @ part.double() for part in table_VD.split(8192))
    values_D, vectors_DD = torch.linalg.eigh(products_DD)
    basis_DS = vectors_DD[:, -width:].flip(1)
    largest_1S = basis_DS.abs().argmax(dim=0, keepdim=True)
    basis_DS = basis_DS * basis_DS.gather(0, largest_1S).sign()
    return basis_DS.to(table_VD), float(values_D[-width:].sum() / values_D.sum())
