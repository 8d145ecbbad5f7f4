"""Every loss against the three lines that anyone would write first, in value and in gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.models.adversary import LanguageDiscriminator
from unibert.pretrain.objectives import adversary_losses, confusion_loss, distillation_loss, language_loss, mlm_loss

shapes = st.tuples(st.integers(1, 6), st.integers(2, 9), st.integers(0, 10**6))


def gradient(loss: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, inputs)[0]


def draw(rows: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(rows, width, generator=generator)).requires_grad_()
    other = 3 * torch.randn(rows, width, generator=generator)
    return logits, other, torch.randint(0, width, (rows,), generator=generator)


@settings(deadline=None)
@given(shape=shapes, smoothing=st.sampled_from([0.0, 0.1, 0.7]))
def test_mlm_is_the_smoothed_cross_entropy(shape: tuple[int, int, int], smoothing: float) -> None:
    logits_MV, _, labels_M = draw(*shape)
    log_probabilities = logits_MV - logits_MV.exp().sum(dim=1, keepdim=True).log()
    target = torch.full_like(logits_MV, smoothing / logits_MV.shape[1])
    target[torch.arange(len(labels_M)), labels_M] += 1 - smoothing
    naive = -(target * log_probabilities).sum(dim=1)
    ours = mlm_loss(logits_MV, labels_M, smoothing)
    torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient(ours.sum(), logits_MV), gradient(naive.sum(), logits_MV), rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(shape=shapes, temperature=st.sampled_from([1.0, 2.0, 5.0]), scale=st.booleans())
def test_distillation_is_the_kl_divergence_from_the_teacher(
    shape: tuple[int, int, int], temperature: float, scale: bool
) -> None:
    student_MV, teacher_MV, _ = draw(*shape)
    teacher_probabilities = (teacher_MV / temperature).softmax(dim=1)
    student_probabilities = (student_MV / temperature).softmax(dim=1)
    naive = (teacher_probabilities * (teacher_probabilities / student_probabilities).log()).sum(dim=1)
    naive = naive * temperature**2 if scale else naive
    ours = distillation_loss(student_MV, teacher_MV, temperature, scale)
    torch.testing.assert_close(ours, naive, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        gradient(ours.sum(), student_MV), gradient(naive.sum(), student_MV), rtol=1e-3, atol=1e-4
    )
    same = distillation_loss(student_MV, student_MV.detach(), temperature)
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-5, rtol=0)


@settings(deadline=None)
@given(shape=shapes)
def test_the_language_loss_is_the_cross_entropy(shape: tuple[int, int, int]) -> None:
    logits_BK, _, languages_B = draw(*shape)
    naive = -logits_BK.softmax(dim=1)[torch.arange(len(languages_B)), languages_B].log()
    torch.testing.assert_close(language_loss(logits_BK, languages_B), naive, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(shape=shapes)
def test_confusion_is_least_where_the_discriminator_cannot_tell(shape: tuple[int, int, int]) -> None:
    logits_BK, _, _ = draw(*shape)
    languages = logits_BK.shape[1]
    naive = -(torch.full_like(logits_BK, 1 / languages) * logits_BK.softmax(dim=1).log()).sum(dim=1)
    torch.testing.assert_close(confusion_loss(logits_BK), naive, rtol=1e-4, atol=1e-4)
    assert (confusion_loss(logits_BK) >= math.log(languages) - 1e-4).all()
    torch.testing.assert_close(confusion_loss(torch.zeros(1, languages)), torch.tensor([math.log(languages)]))


@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("mode", ["loss-reversal", "gradient-reversal", "confusion"])
def test_who_follows_what_in_each_mode(mode: str, width: int | None) -> None:
    """The gradients of student and discriminator against their definitions, each taken by itself."""
    torch.manual_seed(0)
    weight = 0.3
    discriminator = LanguageDiscriminator(5, 4, width, seed=2)
    parameters = list(discriminator.parameters())
    pooled_BD = torch.randn(6, 5, requires_grad=True)
    languages_B = torch.randint(0, 4, (6,))

    to_minimise_B, student_term_B, logits_BK = adversary_losses(discriminator, pooled_BD, languages_B, mode, weight)
    actual = torch.autograd.grad(to_minimise_B.sum(), [pooled_BD, *parameters])

    loss_B = language_loss(discriminator(pooled_BD), languages_B)
    student, *own = torch.autograd.grad(loss_B.sum(), [pooled_BD, *parameters])
    if mode == "loss-reversal":
        expected = [-weight * student, *(-weight * g for g in own)]
        term_B = -weight * loss_B
    elif mode == "gradient-reversal":
        expected = [-weight * student, *own]
        term_B = -weight * loss_B
    else:
        confused_B = confusion_loss(discriminator(pooled_BD))
        expected = [weight * gradient(confused_B.sum(), pooled_BD), *own]
        term_B = weight * confusion_loss(discriminator(pooled_BD))
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(student_term_B, term_B.detach())
    assert not logits_BK.requires_grad


def test_no_adversary_has_no_loss() -> None:
    with pytest.raises(ValueError, match="none"):
        adversary_losses(LanguageDiscriminator(5, 4, None, 1), torch.zeros(1, 5), torch.zeros(1).long(), "none", 0.1)


def test_losses_do_not_depend_on_how_rows_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks, with a last one that is not full, against one."""
    student_MV, teacher_MV, labels_M = draw(11, 7, seed=1)
    results = []
    for elements in (1, 3 * 7, 1 << 20):
        monkeypatch.setattr("unibert.pretrain.vocabulary_losses._CHUNK_ELEMENTS", elements)
        mlm, divergence = mlm_loss(student_MV, labels_M, 0.3), distillation_loss(student_MV, teacher_MV, 2.0)
        weights = torch.arange(11.0)
        results.append((mlm, divergence, gradient((weights * (mlm + 2 * divergence)).sum(), student_MV)))
    for result in results[1:]:
        for ours, first in zip(result, results[0], strict=True):
            torch.testing.assert_close(ours, first)


def test_bfloat16_logits_give_float32_losses_and_bfloat16_gradients() -> None:
    student_MV, teacher_MV, labels_M = draw(5, 9, seed=2)
    half_MV = student_MV.detach().bfloat16().requires_grad_()
    loss = mlm_loss(half_MV, labels_M, 0.7) + distillation_loss(half_MV, teacher_MV.bfloat16(), 2.0)
    assert loss.dtype == torch.float32
    exact = half_MV.detach().float().requires_grad_()
    naive = mlm_loss(exact, labels_M, 0.7) + distillation_loss(exact, teacher_MV.bfloat16().float(), 2.0)
    torch.testing.assert_close(loss, naive)
    expected = gradient(naive.sum(), exact).bfloat16()
    torch.testing.assert_close(gradient(loss.sum(), half_MV), expected, rtol=2e-2, atol=1e-3)
