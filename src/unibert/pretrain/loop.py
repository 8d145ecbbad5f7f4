"""The training loop: evaluate, save, stop, step, log."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as library_logging

from unibert.errors import DataError, Interrupted, UniBertError
from unibert.files import read_json
from unibert.models.allocator import keep_freed_memory, telling_of_want_of_memory
from unibert.models.packed import unpacked
from unibert.models.precision import resolve_precision
from unibert.models.teacher import check_length, check_same_tokenizer, load_teacher
from unibert.pretrain.checkpoint import Progress, checkpoints_of, list_checkpoints, load_newest, save_checkpoint
from unibert.pretrain.distributed import Team, join, telling_of_lost_fellows
from unibert.pretrain.evaluate import held_out_losses
from unibert.pretrain.family import Family, Update
from unibert.pretrain.finish import SUMMARY_FILE, Facts, finish, is_finished, summary_of
from unibert.pretrain.log import FamilyLog
from unibert.pretrain.schedule import learning_rate
from unibert.pretrain.step import Totals
from unibert.pretrain.tally import Tally
from unibert.pretrain.teacher_cache import TeacherCache, cache_identity, expected_bytes
from unibert.pretrain.trackers import require_tracker
from unibert.pretrain.vocabulary_losses import check_compilation, wants_compilation
from unibert.recipe import Pretrain
from unibert.recipe import TeacherCache as CacheSettings
from unibert.runs import open_run, run_fingerprint, run_lock
from unibert.stopping import StopRequest
from unibert.tokens.batches import Batches, MicroBatch, held_out_batches, prefetch
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer

_LESS_MEMORY = (
    "Set pretrain.micro_batch_tokens lower, or take a smaller model or more memory. Another setting is another run: "
    "where this one has made steps already, give it another folder."
)


def pretrain(
    settings: Pretrain,
    *,
    name: str,
    seed: int,
    tokens: Path,
    tokenizer: Path,
    output: Path,
    teacher: str | Path | None = None,
    recipe: Mapping[str, Any] | None = None,
    cache: CacheSettings | None = None,
) -> dict[str, Any]:
    """Train one encoder, or a family of them, from token shards; resume where it stopped; return the summary.

    A finished run is not repeated. The result is `output/model`, a stock Hugging Face folder; of a family,
    `output/MEMBER/model`.

    Args:
        settings: what to train, on what, how long.
        name: for the progress bar, the summary and the model card; a family's members go by their own names.
        seed: decides weights, samples, masks and dropout.
        tokens: folder of a token store.
        tokenizer: folder of the tokenizer the store was built with.
        output: the run's folder.
        teacher: Hugging Face name or folder of the teacher; needed when `settings.needs_teacher`.
        recipe: the whole recipe, saved for the reader.
        cache: keep the teacher's answers on disk, and take them from there.

    Returns:
        The summary; of a family, a summary by member.

    Raises:
        DataError: unreadable tokens, a teacher with another tokenizer, damaged checkpoints only.
        RunMismatch: `output` holds another run.
        Interrupted: after SIGINT or SIGTERM; a checkpoint has been saved.
        UniBertError: the loss is not a number any more; another process is at work in `output`; the memory does not
            suffice.
    """
    require_tracker(settings.tracker)
    library_logging.disable_progress_bar()  # ours tells more than one bar per file of weights
    keep_freed_memory()
    store = TokenStore(tokens)
    pieces = load_tokenizer(tokenizer)
    special = SpecialIds.of(pieces)
    store.check_tokenizer(pieces)
    team = join()
    dtype = resolve_precision(settings.precision, team.device)
    precision = str(dtype).removeprefix("torch.")
    teacher_model = None
    if teacher is not None and settings.needs_teacher:
        # First weights are cut from the teacher's own; for the rest its weights are never held in float32 as well.
        teacher_model = load_teacher(teacher, torch.float32 if settings.initialise == "teacher" else dtype)
        check_same_tokenizer(teacher, teacher_model, pieces)
        check_length(teacher, teacher_model, settings.context)
    # As the teacher will answer, so that a cache serves students with either kind of first weights.
    teacher_mark = weights_fingerprint(teacher_model, dtype) if teacher_model is not None else None
    identity = {
        "settings": {**settings.identity(), "precision": precision},
        "seed": seed,
        "tokens": store.fingerprint,
        "teacher": teacher_mark,
    }
    if cache is not None:
        identity["teacher_cache"] = cache.top  # its answers are not quite the teacher's
    mark = run_fingerprint("pretrain", identity)

    with (
        telling_of_lost_fellows(team),
        telling_of_want_of_memory(f"{output}: {settings.micro_batch_tokens:,} tokens at once", _LESS_MEMORY),
        run_lock(output) if team.is_first else nullcontext(),
    ):
        folders = {member: output if settings.students is None else output / member for member in settings.members}
        if team.is_first:
            there = checkpoints_of(output / "checkpoints").union(*map(summary_of, folders.values()))
            open_run(output, "pretrain", identity, recipe or {}, there)
        team.wait()
        if not all(is_finished(folder) for folder in folders.values()):
            compiled = wants_compilation(settings.compile, settings.steps, team.device)
            family = Family(
                settings,
                seed,
                vocabulary_size=special.vocabulary_size,
                pad_id=special.pad,
                languages=len(store.languages),
                teacher=teacher_model,
                team=team,
                dtype=dtype,
                compiled=compiled,
            )
            if compiled:
                with_teacher = settings.distillation.weight > 0
                check_compilation(special.vocabulary_size, dtype, team.device, with_teacher, family.vocabulary)
            if cache is not None and family.teacher is not None:
                place = Path(cache.folder).expanduser() if cache.folder else output.parent / "teacher-cache"
                identity_of_cache = cache_identity(settings, seed, store.fingerprint, str(teacher_mark), precision)
                family.cache = TeacherCache(place, identity_of_cache, cache.top, special.vocabulary_size)
                if team.is_first:
                    size, whole = family.cache.bytes_on_disk(), expected_bytes(store, settings, cache.top)
                    print(
                        f"teacher cache: {family.cache.folder} holds {size / 1e9:,.1f} of about {whole / 1e9:,.1f} GB",
                        file=sys.stderr,
                    )
            progress = _train(settings, seed, store, special, output, folders, name, family, recipe or {}, mark)
            if team.is_first:
                facts = _facts(family, precision, teacher, teacher_mark, recipe or {})
                facts["run"] = mark
                for member, folder in folders.items():
                    called = name if settings.students is None else member
                    student, alone = family.members[member].student, settings.alone(member)
                    if member in family.initialised:
                        facts["initialised"] = family.initialised[member]
                    facts["siblings"] = list(folders)
                    with unpacked(student):
                        finish(folder, called, alone, seed, student, tokenizer, store, progress, recipe or {}, facts)
            team.wait()
    summaries = {member: dict(read_json(folder / SUMMARY_FILE)) for member, folder in folders.items()}
    return summaries["student"] if settings.students is None else summaries


def _train(
    settings: Pretrain,
    seed: int,
    store: TokenStore,
    special: SpecialIds,
    output: Path,
    folders: Mapping[str, Path],
    name: str,
    family: Family,
    recipe: Mapping[str, Any],
    mark: str,
) -> Progress:
    """Train until the last step or until told to stop."""
    team, dtype, members = family.team, family.dtype, family.members
    checkpoints = output / "checkpoints"
    modules, optimizers = family.modules(), family.optimizers()
    progress = load_newest(checkpoints, modules, optimizers, team.is_first, steps=settings.steps)
    progress = progress or Progress(0, 0, 0.0, [0] * len(store.languages))
    if team.any(team.totals(progress.step)[0] != progress.step * team.size):
        raise DataError(
            f"{checkpoints}: process {team.rank} finds step {progress.step:,} there, others find another",
            "Put the run's folder where all processes see the same files.",
        )
    batches = Batches(store, special, settings, seed, team.rank, team.size)
    held_out = held_out_batches(store, special, settings, seed)

    step = progress.step
    evaluated = saved = step if step > 0 else -1
    tally = Tally(progress, family, store.languages, special.vocabulary_size)
    warned = False
    family.train()

    with (
        StopRequest() as stop,
        FamilyLog(
            folders, step, settings.steps, name, settings.tensorboard, team.is_first, settings.tracker, recipe
        ) as logs,
        family.cache or nullcontext(),
        prefetch(batches.batch, step, settings.steps) as upcoming,
    ):
        while True:
            last = step == settings.steps
            stopping = team.any(stop.asked)

            # Evaluate.
            if (last or step % settings.evaluate_every == 0) and evaluated != step:
                for member in members:
                    losses = held_out_losses(members[member].student, held_out, dtype, team, family.compiled)
                    if losses:
                        mean = sum(losses.values()) / len(losses)
                        logs[member].write({"kind": "heldout", "step": step, "mlm": mean, "languages": losses})
                evaluated = step

            # Save.
            if (last or stopping or (step > 0 and step % settings.save_every == 0)) and saved != step:
                progress = tally.progress(step)
                if team.is_first:
                    save_checkpoint(checkpoints, progress, modules, optimizers, settings.keep_checkpoints, mark)
                if family.cache is not None:
                    family.cache.flush()
                team.wait()
                saved = step

            # Stop.
            if last:
                return progress
            if stopping:
                raise Interrupted(
                    f"{name}: stopped at step {step:,} of {settings.steps:,}; the same command goes on from there"
                )

            # Step.
            began = time.perf_counter()
            _, micro_batches = next(upcoming)
            totals = _totals(micro_batches, settings, team)
            updates = family.update(step, micro_batches, totals)
            _check_finite(updates, name, step, micro_batches, checkpoints)

            # Log.
            tally.add(micro_batches, totals, batches.languages_of(step), updates, time.perf_counter() - began)
            rate = learning_rate(step, settings)
            step += 1
            logs.advance()
            if step % settings.log_every == 0 or step == settings.steps:
                for member, record in tally.records(step, rate, updates).items():
                    if team.is_first and not warned:
                        warned = _warn_if_adversary_ran_off(record["adversary"], settings, step)
                    logs[member].write(record)


def weights_fingerprint(model: Any, dtype: torch.dtype) -> str:
    """16 hexadecimal digits that depend on every weight of a model, in a number format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            tensor = tensor.to(dtype)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _totals(micro_batches: list[MicroBatch], settings: Pretrain, team: Team) -> Totals:
    rows, tokens = team.totals(sum(len(batch.rows) for batch in micro_batches), sum(b.tokens for b in micro_batches))
    return Totals(max(1, rows), tokens, settings.batch_size)  # nothing but unknown pieces: nothing to predict


