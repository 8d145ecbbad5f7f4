import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from unibert.recipe import Masking
from unibert.tokens.masking import held_out_generator, mask_tokens, masking_generator
from unibert.tokens.vocabulary import SpecialIds

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4, vocabulary_size=50)
IDS = st.lists(st.integers(0, 49), max_size=80).map(lambda ids: np.array(ids, dtype=np.int64))


@given(IDS, st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**40))
def test_only_pieces_are_chosen_and_only_chosen_ones_change(ids, share, mask, rest, seed):
    original = ids.copy()
    masking = Masking(share=share, mask=mask, random=(1 - mask) * rest)
    masked, chosen = mask_tokens(ids, SPECIAL, masking, masking_generator(seed, 3, 5))
    assert (ids == original).all()  # the argument may be a view of the store
    pieces = int((ids >= 5).sum())
    assert len(chosen) == (0 if pieces == 0 else max(1, int(share * pieces + 0.5)))
    assert (np.diff(chosen) > 0).all()
    assert (ids[chosen] >= 5).all()
    untouched = np.setdiff1d(np.arange(len(ids)), chosen)
    assert (masked[untouched] == ids[untouched]).all()
    assert np.isin(masked[chosen], [4, *range(5, 50)]).all()  # [MASK] or a piece, never another special token


@pytest.mark.parametrize(
    ("masking", "masked_share", "same_share"),
    [(Masking(), 0.8, 0.1 + 0.1 / 45), (Masking(mask=1, random=0), 1, 0), (Masking(mask=0, random=0), 0, 1),
     (Masking(mask=0, random=1), 0, 1 / 45)],
)  # fmt: skip
def test_the_fates_have_their_shares(masking, masked_share, same_share):
    ids = np.random.default_rng(1).integers(5, 50, 40_000)
    masked, chosen = mask_tokens(ids, SPECIAL, masking, masking_generator(1, 0, 0))
    assert len(chosen) == 6000
    for found, expected in (((masked[chosen] == 4).sum(), masked_share), ((masked == ids)[chosen].sum(), same_share)):
        assert binomtest(int(found), 6000, expected).pvalue > 1e-4


def test_every_piece_is_chosen_and_drawn_equally_often():
    ids = np.arange(5, 25)
    chosen_counts, drawn = np.zeros(20), np.zeros(50)
    for step in range(4000):
        masked, chosen = mask_tokens(ids, SPECIAL, Masking(mask=0, random=1), masking_generator(1, step, 0))
        chosen_counts[chosen] += 1
        drawn += np.bincount(masked[chosen], minlength=50)
    # 3 of 20 are chosen: 600 expected with deviation 23; of 12,000 draws each of 45 pieces gets 267 with deviation 16.
    assert chosen_counts.min() > 500 and chosen_counts.max() < 700
    assert drawn[:5].sum() == 0
    assert drawn[5:].min() > 190 and drawn[5:].max() < 345


def test_the_generator_depends_on_each_of_its_numbers():
    numbers = [(1, 2, 3), (2, 1, 3), (1, 3, 2), (0, 2, 3), (1, 2, 0), (1, 0, 3), (2**40, 2, 3)]
    values = [masking_generator(*key).random() for key in numbers] + [
        held_out_generator(*key).random() for key in numbers
    ]
    assert len(set(values)) == len(values)
    assert masking_generator(1, 2, 3).random() == values[0]
