"""The training loop: evaluate, save, stop, step, log."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging as library_logging

from unibert.errors import Interrupted, UniBertError
from unibert.files import fingerprint, read_json
from unibert.models.adversary import LanguageDiscriminator
from unibert.models.masked_rows import masked_row_logits
from unibert.models.precision import autocast, resolve_precision
from unibert.models.sizes import architecture
from unibert.models.student import build_student
from unibert.models.teacher import check_length, check_same_tokenizer, load_teacher
from unibert.pretrain.checkpoint import Progress, list_checkpoints, load_newest, save_checkpoint
from unibert.pretrain.distributed import Team, join, without_synchronisation
from unibert.pretrain.evaluate import held_out_losses
from unibert.pretrain.finish import SUMMARY_FILE, finish, is_finished
from unibert.pretrain.log import RunLog
from unibert.pretrain.schedule import adversary_weight, learning_rate
from unibert.pretrain.step import MEASURES, TrainingStep
from unibert.recipe import Pretrain
from unibert.runs import open_run
from unibert.stopping import StopRequest
from unibert.tokens.batches import Batches, MicroBatch, held_out_batches, prefetch
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer


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
) -> dict[str, Any]:
    """Train one encoder from token shards; resume it where it stopped; return its summary.

    A finished run is not repeated. The result is `output/model`, a stock Hugging Face folder.

    Args:
        settings: what to train, on what, how long.
        name: for the progress bar, the summary and the model card.
        seed: decides weights, samples, masks and dropout.
        tokens: folder of a token store.
        tokenizer: folder of the tokenizer the store was built with.
        output: the run's folder.
        teacher: Hugging Face name or folder of the teacher; needed when the distillation weight is above 0.
        recipe: the whole recipe, saved for the reader.

    Raises:
        DataError: unreadable tokens, a teacher with another tokenizer.
        RunMismatch: `output` holds another run.
        Interrupted: after SIGINT or SIGTERM; a checkpoint has been saved.
        UniBertError: the loss is not a number any more.
    """
    library_logging.disable_progress_bar()  # ours tells more than one bar per file of weights
    store = TokenStore(tokens)
    pieces = load_tokenizer(tokenizer)
    special = SpecialIds.of(pieces)
    store.check_tokenizer(pieces)
    teacher_model = None
    if teacher is not None and settings.distillation.weight > 0:
        teacher_model = load_teacher(teacher)
        check_same_tokenizer(teacher, teacher_model, pieces)
        check_length(teacher, teacher_model, settings.context)
    team = join()
    precision = str(resolve_precision(settings.precision, team.device)).removeprefix("torch.")
    identity = {
        "settings": {**settings.identity(), "precision": precision},
        "seed": seed,
        "tokens": store.fingerprint,
        "teacher": weights_fingerprint(teacher_model) if teacher_model is not None else None,
    }

    if team.is_first:
        open_run(output, "pretrain", identity, recipe or {})
    team.wait()
    if is_finished(output):
        return dict(read_json(output / SUMMARY_FILE))
    if teacher_model is not None:
        teacher_model.to(team.device)
    student, progress = _train(settings, seed, store, special, output, name, teacher_model, team)
    team.wait()
    if team.is_first:
        finish(output, name, settings, seed, student, tokenizer, store, progress, recipe or {})
    team.wait()
    return dict(read_json(output / SUMMARY_FILE))


def _train(
    settings: Pretrain,
    seed: int,
    store: TokenStore,
    special: SpecialIds,
    output: Path,
    name: str,
    teacher: Any,
    team: Team,
) -> tuple[Any, Progress]:
    """Train until the last step or until told to stop."""
    shape = architecture(settings.student)
    dtype = resolve_precision(settings.precision, team.device)
    student = build_student(shape, special.vocabulary_size, special.pad, seed, settings.dropout).to(team.device)
    modules: dict[str, nn.Module] = {"student": student}
    discriminator = None
    if settings.adversary.mode != "none":
        languages = len(store.languages)
        discriminator = LanguageDiscriminator(shape.hidden, languages, settings.adversary.hidden, seed + 1).to(
            team.device
        )
        modules["discriminator"] = discriminator
    optimizer = build_optimizer(modules, settings)
    checkpoints = output / "checkpoints"
    progress = load_newest(checkpoints, modules, optimizer, team.is_first) or Progress(
        0, 0, 0.0, [0] * len(store.languages)
    )
    objective = team.wrap(TrainingStep(student, discriminator, settings))
    batches = Batches(store, special, settings, seed, team.rank, team.size)
    held_out = held_out_batches(store, special, settings, seed)

    step, tokens, seconds = progress.step, progress.tokens, progress.seconds
    samples = np.asarray(progress.language_samples, dtype=np.int64)
    evaluated = saved = step if step > 0 else -1
    counted, measures = progress.unlogged_steps, torch.zeros(len(MEASURES), device=team.device)
    if counted and team.is_first:
        measures += torch.tensor(progress.unlogged_measures, device=team.device)
    interval_tokens, interval_seconds = 0, 0.0
    warned = False
    student.train()

    with (
        StopRequest() as stop,
        RunLog(output, step, settings.steps, name, settings.tensorboard, team.is_first) as log,
        prefetch(batches.batch, step, settings.steps) as upcoming,
    ):
        while True:
            last = step == settings.steps
            stopping = team.any(stop.asked)

            # Evaluate.
            if (last or step % settings.evaluate_every == 0) and evaluated != step:
                losses = held_out_losses(student, held_out, dtype, team)
                if losses:
                    mean = sum(losses.values()) / len(losses)
                    log.write({"kind": "heldout", "step": step, "mlm": mean, "languages": losses})
                evaluated = step

            # Save.
            if (last or stopping or (step > 0 and step % settings.save_every == 0)) and saved != step:
                measures = team.gather_in_first(measures)
                if team.is_first:
                    progress = Progress(step, tokens, seconds, samples.tolist(), counted, measures.tolist())
                    save_checkpoint(checkpoints, progress, modules, optimizer, settings.keep_checkpoints)
                team.wait()
                saved = step

            # Stop.
            if last:
                return student, Progress(step, tokens, seconds, samples.tolist())
            if stopping:
                raise Interrupted(
                    f"{name}: stopped at step {step:,} of {settings.steps:,}; the same command goes on from there"
                )

            # Step.
            began = time.perf_counter()
            _, micro_batches = next(upcoming)
            seed_dropout(seed, step, team.rank)
            rows_total, step_tokens = team.totals(*_count(micro_batches))
            rows_total = max(1, rows_total)  # a batch of nothing but unknown pieces has nothing to predict
            rate = learning_rate(step, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            step_measures = torch.zeros_like(measures)
            for position, micro_batch in enumerate(micro_batches):
                batch = micro_batch.to(team.device)
                more_follow = position + 1 < len(micro_batches)
                with without_synchronisation(objective, skip=more_follow), autocast(dtype, team.device):
                    teacher_logits_MV = _teacher_logits(teacher, batch, special.vocabulary_size)
                    weight = adversary_weight(step, settings.adversary)
                    loss, part = objective(batch, teacher_logits_MV, rows_total, settings.batch_size, weight)
                    # Gradients are averaged over the processes, while the totals already cover them all.
                    (loss * team.size).backward()
                step_measures += part
            norm = clip_gradients(modules, settings.clip_norm)
            if bool(torch.isfinite(norm)):
                optimizer.step()
            else:
                raise _not_a_number(name, step, micro_batches, checkpoints)
            optimizer.zero_grad(set_to_none=True)
            seconds += time.perf_counter() - began

            # Log.
            measures += step_measures
            counted += 1
            tokens += step_tokens
            samples += batches.languages_of(step)
            interval_tokens += step_tokens
            interval_seconds += time.perf_counter() - began
            step += 1
            log.advance()
            if step % settings.log_every == 0 or step == settings.steps:
                means = dict(zip(MEASURES, (team.sum(measures) / counted).tolist(), strict=True))
                warned = warned or _warn_if_adversary_ran_off(means["adversary"], settings, step)
                log.write(
                    {
                        "kind": "train",
                        "step": step,
                        "loss": means["loss"],
                        "mlm": means["mlm"],
                        "adversary": means["adversary"] if discriminator is not None else None,
                        "distillation": means["distillation"] if teacher is not None else None,
                        "discriminator_accuracy": means["discriminator_accuracy"]
                        if discriminator is not None
                        else None,
                        "learning_rate": rate,
                        "gradient_norm": float(norm),
                        "tokens": tokens,
                        "tokens_per_second": interval_tokens / max(interval_seconds, 1e-9),
                        "seconds": seconds,
                        "shares": dict(zip(store.languages, (samples / max(1, samples.sum())).tolist(), strict=True)),
                    }
                )
                measures, counted = torch.zeros_like(measures), 0
                interval_tokens, interval_seconds = 0, 0.0


def build_optimizer(modules: Mapping[str, nn.Module], settings: Pretrain) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101); vectors (biases, normalisation weights) are not decayed."""
    parameters = [parameter for module in modules.values() for parameter in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def clip_gradients(modules: Mapping[str, nn.Module], bound: float) -> Tensor:
    """Scale each module's gradient down to `bound`; return the student's norm before that, NaN if any is not finite.

    The discriminator is clipped by itself, so that it cannot shrink the student's steps.
    """
    norms = {name: nn.utils.clip_grad_norm_(module.parameters(), bound) for name, module in modules.items()}
    if not all(bool(torch.isfinite(norm)) for norm in norms.values()):
        return torch.full_like(norms["student"], torch.nan)
    return norms["student"]


def seed_dropout(seed: int, step: int, rank: int) -> None:
    """Make dropout a function of (seed, step, process), so that a resumed run needs no random state."""
    torch.manual_seed(int(fingerprint([seed, step, rank]), 16) % 2**63)


def weights_fingerprint(model: Any) -> str:
    """16 hexadecimal digits that depend on every weight of a model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _count(micro_batches: list[MicroBatch]) -> tuple[int, int]:
    """Masked rows and real tokens."""
    rows = sum(len(batch.rows) for batch in micro_batches)
    return rows, int(sum(int(batch.attention_mask.sum()) for batch in micro_batches))


def _teacher_logits(teacher: Any, batch: MicroBatch, vocabulary_size: int) -> Tensor | None:
    if teacher is None:
        return None
    with torch.no_grad():
        logits_MV = masked_row_logits(teacher, batch.input_ids, batch.attention_mask, batch.rows)[1]
    return logits_MV[:, :vocabulary_size]  # some checkpoints pad their vocabulary


def _not_a_number(name: str, step: int, micro_batches: list[MicroBatch], checkpoints: Path) -> UniBertError:
    samples = ", ".join(f"{language}:{index}" for batch in micro_batches for language, index in batch.samples[:4])
    return UniBertError(
        f"{name}: the gradient is not a number at step {step:,} (samples {samples} ...); "
        f"good checkpoints: {', '.join(path.name for path in list_checkpoints(checkpoints)) or 'none yet'}",
        "Lower the learning rate or lengthen the warm-up; with loss-reversal, use mode confusion.",
    )


def _warn_if_adversary_ran_off(value: float, settings: Pretrain, step: int) -> bool:
    if settings.adversary.mode == "none" or value <= settings.adversary.bound:
        return False
    print(
        f"\nwarning: the discriminator's loss is {value:,.1f} at step {step:,}, beyond {settings.adversary.bound:g}: "
        f"the adversary has run off in mode {settings.adversary.mode!r}, and the student no longer learns language.\n"
        "  Fix: --set pretrain.adversary.mode=confusion, or a smaller pretrain.adversary.weight.",
        file=sys.stderr,
    )
    return True
