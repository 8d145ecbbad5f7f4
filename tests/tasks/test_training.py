"""What is kept of a training: the best epoch's weights, and when it may end."""

import pytest
import torch

from unibert.tasks.training import Choice


@pytest.mark.parametrize(
    ("scores", "best"), [([10.0, 30.0, 20.0], 2), ([10.0, 20.0, 30.0], 3), ([5.0, 5.0], 2), ([9.0, 1.0, 8.0], 1)]
)
def test_the_best_epoch_is_restored(scores, best):
    layer = torch.nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    choice = Choice()
    for epoch, score in enumerate(scores, start=1):
        torch.nn.init.constant_(layer.weight, epoch)
        torch.nn.init.constant_(layer.bias, epoch)
        choice.consider(layer, score)
    choice.restore(layer)
    assert choice.best_epoch == best
    assert layer.weight.tolist() == [[best, best]]
    assert layer.bias.tolist() == [len(scores)], "what is not trained is not kept"


@pytest.mark.parametrize(
    ("patience", "scores", "gives_up"),
    [
        (1, [2.0, 1.0], True),
        (2, [2.0, 1.0], False),
        (2, [2.0, 1.0, 1.0], True),
        (2, [2.0, 2.0, 2.0], True),
        (None, [2.0, 1.0, 1.0], False),
    ],
)
def test_patience_counts_the_epochs_since_the_best(patience, scores, gives_up):
    layer, choice = torch.nn.Linear(1, 1), Choice()
    for score in scores:
        choice.consider(layer, score)
    assert choice.gave_up(patience) is gives_up


def test_weights_that_are_no_numbers_are_not_the_best():
    layer, choice = torch.nn.Linear(1, 1), Choice()
    for weight, score in ((1.0, -0.5), (float("nan"), 0.0)):
        torch.nn.init.constant_(layer.weight, weight)
        choice.consider(layer, score)
    choice.restore(layer)
    assert choice.best_epoch == 1
    assert layer.weight.item() == 1.0
