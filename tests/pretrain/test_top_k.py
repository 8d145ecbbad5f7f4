"""The teacher's most probable pieces, and the divergence from them, against the lines that anyone would write first."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.pretrain import top_k as module
from unibert.pretrain.top_k import TopK, top_k, truncated_divergence, truncated_divergence_block

cases = st.tuples(st.integers(1, 6), st.integers(2, 12), st.integers(0, 10**6)).flatmap(
    lambda case: st.tuples(st.just(case), st.integers(1, case[1]), st.sampled_from([1.0, 2.0, 5.0]))
)


def draw(rows: int, vocabulary: int, seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = scale * torch.randn(2, rows, vocabulary, generator=generator, dtype=torch.float64)
    return student.requires_grad_(), teacher


def exact(teacher_MV: torch.Tensor, k: int, temperature: float) -> TopK:
    """In float64, which `top_k` does not keep."""
    probabilities, ids = (teacher_MV / temperature).softmax(dim=1).topk(k, dim=1)
    return TopK(ids, probabilities)


def naive(student_MV: torch.Tensor, top: TopK, temperature: float) -> torch.Tensor:
    """Both distributions written out over K + 1 classes; no good where the last one is nearly 0."""
    q_MV = (student_MV / temperature).softmax(dim=1)
    q_MK = q_MV.gather(1, top.ids_MK)
    p = torch.cat([top.probabilities_MK, 1 - top.probabilities_MK.sum(dim=1, keepdim=True)], dim=1)
    q = torch.cat([q_MK, 1 - q_MK.sum(dim=1, keepdim=True)], dim=1)
    return (p * (p / q).log()).sum(dim=1)


def full(student_MV: torch.Tensor, teacher_MV: torch.Tensor, temperature: float) -> torch.Tensor:
    teacher = (teacher_MV / temperature).log_softmax(dim=1)
    return (teacher.exp() * (teacher - (student_MV / temperature).log_softmax(dim=1))).sum(dim=1)


def block(student_MV: torch.Tensor, top: TopK, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    return truncated_divergence_block(student_MV.detach(), top.ids_MK, top.probabilities_MK, temperature)


def gradient(losses: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(0.5, 2, len(losses), dtype=losses.dtype)
    return torch.autograd.grad((weights * losses).sum(), inputs, retain_graph=True)[0]


@settings(deadline=None)
@given(case=cases)
def test_the_pieces_are_those_of_the_sorted_softmax(case: tuple[tuple[int, int, int], int, float]) -> None:
    (rows, vocabulary, seed), k, temperature = case
    _, teacher_MV = draw(rows, vocabulary, seed)
    top = top_k(teacher_MV.float(), k, temperature)
    probabilities_MV = (teacher_MV / temperature).softmax(dim=1)
    expected = probabilities_MV.sort(dim=1, descending=True).values[:, :k]
    torch.testing.assert_close(top.probabilities_MK, expected.float())
    torch.testing.assert_close(probabilities_MV.gather(1, top.ids_MK).float(), top.probabilities_MK)
    assert top.ids_MK.dtype == torch.int64
    assert top.probabilities_MK.dtype == torch.float32
    assert len(top) == rows


@settings(deadline=None)
@given(case=cases)
def test_the_divergence_is_that_of_k_pieces_and_the_rest(case: tuple[tuple[int, int, int], int, float]) -> None:
    (rows, vocabulary, seed), k, temperature = case
    if k == vocabulary:
        k -= 1  # the naive lines divide 0 by 0 then; see the test below
    student_MV, teacher_MV = draw(rows, vocabulary, seed)
    top = exact(teacher_MV, k, temperature)
    ours, expected = truncated_divergence(student_MV, top, temperature), naive(student_MV, top, temperature)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient(ours, student_MV), gradient(expected, student_MV))
    fused_M, gradient_MV = block(student_MV, top, temperature)
    torch.testing.assert_close(fused_M, expected)
    weights = torch.linspace(0.5, 2, rows, dtype=torch.float64)
    torch.testing.assert_close(gradient_MV * weights.unsqueeze(1), gradient(ours, student_MV))


@settings(deadline=None)
@given(case=cases)
def test_it_never_exceeds_the_full_divergence_and_grows_towards_it(
    case: tuple[tuple[int, int, int], int, float],
) -> None:
    (rows, vocabulary, seed), _, temperature = case
    student_MV, teacher_MV = draw(rows, vocabulary, seed)
    below = torch.zeros(rows, dtype=torch.float64)
    for k in range(1, vocabulary + 1):
        losses_M = truncated_divergence(student_MV, exact(teacher_MV, k, temperature), temperature)
        assert (losses_M >= below - 1e-9).all()
        below = losses_M.detach()
    whole = full(student_MV, teacher_MV, temperature)
    torch.testing.assert_close(losses_M, whole)  # k = V
    torch.testing.assert_close(gradient(losses_M, student_MV), gradient(whole, student_MV))
    fused_M, gradient_MV = block(student_MV, exact(teacher_MV, vocabulary, temperature), temperature)
    torch.testing.assert_close(fused_M, whole)
    student = (student_MV / temperature).softmax(dim=1)
    torch.testing.assert_close(gradient_MV, (student - (teacher_MV / temperature).softmax(dim=1)) / temperature)


def test_it_is_the_full_divergence_where_the_student_divides_its_rest_as_the_teacher_does() -> None:
    student_MV, teacher_MV = draw(5, 9, seed=1)
    top = exact(teacher_MV, 3, 2.0)
    probabilities_MV = (teacher_MV / 2).softmax(dim=1)
    others = torch.ones_like(probabilities_MV).scatter(1, top.ids_MK, 0)
    factor = torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0], dtype=torch.float64).unsqueeze(1)
    student_MV = 2 * (probabilities_MV * (others * factor + (1 - others))).log()
    torch.testing.assert_close(truncated_divergence(student_MV, top, 2.0), full(student_MV, teacher_MV, 2.0))


def test_the_gradient_is_the_derivative() -> None:
    student_MV, teacher_MV = draw(4, 7, seed=3)
    for k in (1, 3, 7):
        top = exact(teacher_MV, k, 2.0)
        assert torch.autograd.gradcheck(lambda logits, top=top: truncated_divergence(logits, top, 2.0), student_MV)


def test_a_student_that_is_certain_of_the_same_pieces_learns_nothing_and_nothing_breaks() -> None:
    """The rest is below what float32 can tell from 0, on both sides; 1 - sum(p) is its rounding."""
    logits = torch.full((1, 50), -40.0)
    logits[0, :2] = torch.tensor([100.0, 99.0])
    losses, gradients = block(logits, top_k(logits, 4, 1.0), 1.0)
    torch.testing.assert_close(losses, torch.zeros(1), atol=1e-3, rtol=0)
    torch.testing.assert_close(gradients, torch.zeros(1, 50), atol=1e-5, rtol=0)


def test_a_student_without_any_rest_is_pulled_back_with_the_right_force() -> None:
    """Its rest underflows in float32, the teacher's is a half: the loss stays finite, the force is p_rest."""
    logits = torch.full((1, 5), -300.0)
    logits[0, 0] = 0.0
    top = TopK(torch.tensor([[0]]), torch.tensor([[0.5]]))
    losses, gradients = block(logits, top, 1.0)
    expected = 0.5 * torch.tensor(0.5).log() * 2 + 0.5 * (300 - torch.tensor(4.0).log())
    torch.testing.assert_close(losses, expected.unsqueeze(0))
    torch.testing.assert_close(gradients, torch.tensor([[0.5, -0.125, -0.125, -0.125, -0.125]]))


