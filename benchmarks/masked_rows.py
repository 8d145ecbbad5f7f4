"""A distillation step with both vocabulary heads on the masked rows only, against heads and KL on every position.

The same models (UniBERT-XXSmall, a teacher of 4 layers x 256, vocabulary 119,547, random weights), the same batch of
16 samples of 64 tokens, float32 on the CPU, forward, backward and AdamW; the baseline is written as published scripts
do it: full logits of both models, KL over all positions, cross-entropy over all positions with the unmasked ones
ignored.
"""

import torch
import torch.nn.functional as functional

from pairs import compare
from unibert.models.masked_rows import masked_row_logits
from unibert.models.sizes import SIZES
from unibert.models.student import build_student
from unibert.pretrain.loop import build_optimizer
from unibert.pretrain.step import TrainingStep
from unibert.recipe import Adversary, Architecture, Pretrain
from unibert.tokens.batches import MicroBatch

VOCABULARY, SAMPLES, LENGTH = 119_547, 16, 64


def main() -> None:
    torch.manual_seed(0)
    settings = Pretrain(adversary=Adversary(mode="none", weight=0), label_smoothing=0.0)
    student = build_student(SIZES["xxsmall"], VOCABULARY, 0, 1)
    shape = Architecture(layers=4, hidden=256, heads=4, feed_forward=1024)
    teacher = build_student(shape, VOCABULARY, 0, 2).eval().requires_grad_(False)
    objective = TrainingStep(student, None, settings)
    optimizer = build_optimizer({"student": student}, settings)
    ids_BL = torch.randint(110, VOCABULARY, (SAMPLES, LENGTH))
    rows_M = torch.randperm(SAMPLES * LENGTH)[: round(0.15 * SAMPLES * LENGTH)].sort().values
    labels_M = torch.randint(110, VOCABULARY, (len(rows_M),))
    batch = MicroBatch(
        ids_BL, torch.ones_like(ids_BL), rows_M, labels_M, torch.zeros(SAMPLES, dtype=torch.long), [], []
    )
    labels_BL = torch.full((SAMPLES * LENGTH,), -100)
    labels_BL[rows_M] = labels_M

    def update(loss: torch.Tensor) -> None:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def ours() -> None:
        with torch.no_grad():
            teacher_MV = masked_row_logits(teacher, ids_BL, batch.attention_mask, rows_M)[1]
        update(objective(batch, teacher_MV, len(rows_M), SAMPLES, 0.0)[0])

    def full_heads() -> None:
        with torch.no_grad():
            teacher_BLV = teacher(ids_BL, attention_mask=batch.attention_mask).logits.flatten(0, 1)
        student_BLV = student(ids_BL, attention_mask=batch.attention_mask).logits.flatten(0, 1)
        divergence = functional.kl_div(
            (student_BLV / 2).log_softmax(-1), (teacher_BLV / 2).softmax(-1), reduction="batchmean"
        )
        update(0.5 * functional.cross_entropy(student_BLV, labels_BL) + 0.4 * divergence)

    claim = "distillation step, XXSmall: heads on masked rows against full heads"
    compare(claim, "tokens", SAMPLES * LENGTH, ours, full_heads)


if __name__ == "__main__":
    main()
