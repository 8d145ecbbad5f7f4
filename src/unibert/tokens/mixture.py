"""Which sample comes when: languages by their share, samples without replacement, any step without the ones before.

The share of a language is p(L) proportional to n_L ** alpha, n_L its number of training samples: the exponent of
Lample and Conneau, "Cross-lingual Language Model Pretraining", arXiv 1901.07291, section 3.1.

The stream of draws depends on nothing but the counts, alpha and the seed; step s with batch size B takes draws
s*B ... (s+1)*B - 1 of it. Hence a batch of 2B is two consecutive batches of B, and a run resumes at any step with
nothing saved. The stream is cut into epochs of E = sum of n_L draws:

- in every epoch language L has exactly q_L slots, q_L being p(L) * E rounded so that the sum is E and none is 0;
- the slots of an epoch come in a pseudo-random order, another one in every epoch;
- the slots of L, counted over all epochs, walk through its samples pass by pass: each pass is a pseudo-random order
  of all n_L samples, another one in every pass.

So after every epoch the number of times that any two samples of a language were seen differs by at most one. Inside an
epoch in which a language ends a pass, draws of the old and the new pass are interleaved.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

_ROUNDS = 6  # of two half-rounds; four are known to suffice for an ideal round function, ours is only a good mixer
_ORDER_OF_SLOTS, _ORDER_OF_SAMPLES = 0, 1


class Mixture:
    """The stream of draws over the languages of a corpus.

    Args:
        counts: training samples per language; the order of the keys numbers the languages.
        alpha: exponent of the shares, 0 (all languages alike) to 1 (the corpus as it is).
        seed: decides both orders.

    Raises:
        ValueError: no sample at all, a negative count, or alpha outside 0 ... 1.
    """

    def __init__(self, counts: Mapping[str, int], alpha: float, seed: int) -> None:
        sizes = np.array(list(counts.values()), dtype=np.int64)
        if sizes.size == 0 or sizes.min() < 0 or sizes.sum() == 0:
            raise ValueError(f"a mixture needs at least one sample and no negative count, got {dict(counts)}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
        self.languages = list(counts)
        self.sizes = sizes
        self.epoch_size = int(sizes.sum())
        """Draws per epoch: as many as there are samples."""
        self.probabilities = shares(sizes, alpha)
        """p(L), float64[K]; 0 for a language without samples."""
        self.quotas = quotas(self.probabilities, self.epoch_size)
        """Draws per epoch of each language, int64[K]."""
        self._ends = np.cumsum(self.quotas)
        self._key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]

    def draw(self, step: int, batch_size: int) -> tuple[Int64s, Int64s]:
        """The batch of a step: (language int64[B], sample within the language int64[B])."""
        first = step * batch_size
        return self.draws(np.arange(first, first + batch_size, dtype=np.int64))

    def draws(self, number: Int64s) -> tuple[Int64s, Int64s]:
        """The draws with these absolute numbers, in any order: (language, sample), each as long as `number`."""
        epoch, position = np.divmod(number, self.epoch_size)
        slot = permute(position, np.int64(self.epoch_size), self._keys(_ORDER_OF_SLOTS, np.zeros_like(epoch), epoch))
        language = np.searchsorted(self._ends, slot, side="right").astype(np.int64)
        quota = self.quotas[language]
        rank = epoch * quota + slot - (self._ends[language] - quota)  # among all draws of this language
        size = self.sizes[language]
        full_pass, place = np.divmod(rank, size)
        return language, permute(place, size, self._keys(_ORDER_OF_SAMPLES, language, full_pass))

    def _keys(self, purpose: int, language: Int64s, turn: Int64s) -> UInt64s:
        """One permutation key per (purpose, language, epoch or pass)."""
        with np.errstate(over="ignore"):
            key = _mix(self._key + np.uint64(purpose))
            return _mix(_mix(key ^ language.astype(np.uint64)) ^ turn.astype(np.uint64))


def shares(sizes: Int64s, alpha: float) -> npt.NDArray[np.float64]:
    """p(L), proportional to n_L ** alpha, float64[K]; a language without samples has 0, also for alpha 0."""
    weights = np.where(sizes > 0, sizes.astype(np.float64) ** alpha, 0.0)
    return weights / weights.sum()


def quotas(probabilities: npt.NDArray[np.float64], total: int) -> Int64s:
    """Whole numbers that sum to `total`, each less than 1 away from probabilities * total: largest remainders.

    No language with samples gets 0: as alpha is at most 1, p(L) * E is at least n_L ** alpha, hence at least 1.
    """
    exact = probabilities * total
    result = np.floor(exact).astype(np.int64)
    missing = total - int(result.sum())
    result[np.argsort(result - exact, kind="stable")[:missing]] += 1
    return result


def permute(index: Int64s, size: Int64s | np.int64, key: UInt64s) -> Int64s:
    """Where pseudo-random permutation number `key` of 0 ... size-1 sends `index`; all arrays are broadcast.

    A Feistel network on the cells of a rows x columns rectangle that is just large enough: each half-round shifts
    one coordinate by a function of the other, which can be undone, so the whole is a bijection of the rectangle. A
    cell beyond `size` is sent on until it falls inside (cycle walking), which keeps the bijection: Black and Rogaway,
    "Ciphers with Arbitrary Finite Domains", CT-RSA 2002. No table is stored: constant time and memory per index.
    """
    index, size, key = (np.array(part) for part in np.broadcast_arrays(index, size, key))
    columns = np.ceil(np.sqrt(size)).astype(np.uint64)
    columns = np.maximum(columns, np.uint64(1))
    limit = size.astype(np.uint64)
    rows = (limit + columns - np.uint64(1)) // columns
    result = index.astype(np.uint64)
    walking = np.arange(result.size)
    while walking.size:
        moved = _feistel(result[walking], rows[walking], columns[walking], key[walking])
        result[walking] = moved
        walking = walking[moved >= limit[walking]]
    return result.astype(np.int64)


def _feistel(index: UInt64s, rows: UInt64s, columns: UInt64s, key: UInt64s) -> UInt64s:
    row, column = index // columns, index % columns
    with np.errstate(over="ignore"):
        for _ in range(_ROUNDS):
            key = _mix(key)
            row = (row + _mix(key ^ column) % rows) % rows
            key = _mix(key)
            column = (column + _mix(key ^ row) % columns) % columns
    return row * columns + column


def _mix(value: UInt64s) -> UInt64s:
    """A step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every input bit reaches every output bit."""
    with np.errstate(over="ignore"):
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))
