import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_support import make_model
from unibert.deploy.pruning_shape import (
    Target,
    choose_shape,
    importance_lost,
    parse_parameters,
    smallest,
    units_to_keep,
)
from unibert.deploy.structure import Shape, find_structure
from unibert.errors import DataError, RecipeError

STRUCTURE = find_structure(make_model("bert", "SequenceClassification", feed_forward=40))
ODD = find_structure(make_model("distilbert", "MaskedLM", feed_forward=15))


def make_importance(structure, seed: int = 0, feed_forward: float = 1.0):
    generator = np.random.default_rng(seed)
    return {
        space: generator.random(structure.units(space)) * (feed_forward if space.startswith("feed") else 1)
        for space in structure.spaces
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [("15M", 15_000_000), ("14.5 m", 14_500_000), ("800k", 800_000), ("15_000_000", 15_000_000), ("1,200", 1200)],
)
def test_numbers_of_parameters_as_people_write_them(text: str, number: int) -> None:
    assert parse_parameters(text) == number


@pytest.mark.parametrize("text", ["", "many", "-3M", "0", "0.2", "15G", "M", "1e6"])
def test_what_is_no_number_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="--parameters"):
        parse_parameters(text)


@given(st.text(alphabet="0123456789.,_kKmM -e", max_size=12))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    with contextlib.suppress(RecipeError):
        assert parse_parameters(text) >= 1


@pytest.mark.parametrize(
    "given_", [{}, {"parameters": 5, "share": 0.5}, {"share": 0.5, "heads": 2}, {"share": 1.0}, {"share": 0.0}]
)
def test_one_target_is_needed_and_only_one(given_) -> None:
    with pytest.raises(RecipeError):
        Target(**given_)


@pytest.mark.parametrize("structure", [STRUCTURE, ODD])
@given(share=st.floats(0.01, 0.999), seed=st.integers(0, 5), weight=st.sampled_from([0.01, 1.0, 100.0]))
def test_no_other_shape_within_the_target_loses_less(structure, share: float, seed: int, weight: float) -> None:
    importance = make_importance(structure, seed, weight)
    size = structure.parameters(structure.whole)
    most = round(share * size)
    step = 8 if structure is STRUCTURE else 1
    assert smallest(structure) == Shape(1, step)
    every = [Shape(h, f) for h in range(1, 5) for f in range(step, structure.whole.feed_forward + 1, step)]
    fitting = [shape for shape in every if structure.parameters(shape) <= most]
    if not fitting:
        with pytest.raises(DataError, match=f"the smallest .* has {structure.parameters(Shape(1, step)):,} "):
            choose_shape(structure, importance, Target(share=share))
        return
    found = choose_shape(structure, importance, Target(parameters=most))
    lost = {shape: _lost(structure, importance, shape) for shape in every}
    assert structure.parameters(found) <= most
    assert lost[found] == pytest.approx(min(lost[shape] for shape in fitting))


def _lost(structure, importance, shape: Shape) -> float:
    """The sum over all units that are not kept."""
    kept = units_to_keep(structure, importance, shape)
    return sum(float(np.delete(values, kept[space]).sum()) for space, values in importance.items())


def test_importance_lost_is_that_of_the_units_that_go() -> None:
    importance = make_importance(STRUCTURE)
    lost = importance_lost(STRUCTURE, importance)
    assert lost.of(STRUCTURE.whole) == 0
    for shape in (Shape(4, 17), Shape(2, 40), Shape(1, 1)):
        assert lost.of(shape) == pytest.approx(_lost(STRUCTURE, importance, shape))


def test_the_most_important_units_are_kept_in_their_order() -> None:
    importance = {
        **make_importance(STRUCTURE),
        "heads.0": np.array([1, 5, 0, 7.0]),
        "heads.1": np.array([2, 2, 2, 2.0]),
    }
    kept = units_to_keep(STRUCTURE, importance, Shape(2, 8))
    assert kept["heads.0"].tolist() == [1, 3]
    assert kept["heads.1"].tolist() == [0, 1]
    assert (len(kept["hidden"]), len(kept["pooled"]), len(kept["feed-forward.1"])) == (8, 8, 8)


def test_a_shape_may_be_named() -> None:
    importance = make_importance(STRUCTURE)
    assert choose_shape(STRUCTURE, importance, Target(heads=3)) == Shape(3, 40)
    assert choose_shape(STRUCTURE, importance, Target(heads=1, feed_forward=3)) == Shape(1, 3)
    for target, message in (
        (Target(heads=0), "--heads 0: the model has 4"),
        (Target(heads=5), "--heads 5"),
        (Target(feed_forward=41), "--feed-forward 41: the model has 40"),
        (Target(heads=4, feed_forward=40), "the shape that the model has already"),
    ):
        with pytest.raises(DataError, match=message):
            choose_shape(STRUCTURE, importance, target)


def test_a_target_that_leaves_nothing_to_prune_is_refused() -> None:
    size = STRUCTURE.parameters(STRUCTURE.whole)
    with pytest.raises(DataError, match=f"it has {size:,} parameters"):
        choose_shape(STRUCTURE, make_importance(STRUCTURE), Target(parameters=size))
