import pytest

from unibert.pretrain.schedule import adversary_weight, learning_rate
from unibert.recipe import Pretrain

SETTINGS = Pretrain.model_validate(
    {"steps": 100, "warmup_steps": 10, "learning_rate": 1.0, "distillation": {"weight": 0}}
)


def test_the_rate_grows_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, SETTINGS) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 90)
    assert learning_rate(100, SETTINGS) == 0


def with_adversary(**adversary: float) -> Pretrain:
    return Pretrain.model_validate(
        {"steps": 100, "warmup_steps": 10, "adversary": {"weight": 0.5, **adversary}, "distillation": {"weight": 0}}
    )


@pytest.mark.parametrize("ramp", [{"start": 10, "full": 20}, {"start": 0.1, "full": 0.2}, {"start": 10, "full": 0.2}])
@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (9, 0.0), (10, 0.0), (15, 0.25), (20, 0.5), (999, 0.5)])
def test_the_adversary_is_switched_on_slowly(step: int, weight: float, ramp: dict[str, float]) -> None:
    assert adversary_weight(step, with_adversary(**ramp)) == pytest.approx(weight)


def test_by_default_from_three_tenths_to_six_tenths_of_the_steps() -> None:
    assert [adversary_weight(step, with_adversary()) for step in (0, 30, 45, 60, 99)] == [0, 0, 0.25, 0.5, 0.5]


@pytest.mark.parametrize("full", [0, 30, 0.6])
def test_whole_at_once_where_the_end_of_the_ramp_is_no_later_than_its_beginning(full: float) -> None:
    settings = with_adversary(start=70, full=full) if full != 30 else with_adversary(start=0.7, full=30)
    assert [adversary_weight(step, settings) for step in (69, 70)] == [0, 0.5]


def test_constant_from_the_first_step() -> None:
    assert adversary_weight(0, with_adversary(start=0, full=0)) == 0.5
