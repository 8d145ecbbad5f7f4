import pytest
import torch

from unibert.models.adversary import LanguageDiscriminator


@pytest.mark.parametrize(("width", "depth"), [(None, 3), (9, 1), (9, 3)])
def test_the_frozen_discriminator_answers_alike_and_learns_nothing(width: int | None, depth: int) -> None:
    discriminator = LanguageDiscriminator(6, 4, width, depth, seed=1)
    pooled_BD = torch.randn(3, 6, requires_grad=True)
    torch.testing.assert_close(discriminator.frozen(pooled_BD), discriminator(pooled_BD))
    (expected,) = torch.autograd.grad(discriminator(pooled_BD).square().sum(), pooled_BD)
    discriminator.frozen(pooled_BD).square().sum().backward()
    torch.testing.assert_close(pooled_BD.grad, expected)
    assert all(parameter.grad is None for parameter in discriminator.parameters())


@pytest.mark.parametrize(
    ("width", "depth", "maps"),
    [(None, 3, [(6, 4)]), (9, 1, [(6, 9), (9, 4)]), (9, 3, [(6, 9), (9, 9), (9, 9), (9, 4)])],
)
def test_depth_and_width_decide_the_layers(width: int | None, depth: int, maps: list[tuple[int, int]]) -> None:
    layers = LanguageDiscriminator(6, 4, width, depth, seed=1).layers
    linear = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert linear == maps
    assert sum(isinstance(layer, torch.nn.GELU) for layer in layers) == len(maps) - 1


def test_the_seed_decides_the_weights_and_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one, same, other = (LanguageDiscriminator(6, 4, 9, 2, seed).state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(torch.rand(1), expected)
    for name, values in one.items():
        torch.testing.assert_close(values, same[name], rtol=0, atol=0)
        assert not torch.equal(values, other[name])
