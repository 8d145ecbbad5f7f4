"""What tasks compare a student with its teacher by.

Shape suffixes: M predictions, C classes.
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor


def divergence(student_MC: Tensor, teacher_MC: Tensor, temperature: float) -> Tensor:
    """Mean of KL(softmax(t / T) || softmax(s / T)) * T^2 over rows of logits (Hinton et al., arXiv 1503.02531)."""
    soft_student_MC = functional.log_softmax(student_MC.float() / temperature, dim=-1)
    soft_teacher_MC = functional.log_softmax(teacher_MC.float() / temperature, dim=-1)
    per_row = functional.kl_div(soft_student_MC, soft_teacher_MC, reduction="batchmean", log_target=True)
    return per_row * temperature**2
