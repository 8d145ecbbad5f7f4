"""What a task is: the same functions in the modules ner, nli, qa and sts, each of which is a `Task`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args

from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.task_settings import TaskName
from unibert.tasks.data import Split
from unibert.tasks.encoder import Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TASK_NAMES: tuple[str, ...] = get_args(TaskName)


class Task(Protocol):
    """A kind of problem that an encoder is fine-tuned on.

    A *sample* is what is scored: a sentence, a pair, a question; of a type of the task's own. A *feature* is what the
    model reads; a long question makes several. A *prediction* is JSON-like.
    """

    NAME: str
    """As users write it: `ner`."""
    TITLE: str
    """In words: `Named entity recognition`."""
    METRICS: Mapping[str, str]
    """The scores by key, with their names; the first is the one that chooses epochs and fills tables."""
    PER_CENT: bool
    """Whether the metrics go from 0 to 100 (two decimals); else from -1 to 1 (correlations, three decimals)."""
    SUPPORT: str
    """What is counted in `support`, in words: `entities`."""
    COLUMNS: Mapping[str, str]
    """What a sample consists of: names of columns or fields, and what stands there."""

    def read(self, path: Path, columns: Mapping[str, str]) -> list[Any]:
        """Read and check a file of samples; the ending says the format.

        What is to be predicted may be missing, in files that are only predicted on; `check` refuses such samples.

        Args:
            path: a file; `.gz` is unpacked.
            columns: the file's own names for those of `COLUMNS` that it calls otherwise.

        Raises:
            DataError: names file and line of what is wrong.
        """

    def label_names(self, samples: Sequence[Any]) -> list[str]:
        """The labels a model has to tell apart, in a fixed order; none where the task has no labels."""

    def check(self, split: Split, labels: Sequence[str], trained_on: str) -> None:
        """Refuse samples that a model with these labels cannot be scored on.

        Raises:
            DataError: names both sources.
        """

    def load(self, encoder: Encoder, labels: Sequence[str], settings: FineTune) -> tuple[Any, Any]:
        """A model with a head for the task, in float32, and its tokenizer.

        The weights of a new head are drawn from torch's generator: seed it before.

        Raises:
            DataError: the encoder cannot be loaded.
        """

    def features(
        self, samples: Sequence[Any], tokenizer: Any, labels: Sequence[str], settings: FineTune
    ) -> list[dict[str, Any]]:
        """What the model is trained on: `input_ids` and the targets, without padding."""

    def collate(self, features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
        """A batch of features as tensors, padded to the longest; the arguments of the model's `forward`."""

    def predict(
        self,
        model: Any,
        tokenizer: Any,
        samples: Sequence[Any],
        settings: FineTune,
        advance: Callable[[int], object] = lambda samples: None,
    ) -> list[Any]:
        """A prediction for every sample, in their order; the targets in them are not looked at.

        Args:
            model: from `load`, trained; left in the mode it was in.
            tokenizer: its own.
            samples: to predict.
            settings: max_length, precision and what else matters to the task.
            advance: called with the number of samples done.
        """

    def described(self, sample: Any, prediction: Any) -> dict[str, Any]:
        """A sample with its prediction, by the names of `COLUMNS`: a line of what `unibert predict` writes."""

    def scores(self, samples: Sequence[Any], predictions: Sequence[Any], language: str) -> dict[str, Any]:
        """How good the predictions are.

        Returns:
            Every one of `METRICS`; `support`, how many things were scored; `types`, the same by type, if there are any.
        """

    def statistics(self, samples: Sequence[Any], predictions: Sequence[Any], language: str) -> NDArray[np.float64]:
        """Numbers per sample, [N, K], whose sums decide the first metric: what a bootstrap over samples needs."""

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The first metric from sums of `statistics`, [..., K] -> [...]."""

    def distillation_loss(self, student: Any, teacher: Any, batch: Mapping[str, Any], temperature: float) -> Any:
        """How far a student's output is from its teacher's on a batch: a scalar tensor, the mean over predictions."""


def find_task(name: str) -> Task:
    """The task of this name; imported when first asked for.

    Raises:
        DataError: there is none.
    """
    if name not in TASK_NAMES:
        raise DataError(f"{name}: no such task", f"The tasks are: {', '.join(TASK_NAMES)}.")
    return cast(Task, importlib.import_module(f"unibert.tasks.{name}"))


def first_metric(task: Task) -> str:
    """The key of the score that chooses epochs and fills tables."""
    return next(iter(task.METRICS))
