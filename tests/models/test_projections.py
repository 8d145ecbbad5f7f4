from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unibert.models.projections import Projections, layer_map


def test_each_state_goes_through_its_own_map() -> None:
    projections = Projections(3, 4, 6, seed=1)
    states = [torch.randn(5, 4) for _ in range(3)]
    projected = projections(states)
    assert len(projected) == 3
    for state_TD, projected_TD, weight in zip(states, projected, projections.parameters(), strict=True):
        torch.testing.assert_close(projected_TD, state_TD @ weight.T)
    with pytest.raises(ValueError, match="zip"):
        projections(states[:2])


def test_the_seed_decides_the_maps_and_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one, same, other = (list(Projections(2, 8, 16, seed).parameters()) for seed in (1, 1, 2))
    torch.testing.assert_close(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], one[1])


def test_a_projected_state_is_about_as_large_as_the_state() -> None:
    (projected_TD,) = Projections(1, 128, 768, seed=1)([torch.randn(50, 128)])
    assert projected_TD.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (4, 12, [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)]),
        (6, 12, [(0, 0), (1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]),
        (3, 4, [(0, 0), (1, 1), (2, 3), (3, 4)]),
        (4, 2, [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]),
        (1, 5, [(0, 0), (1, 5)]),
    ],
)
def test_layers_meet_at_the_same_relative_depth(student: int, teacher: int, pairs: list[tuple[int, int]]) -> None:
    assert layer_map(student, teacher, "all") == pairs
    assert layer_map(student, teacher, "last") == [(student, teacher)]


@given(student=st.integers(1, 48), teacher=st.integers(1, 48))
def test_no_layer_is_further_than_half_a_layer_from_its_place(student: int, teacher: int) -> None:
    pairs = layer_map(student, teacher, "all")
    assert [ours for ours, _ in pairs] == list(range(student + 1))
    assert pairs[0] == (0, 0) and pairs[-1] == (student, teacher)
    for (_, earlier), (_, later) in pairwise(pairs):
        assert earlier <= later
    assert all(abs(theirs - ours * teacher / student) <= 0.5 for ours, theirs in pairs)
