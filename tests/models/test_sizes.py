import pytest
import torch

from unibert.models.sizes import SIZES, architecture
from unibert.models.student import build_student, count_parameters
from unibert.recipe import Architecture

MBERT_VOCABULARY = 119_547


@pytest.mark.parametrize(("size", "millions"), [("small", 87.07), ("xsmall", 38.28), ("xxsmall", 18.93)])
def test_the_sizes_of_table_1(size: str, millions: float) -> None:
    model = build_student(SIZES[size], MBERT_VOCABULARY, pad_id=0, seed=1)
    assert round(count_parameters(model) / 1e6, 2) == millions
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_seed_decides_the_weights_and_leaves_the_callers_randomness_alone() -> None:
    shape = Architecture(layers=1, hidden=16, heads=2, feed_forward=32, max_positions=32)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (build_student(shape, 50, 0, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    weights = [model.get_input_embeddings().weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_shape_of_ones_own_is_taken_as_it_is() -> None:
    shape = Architecture(layers=1, hidden=16, heads=2)
    assert architecture(shape) is shape
    assert architecture("small").hidden == 512