@pytest.mark.parametrize("vocabulary", [3, 8])
def test_probabilities_that_sum_to_more_than_one_by_rounding_have_no_rest(vocabulary: int) -> None:
    top = TopK(torch.tensor([[2, 0, 1]]), torch.tensor([[0.6, 0.3, 0.1001]]))
    logits = torch.linspace(-1, 1, vocabulary).unsqueeze(0).requires_grad_()
    losses, gradients = block(logits, top, 1.0)
    assert torch.isfinite(losses).all()
    torch.testing.assert_close(truncated_divergence(logits, top, 1.0), losses)
    q = logits.detach().softmax(dim=1)
    p = torch.zeros_like(q).scatter(1, top.ids_MK, top.probabilities_MK)
    torch.testing.assert_close(gradients, q - p)


def test_where_rows_are_cut_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    _, teacher_MV = draw(11, 7, seed=4)
    whole = top_k(teacher_MV, 3, 2.0)
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 3 * 7)
    joined = TopK.joined([top_k(teacher_MV[:4], 3, 2.0), top_k(teacher_MV[4:], 3, 2.0)])
    for top in (joined, TopK.joined([joined[:10], joined[10:]])):
        assert torch.equal(top.ids_MK, whole.ids_MK)
        torch.testing.assert_close(top.probabilities_MK, whole.probabilities_MK)


def test_bfloat16_logits_give_float32_losses_and_bfloat16_gradients() -> None:
    student_MV, teacher_MV = draw(5, 9, seed=2)
    top = top_k(teacher_MV.bfloat16(), 4, 2.0)
    torch.testing.assert_close(
        top.probabilities_MK, exact(teacher_MV.bfloat16().double(), 4, 2.0).probabilities_MK.float()
    )
    half = student_MV.detach().bfloat16().requires_grad_()
    losses = truncated_divergence(half, top, 2.0)
    wide = half.detach().float().requires_grad_()
    expected = truncated_divergence(wide, top, 2.0)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(gradient(losses, half), gradient(expected, wide).bfloat16(), rtol=2e-2, atol=1e-3)


def test_no_rows_and_more_pieces_than_there_are() -> None:
    top = top_k(torch.zeros(0, 5), 64, 1.0)
    assert top.ids_MK.shape == (0, 5)
    losses = truncated_divergence(torch.zeros(0, 5, requires_grad=True), top, 1.0)
    assert losses.shape == (0,)
