"""Every loss against the three lines that anyone would write first, in value and in gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.models.adversary import LanguageDiscriminator
from unibert.pretrain.objectives import (
    check_relation_heads,
    confusion_loss,
    discriminator_loss,
    distillation_loss,
    hidden_state_loss,
    language_loss,
    mlm_loss,
    relation_loss,
    relations_loss,
    student_adversary_term,
)

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


class ReversedGradient(torch.autograd.Function):
    """The layer of Ganin and Lempitsky (arXiv 1409.7495): identity forwards, -scale backwards."""

    @staticmethod
    def forward(ctx, values, scale):
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradients):
        return -ctx.scale * gradients, None


def adversarial_world(width: int | None) -> tuple[LanguageDiscriminator, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    discriminator = LanguageDiscriminator(5, 4, width, depth=2, seed=2)
    return discriminator, torch.randn(6, 5, requires_grad=True), torch.randint(0, 4, (6,))


def both_losses(discriminator, pooled_BD, languages_B, mode, weight=0.3):
    """Loss of student and discriminator, and the gradients that each leaves on student and discriminator."""
    parameters = list(discriminator.parameters())
    term_B, logits_BK = student_adversary_term(discriminator, pooled_BD, languages_B, mode, weight)
    losses_B = discriminator_loss(discriminator, pooled_BD, languages_B, mode, weight)
    of_student = torch.autograd.grad(term_B.sum(), [pooled_BD, *parameters], allow_unused=True)
    of_discriminator = torch.autograd.grad(losses_B.sum(), [pooled_BD, *parameters], allow_unused=True)
    assert of_student[1:] == (None,) * len(parameters), "the student must not move the discriminator"
    assert of_discriminator[0] is None, "the discriminator must not move the student"
    assert not logits_BK.requires_grad
    torch.testing.assert_close(logits_BK, discriminator(pooled_BD).detach())
    return term_B, losses_B, [of_student[0], *of_discriminator[1:]]


@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("mode", ["loss-reversal", "gradient-reversal", "confusion"])
def test_who_follows_what_in_each_mode(mode: str, width: int | None) -> None:
    """Losses and gradients of student and discriminator against their definitions, each taken by itself."""
    weight = 0.3
    discriminator, pooled_BD, languages_B = adversarial_world(width)
    term_B, losses_B, actual = both_losses(discriminator, pooled_BD, languages_B, mode, weight)

    adversary_B = language_loss(discriminator(pooled_BD), languages_B)
    student, *own = torch.autograd.grad(adversary_B.sum(), [pooled_BD, *discriminator.parameters()])
    if mode == "confusion":
        confused_B = confusion_loss(discriminator(pooled_BD))
        torch.testing.assert_close(term_B, weight * confused_B)
        expected = [weight * gradient(confused_B.sum(), pooled_BD), *own]
    else:
        torch.testing.assert_close(term_B, -weight * adversary_B)
        expected = [-weight * student, *(-weight * g if mode == "loss-reversal" else g for g in own)]
    torch.testing.assert_close(losses_B, -weight * adversary_B if mode == "loss-reversal" else adversary_B)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("width", [None, 7])
def test_the_two_losses_together_are_a_gradient_reversal_layer(width: int | None) -> None:
    weight = 0.3
    discriminator, pooled_BD, languages_B = adversarial_world(width)
    term_B, losses_B, actual = both_losses(discriminator, pooled_BD, languages_B, "gradient-reversal", weight)
    reversed_B = language_loss(discriminator(ReversedGradient.apply(pooled_BD, weight)), languages_B)
    expected = torch.autograd.grad(reversed_B.sum(), [pooled_BD, *discriminator.parameters()])
    torch.testing.assert_close(losses_B, reversed_B)
    torch.testing.assert_close(term_B, -weight * reversed_B)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("loss", [student_adversary_term, discriminator_loss])
def test_no_adversary_has_no_loss(loss) -> None:
    with pytest.raises(ValueError, match="none"):
        loss(LanguageDiscriminator(5, 4, None, 1, 1), torch.zeros(1, 5), torch.zeros(1).long(), "none", 0.1)


@settings(deadline=None)
@given(tokens=st.integers(1, 6), width=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_hidden_states_are_compared_by_their_mean_squared_error(tokens: int, width: int, seed: int) -> None:
    ours_TD, teacher_TD, _ = draw(tokens, width, seed)
    naive = ((ours_TD - teacher_TD) ** 2).sum(dim=1) / width
    ours = hidden_state_loss(ours_TD, teacher_TD)
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(gradient(ours.sum(), ours_TD), gradient(naive.sum(), ours_TD))
    assert hidden_state_loss(ours_TD.bfloat16(), teacher_TD.bfloat16()).dtype == torch.float32


def naive_relation_loss(student_TD, teacher_TD, lengths, heads):
    """Sample by sample and head by head."""
    losses, start = [], 0
    for length in lengths:
        span, loss = slice(start, start + length), 0.0
        for student_LR, teacher_LR in zip(
            student_TD[span].chunk(heads, dim=1), teacher_TD[span].chunk(heads, dim=1), strict=True
        ):
            student_LL = (student_LR @ student_LR.T / student_LR.shape[1] ** 0.5).softmax(dim=1)
            teacher_LL = (teacher_LR @ teacher_LR.T / teacher_LR.shape[1] ** 0.5).softmax(dim=1)
            loss = loss + (teacher_LL * (teacher_LL / student_LL).log()).sum() / (heads * length)
        losses.append(loss)
        start += length
    return torch.stack(losses)


lengths_of_samples = st.lists(st.integers(1, 6), min_size=1, max_size=7)


@settings(deadline=None)
@given(
    lengths=lengths_of_samples,
    descending=st.booleans(),
    heads=st.sampled_from([1, 2, 4]),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 10**6),
)
def test_relations_are_those_of_a_loop_over_samples_and_heads(
    lengths: list[int], descending: bool, heads: int, widths: tuple[int, int], seed: int
) -> None:
    lengths = sorted(lengths, reverse=True) if descending else lengths
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        [torch.randn(sum(lengths), width * heads, generator=generator) for _ in range(3)] for width in widths
    )
    for part in student:
        part.requires_grad_()

    ours = relation_loss(student[0], teacher[0], lengths, heads)
    naive = naive_relation_loss(student[0], teacher[0], lengths, heads)
    torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-5)
    weights_B = torch.rand(len(lengths), generator=generator)
    torch.testing.assert_close(
        gradient(ours @ weights_B, student[0]), gradient(naive @ weights_B, student[0]), rtol=1e-4, atol=1e-5
    )

    every = relations_loss(student, teacher, lengths, heads)
    naive = sum(naive_relation_loss(*pair, lengths, heads) for pair in zip(student, teacher, strict=True))
    torch.testing.assert_close(every, naive, rtol=1e-4, atol=1e-5)
    for ours_TD, theirs_TD in zip(
        torch.autograd.grad(every @ weights_B, student), torch.autograd.grad(naive @ weights_B, student), strict=True
    ):
        torch.testing.assert_close(ours_TD, theirs_TD, rtol=1e-4, atol=1e-5)


def test_equal_relations_cost_nothing_and_a_turn_of_the_space_is_no_difference() -> None:
    torch.manual_seed(0)
    teacher_TD = torch.randn(9, 12)
    turn, _ = torch.linalg.qr(torch.randn(6, 6))
    student_TD = torch.cat([teacher_TD[:, :6] @ turn, teacher_TD[:, 6:] @ turn], dim=1)
    torch.testing.assert_close(relation_loss(student_TD, teacher_TD, [5, 4], 2), torch.zeros(2), atol=1e-6, rtol=0)
    assert (relation_loss(student_TD, teacher_TD.flip(0), [5, 4], 2) > 0.01).all()


def test_relations_are_computed_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    student_TD, teacher_TD = torch.randn(7, 8), torch.randn(7, 16)
    exact = relation_loss(student_TD, teacher_TD, [4, 3], 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(relation_loss(student_TD, teacher_TD, [4, 3], 4), exact)
    assert relation_loss(student_TD.bfloat16(), teacher_TD.bfloat16(), [4, 3], 4).dtype == torch.float32


def test_relation_heads_must_divide_both_widths() -> None:
    check_relation_heads(128, 768, 16)
    with pytest.raises(DataError, match=r"heads = 12 .*\(128\).*\(768\)(.|\n)*one of 1, 2, 4, 8, 16, 32, 64, 128\."):
        check_relation_heads(128, 768, 12)
    with pytest.raises(DataError, match="teacher"):
        check_relation_heads(64, 48, 32)


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
