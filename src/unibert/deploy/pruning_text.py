"""Text by language as what a masked language model is pruned, recovered and judged by.

Shape suffixes: B samples, L positions, T packed tokens, M masked rows, V vocabulary, D hidden.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from unibert.deploy.importance import Gates
from unibert.deploy.structure import Indices
from unibert.errors import DataError
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import body_of, encode, pack
from unibert.models.positions import position_limit
from unibert.models.precision import autocast
from unibert.pretrain.distributed import Team
from unibert.pretrain.evaluate import held_out_losses
from unibert.pretrain.objectives import hidden_state_loss
from unibert.pretrain.vocabulary_losses import VocabularyObjective, vocabulary_losses
from unibert.progress import progress_bar
from unibert.recipe import Masking
from unibert.tokens.batches import MicroBatch, cut
from unibert.tokens.encode import Encoder
from unibert.tokens.masking import held_out_generator, mask_tokens, masking_generator
from unibert.tokens.vocabulary import SpecialIds, backend_of
from unibert.universality.sentences import find_texts

LONGEST = 128
"""Tokens of a sample."""
HELD_OUT_SHARE = 0.2
HELD_OUT_MOST = 100
"""Samples of each language that are held out: a share, but no more than so many."""
LEAST = 10
"""A language with fewer texts is left out."""
_TOKENS = 2048
"""Of a micro-batch."""
_MEASURING = 2**32 - 1
"""In place of a step's number, for the masks of samples that importance is measured on."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class MaskedBatch:
    """Samples with masks, longest first."""

    packed: MicroBatch
    source: str

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.packed.lengths)

    def losses(self, model: Any, gates: Gates | None = None) -> Tensor:
        """Mean cross-entropy over each sample's masked pieces, losses_B (equation 1); 0 for one without any."""
        batch = self.packed.to(model.device)
        mask_BL = torch.arange(batch.lengths[0], device=model.device) < batch.offsets.diff().unsqueeze(1)
        ids_BL = torch.zeros(mask_BL.shape, dtype=torch.int64, device=model.device)
        ids_BL[mask_BL] = batch.input_ids
        output = body_of(model)(input_ids=ids_BL, attention_mask=mask_BL.long(), return_dict=True)
        rows_MD = output.last_hidden_state[mask_BL].index_select(0, batch.rows)
        sample_of_M = batch.sample_of.index_select(0, batch.rows)
        with nullcontext() if gates is None else gates.rows(sample_of_M):
            features_MD = head_features(model, rows_MD)
        weight_VD, bias_V = vocabulary_projection(model)
        logits_MV = functional.linear(features_MD, weight_VD, bias_V)
        losses_M = functional.cross_entropy(logits_MV, batch.labels, reduction="none")
        counts_B = torch.bincount(sample_of_M, minlength=self.samples).clamp(min=1)
        return torch.zeros_like(counts_B, dtype=losses_M.dtype).index_add(0, sample_of_M, losses_M) / counts_B


