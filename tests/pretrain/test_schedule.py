import pytest

from unibert.pretrain.schedule import adversary_weight, learning_rate
from unibert.recipe import Adversary, Pretrain

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


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (9, 0.0), (10, 0.0), (15, 0.25), (20, 0.5), (999, 0.5)])
def test_the_adversary_is_switched_on_slowly(step: int, weight: float) -> None:
    assert adversary_weight(step, Adversary(weight=0.5, start=10, full=20)) == pytest.approx(weight)


def test_the_adversary_is_whole_from_the_start_by_default() -> None:
    assert adversary_weight(0, Adversary(weight=0.5)) == 0.5
