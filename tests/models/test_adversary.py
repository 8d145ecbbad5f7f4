import pytest
import torch

from unibert.models.adversary import LanguageDiscriminator, mean_pool, reverse_gradient


@pytest.mark.parametrize("width", [None, 9])
def test_the_frozen_discriminator_answers_alike_and_learns_nothing(width: int | None) -> None:
    discriminator = LanguageDiscriminator(6, 4, width, seed=1)
    pooled_BD = torch.randn(3, 6, requires_grad=True)
    torch.testing.assert_close(discriminator.frozen(pooled_BD), discriminator(pooled_BD))
    discriminator.frozen(pooled_BD).sum().backward()
    assert pooled_BD.grad is not None
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def test_the_mean_leaves_padding_out() -> None:
    hidden_BLD = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [5.0], [8.0]]])
    mask_BL = torch.tensor([[1, 1, 0], [1, 1, 1]])
    torch.testing.assert_close(mean_pool(hidden_BLD, mask_BL), torch.tensor([[2.0], [5.0]]))


def test_the_gradient_is_reversed_and_scaled() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    out = reverse_gradient(values, 0.5)
    torch.testing.assert_close(out, values)
    (out * torch.tensor([3.0, 4.0])).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-1.5, -2.0]))
