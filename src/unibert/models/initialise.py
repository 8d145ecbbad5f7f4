"""First weights for a student from its teacher's, instead of random ones.

The word embeddings are most of a small student (15.3 of 18.9 million weights in XXSmall), and the teacher has learned
them already, only wider. Let E (V x D) be the teacher's and P (D x S) its first S right singular vectors: E P is the
student's table, and E P P^T is the nearest to E of all matrices of rank S (Eckart and Young, 1936), so the products of
embeddings with each other, which is what a tied output layer works with, are kept as well as they can be. Everything
else that lives in the same space, such as positions and the head, is carried over by the same P.

With equal widths P is the identity, and what is carried over is copied to the last bit. Layers are only copied, never
projected.

Shape suffixes: V vocabulary, D width of the teacher, S width of the student.
"""

from __future__ import annotations

_EMBEDDING_NORMS = ("embeddings.LayerNorm", "embeddings.norm")
_HEAD_MAPS = ("cls.predictions.transform.dense", "lm_head.dense", "vocab_transform", "head.dense")
_HEAD_NORMS = ("cls.predictions.transform.LayerNorm", "lm_head.layer_norm", "vocab_layer_norm", "head.norm")
_LAYER_STACKS = ("encoder.layer", "transformer.layer")
"""What the parts are called in BERT, XLM-R, DistilBERT and ModernBERT; the layers of the last are of another kind."""

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
"""The parts of a layer, as BERT and XLM-R call them, and as DistilBERT does."""