def _facts(
    family: Family, precision: str, teacher: str | Path | None, teacher_mark: str | None, recipe: Mapping[str, Any]
) -> Facts:
    facts = Facts(
        precision=precision,
        compiled=family.compiled,
        processes=family.team.size,
        license=recipe.get("license", "apache-2.0"),
    )
    if teacher_mark is not None:
        # A folder's name would tell the reader nothing.
        facts["teacher"] = {"name": None if Path(str(teacher)).is_dir() else str(teacher), "fingerprint": teacher_mark}
        if family.cache is not None:
            facts["teacher"]["top"] = family.cache.top
    return facts


def _check_finite(
    updates: Mapping[str, Update], name: str, step: int, micro_batches: list[MicroBatch], checkpoints: Path
) -> None:
    for member, update in updates.items():
        if bool(torch.isfinite(update.gradient_norm)):
            continue
        who = name if len(updates) == 1 else f"{name}, {member}"
        samples = ", ".join(f"{language}:{index}" for batch in micro_batches for language, index in batch.samples)
        good = list_checkpoints(checkpoints)
        raise UniBertError(
            f"{who}: the gradient is not a number at step {step:,} (samples {samples}); "
            f"last good checkpoint: {good[-1] if good else 'none yet'}",
            "Lower the learning rate or lengthen the warm-up; with loss-reversal, use mode confusion.",
        )


def _warn_if_adversary_ran_off(value: float | None, settings: Pretrain, step: int) -> bool:
    if value is None or value <= settings.adversary.bound:
        return False
    print(
        f"\nwarning: the discriminator's loss is {value:,.1f} at step {step:,}, beyond {settings.adversary.bound:g}: "
        f"the adversary has run off in mode {settings.adversary.mode!r}, and the student no longer learns language.\n"
        "  Fix: --set pretrain.adversary.mode=confusion, or a smaller pretrain.adversary.weight.",
        file=sys.stderr,
    )
    return True
