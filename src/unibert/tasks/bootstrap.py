"""How far a score would move with other test samples: a bootstrap over them.

Shape suffixes: N samples, K numbers of a sample, R draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 1000
_AT_ONCE = 50


def bootstrap_interval(
    statistics_NK: NDArray[np.float64],
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of a score by the percentile bootstrap (Efron, 1979): samples drawn again with replacement.

    It says what other test samples would do to this score, and nothing about other seeds.

    Args:
        statistics_NK: numbers per sample whose sums decide the score (`Task.statistics`).
        value: the score from such sums (`Task.value`).
        draws: how often the samples are drawn.
        seed: of the draws; the same one for all models, so that these are compared on the same draws.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    samples = len(statistics_NK)
    values = []
    for start in range(0, draws, _AT_ONCE):
        rounds = min(_AT_ONCE, draws - start)
        counts_RN = generator.multinomial(samples, np.full(samples, 1 / samples), size=rounds)
        values.append(value(counts_RN @ statistics_NK))
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    return float(low), float(high)