class TextMaterial:
    """Texts of each language: most to learn from, some held out.

    Args:
        texts: by language; see `read_texts`.
        model: its positions bound the samples' length.
        tokenizer: its own.
        seed: of the masks and the order of samples.

    Raises:
        DataError: the tokenizer is not that of a masked language model, or nothing is left of the text.
    """

    task: str | None = None
    score_name: str | None = None

    def __init__(self, texts: Mapping[str, Sequence[str]], model: Any, tokenizer: Any, seed: int) -> None:
        self.special = SpecialIds.of(tokenizer)
        self.seed = seed
        self.longest = min(LONGEST, position_limit(model) or LONGEST)
        encoder = Encoder(backend_of(tokenizer).to_str())
        self.learned: dict[str, list[Ids]] = {}
        self.held_out: dict[str, list[Ids]] = {}
        for language, its in texts.items():
            ids, lengths, _ = encoder.encode(list(its))
            samples = [self._framed(part) for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []
            samples = [sample for sample in samples if (~self.special.is_special[sample]).any()]
            kept = min(HELD_OUT_MOST, max(1, round(HELD_OUT_SHARE * len(samples))))
            if len(samples) > kept:
                self.held_out[language], self.learned[language] = samples[:kept], samples[kept:]
        if not self.learned:
            raise DataError(
                "the text holds nothing that this tokenizer has pieces for", "Give text of the model's languages."
            )

    def described(self) -> dict[str, Any]:
        """What there is of each language, JSON-like."""
        return {
            language: {"learned": len(self.learned[language]), "held_out": len(self.held_out[language])}
            for language in self.learned
        }

    def batches(self, most: int) -> list[MaskedBatch]:
        """At most `most` samples to measure importance on, of every language about equally many."""
        order = self._evenly(most)
        masked = [
            self._masked(self.learned[language][index], masking_generator(self.seed, _MEASURING, place))
            for place, (language, index) in enumerate(order)
        ]
        batches = self._pack(masked, [language for language, _ in order])
        return [MaskedBatch(batch, f"text of {', '.join(self.learned)}") for batch in batches]

    def measure(self, model: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Held-out loss of each language in nats, always with the same masks; there is no score."""
        found: dict[str, float] = {}
        total = sum(map(len, self.held_out.values()))
        with _packed(model), progress_bar(total, "held-out loss", " samples", leave=False, delay=2.0) as bar:
            for language, samples in self.held_out.items():
                number = zlib.crc32(language.encode())
                masked = [
                    self._masked(sample, held_out_generator(self.seed, number, place))
                    for place, sample in enumerate(samples)
                ]
                batches = {language: self._pack(masked, [language] * len(masked))}
                found |= held_out_losses(model, batches, torch.float32, Team(0, 1, model.device))
                bar.update(len(samples))
        return found, {}

    def lessons(self, batch_size: int) -> Iterator[list[MaskedBatch]]:
        """Batches of samples to learn from, without end: languages in turn, samples drawn, masks new every time."""
        generator = np.random.default_rng(self.seed)
        languages = list(self.learned)
        step = 0
        while True:
            chosen = [languages[(step * batch_size + place) % len(languages)] for place in range(batch_size)]
            masked = [
                self._masked(
                    self.learned[language][generator.integers(len(self.learned[language]))],
                    masking_generator(self.seed, step, place),
                )
                for place, language in enumerate(chosen)
            ]
            yield [MaskedBatch(batch, "text") for batch in self._pack(masked, chosen)]
            step += 1

    @contextmanager
    def ready(self, student: Any, teacher: Any) -> Iterator[None]:
        """Both models read samples without padding in this block, where they can."""
        with _packed(student), _packed(teacher):
            yield

    def distil(
        self, student: Any, teacher: Any, batch: MaskedBatch, hidden: Indices, share: float, dtype: torch.dtype
    ) -> Tensor:
        """`share` times (KL on masked pieces + squared error of the hidden states), a scalar; see `recovery`."""
        packed = batch.packed.to(student.device)
        kept = torch.from_numpy(hidden).to(student.device)
        with autocast(dtype, student.device):
            ours = encode(student, packed, states=True)
            with torch.no_grad():
                theirs = encode(teacher, packed, states=True)
                their_features_MD = head_features(teacher, theirs.hidden_TD.index_select(0, packed.rows))
            weight_VD, bias_V = vocabulary_projection(teacher)
            their_features_MD, weight_VD = their_features_MD.to(dtype), weight_VD.to(dtype)
            bias_V = None if bias_V is None else bias_V.to(dtype)

            def logits(rows: slice) -> Tensor:
                return functional.linear(their_features_MD[rows], weight_VD, bias_V)

            features_MD = head_features(student, ours.hidden_TD.index_select(0, packed.rows))
            scale_M = torch.full((len(packed.rows),), 1 / max(1, len(packed.rows)), device=student.device)
            divergence, _ = vocabulary_losses(
                features_MD,
                *vocabulary_projection(student),
                packed.labels,
                torch.zeros_like(scale_M),
                logits,
                scale_M,
                VocabularyObjective(),
                dtype,
            )
        pairs = zip(ours.states, theirs.states, strict=True)
        states = [hidden_state_loss(own, its.index_select(-1, kept)).mean() for own, its in pairs]
        return share * (divergence + torch.stack(states).mean())

    # --- samples ---

    def _framed(self, pieces: NDArray[np.uint32]) -> Ids:
        return np.array([self.special.cls, *pieces[: self.longest - 2], self.special.sep], dtype=np.int64)

    def _masked(self, sample: Ids, generator: np.random.Generator) -> tuple[Ids, Ids, Ids]:
        masked, chosen = mask_tokens(sample, self.special, Masking(), generator)
        return masked, chosen, sample[chosen]

    def _evenly(self, most: int) -> list[tuple[str, int]]:
        """(language, sample), the languages in turn."""
        longest = max(map(len, self.learned.values()))
        turns = [(name, place) for place in range(longest) for name, its in self.learned.items() if place < len(its)]
        return turns[:most]

    def _pack(self, masked: Sequence[tuple[Ids, Ids, Ids]], languages: Sequence[str]) -> list[MicroBatch]:
        order = sorted(range(len(masked)), key=lambda place: -len(masked[place][0]))
        numbers = {language: number for number, language in enumerate(self.learned)}
        found = []
        for start, end in cut([len(masked[place][0]) for place in order], _TOKENS):
            group = [masked[place] for place in order[start:end]]
            ids, chosen, labels = (list(column) for column in zip(*group, strict=True))
            found.append(MicroBatch.of(ids, chosen, labels, [numbers[languages[place]] for place in order[start:end]]))
        return found


@contextmanager
def _packed(model: Any) -> Iterator[None]:
    """The model reads packed samples for a while, where its architecture can."""
    before = model.config._attn_implementation
    pack(model)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def read_texts(
    paths: Sequence[Path | str], languages: Collection[str] | None, count: int, seed: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Draw texts by language (see `find_texts`), and refuse what is too little to prune by.

    Returns:
        Texts by language; and what was left out, with the reason.

    Raises:
        DataError: no text, or no language with enough of it.
    """
    texts, left_out = find_texts(paths, languages, count, seed)
    for code in [code for code, its in texts.items() if len(its) < LEAST]:
        left_out[code] = f"{len(texts.pop(code))} texts, fewer than {LEAST}"
    if not texts:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:5])
        raise DataError(
            f"{', '.join(map(str, paths))}: too little text to prune by ({reasons})",
            "Give more lines of running text in one of the model's languages.",
        )
    return texts, left_out
