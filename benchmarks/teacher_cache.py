"""A second student: the teacher's answers read from the disk, against running the teacher again; and what they cost.

Distillation steps of UniBERT-XXSmall from a teacher of BERT-base shape (vocabulary 119,547, batches of 128 samples of
real text), as `unibert pretrain` takes them: with `[teacher.cache]`, where an earlier run has filled it, against
without. The cache is opened anew in every turn, so finding and checking its files is counted; the files themselves are
in the system's memory, as they are after being written. Then the same for the first run, which asks the teacher and
writes, and the bytes on the disk per token of text.

What the approximation costs in quality does not show here: the weights are random. `--closeness TEACHER --store FOLDER`
tells for a trained teacher how much of its probability K pieces hold, which share of the whole divergence is left, and
how the gradient in the student's logits lies to the whole one's.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as functional
from transformers import BertForMaskedLM

from pairs import compare, report
from pretrain_support import SEED, Scene, arguments, device_name, scene
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import encode, pack
from unibert.models.precision import resolve_precision
from unibert.models.teacher import check_same_tokenizer, load_teacher
from unibert.pretrain.distributed import Team
from unibert.pretrain.family import Family
from unibert.pretrain.objectives import distillation_loss
from unibert.pretrain.step import Totals
from unibert.pretrain.teacher_cache import TeacherCache, cache_identity
from unibert.pretrain.top_k import top_k, truncated_divergence_block
from unibert.pretrain.vocabulary_losses import wants_compilation
from unibert.tokens.batches import MicroBatch

TOP = 64


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="in a turn")
    parser.add_argument("--closeness", type=Path, help="folder of a trained teacher with the tokenizer of --store")
    options = parser.parse_args()
    with scene(options) as place:
        if options.closeness is not None:
            return closeness(place, options.closeness, options.steps)
        with tempfile.TemporaryDirectory() as folder:
            timings(place, Path(folder), options.steps, options.pairs)


def timings(place: Scene, folder: Path, steps: int, pairs: int) -> None:
    work = [place.micro_batches(step) for step in range(steps)]
    tokens = sum(batch.tokens for batches in work for batch in batches)
    family = family_of(place)

    def with_the_teacher() -> None:
        family.cache = None
        take(family, place, work)

    def with_the_cache() -> None:
        with open_cache(place, folder) as family.cache:
            take(family, place, work)
        family.cache = None

    def with_an_empty_cache() -> None:
        shutil.rmtree(folder)
        with_the_cache()

    compare(
        f"distillation of XXSmall: teacher's top {TOP} read from the disk against running the teacher",
        "tokens",
        tokens,
        with_the_cache,
        with_the_teacher,
        pairs,
        device=device_name(place.device),
    )
    compare(
        f"distillation of XXSmall: first run, writing the teacher's top {TOP}, against running the teacher alone",
        "tokens",
        tokens,
        with_an_empty_cache,
        with_the_teacher,
        pairs,
        device=device_name(place.device),
    )
    cache = open_cache(place, folder)
    report(f"disk for the teacher's top {TOP} on 15 % of the tokens", "bytes/token", [cache.bytes_on_disk() / tokens])


def family_of(place: Scene) -> Family:
    """One XXSmall and its teacher, as a long run would hold them."""
    settings = place.settings.model_copy(update={"student": place.students["xxsmall"]})
    teacher = place.teacher()
    pack(teacher)
    special = place.special
    family = Family(
        settings,
        SEED,
        vocabulary_size=special.vocabulary_size,
        pad_id=special.pad,
        languages=len(place.store.languages),
        teacher=teacher,
        team=Team(0, 1, place.device),
        dtype=resolve_precision(settings.precision, place.device),
        compiled=wants_compilation(settings.compile, settings.steps, place.device),
    )
    family.train()
    return family


def open_cache(place: Scene, folder: Path) -> TeacherCache:
    identity = cache_identity(place.settings, SEED, place.store.fingerprint, "random weights", "auto")
    # Without room on the disk it would go on with the teacher, and the figures would mean nothing.
    return TeacherCache(folder, identity, TOP, place.special.vocabulary_size, tell=sys.exit)


def take(family: Family, place: Scene, work: Sequence[Sequence[MicroBatch]]) -> None:
    """A step on every batch."""
    for step, batches in enumerate(work):
        totals = Totals(
            sum(len(batch.rows) for batch in batches),
            sum(batch.tokens for batch in batches),
            place.settings.batch_size,
        )
        family.update(step, list(batches), totals)
    place.wait()


def closeness(place: Scene, folder: Path, steps: int) -> None:
    """How much of a trained teacher the K pieces hold, on masked text of the store that is named."""
    teacher = load_teacher(folder)
    check_same_tokenizer(folder, teacher, place.tokenizer)
    teacher.to(place.device)
    pack(teacher)
    temperature = place.settings.distillation.temperature
    logits_MV = torch.cat(
        [answer(teacher, batch, place.special.vocabulary_size) for step in range(steps) for batch in micro(place, step)]
    )
    torch.manual_seed(0)
    # A student that knows nothing yet, and one that is nearly there.
    students = {"new": torch.zeros_like(logits_MV), "good": logits_MV + torch.randn_like(logits_MV)}
    teacher_MV = (logits_MV / temperature).softmax(dim=1)
    for k in (8, 16, 32, 64, 128, 256):
        top = top_k(logits_MV, k, temperature)
        line = {"top": k, "temperature": temperature, "held": float(top.probabilities_MK.sum(dim=1).mean())}
        for name, student_MV in students.items():
            losses_M, ours_MV = truncated_divergence_block(student_MV, top.ids_MK, top.probabilities_MK, temperature)
            full_MV = ((student_MV / temperature).softmax(dim=1) - teacher_MV) / temperature
            full_M = distillation_loss(student_MV, logits_MV, temperature)
            line[f"share of the divergence, {name} student"] = float(losses_M.mean() / full_M.mean())
            line[f"cosine of the gradients, {name} student"] = float(
                functional.cosine_similarity(ours_MV, full_MV).mean()
            )
        print(line)


def micro(place: Scene, step: int) -> list[MicroBatch]:
    small = dataclasses.replace(place, settings=place.settings.model_copy(update={"batch_size": 16}))
    return small.micro_batches(step)


@torch.no_grad()
def answer(teacher: BertForMaskedLM, batch: MicroBatch, vocabulary: int) -> torch.Tensor:
    weight_VD, bias_V = vocabulary_projection(teacher, vocabulary)
    features_MD = head_features(teacher, encode(teacher, batch).hidden_TD[batch.rows])
    return functional.linear(features_MD, weight_VD, bias_V)


if __name__ == "__main__":
    main()
