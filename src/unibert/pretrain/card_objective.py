r"""The part of a model card that says what was minimised: equation 5 with this run's weights, and each of its terms.

Formulas are LaTeX between lines of `$$`, which the hub draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ADVERSARIES = {
    "loss-reversal": (
        "equation 5 read literally: student and discriminator both follow the reversed loss. It has no bound; where "
        "the adversary's loss in the table below is far above log K, it ran off"
    ),
    "gradient-reversal": "the discriminator learns to tell the languages, the student receives its gradient reversed",
    "confusion": (
        "the discriminator learns to tell the languages; the student pulls its answer towards the uniform distribution"
    ),
}


def objective(summary: Mapping[str, Any], teacher: str | None) -> str:
    """The section.

    Args:
        summary: `summary.json` of the run.
        teacher: what the teacher was, in words; None where there was none.
    """
    parts = summary["objective"]
    adversary, distillation = parts["adversary"], parts["distillation"]
    lines = ["## Objective", "", "$$", _total(parts), "$$", ""]
    if teacher is not None:
        lines += [f"Teacher: {teacher}.", ""]
    if parts["mlm"]:
        lines += _masked(parts["mlm"], parts["label_smoothing"], summary.get("training", {}).get("masking") or {})
    if distillation["weight"]:
        lines += _divergence(distillation, (summary.get("teacher") or {}).get("top"))
    if adversary["mode"] != "none":
        lines += _adversary(adversary, len(summary["languages"]))
    if (distillation.get("hidden") or {}).get("weight"):
        lines += _hidden(distillation["hidden"])
    if (distillation.get("relations") or {}).get("weight"):
        lines += _relations(distillation["relations"])
    return "\n".join(lines).rstrip()


def _total(parts: Mapping[str, Any]) -> str:
    """Equation 5 with the weights of this run, terms of weight 0 left out."""
    terms = "".join(
        f"{' - ' if weight < 0 else ' + '}{abs(weight):g}\\,\\mathcal{{L}}_{{\\mathrm{{{name}}}}}"
        for name, weight in weighted_terms(parts)
        if weight
    )
    return f"\\mathcal{{L}} = {terms.removeprefix(' + ').strip()}"


def weighted_terms(parts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The terms of equation 5 with their signed weights, terms of weight 0 too; `parts`: `objective` of a summary."""
    adversary, distillation = parts["adversary"], parts["distillation"]
    yield "MLM", parts["mlm"]
    if adversary["mode"] == "confusion":
        yield "conf", adversary["weight"]
    elif adversary["mode"] != "none":
        yield "adv", -adversary["weight"]
    yield "KD", distillation["weight"]
    yield "hid", (distillation.get("hidden") or {}).get("weight", 0)
    yield "rel", (distillation.get("relations") or {}).get("weight", 0)


def _masked(weight: float, smoothing: float, masking: Mapping[str, float]) -> list[str]:
    chosen = ""
    if masking:
        kept = 1 - masking["mask"] - masking["random"]
        chosen = (
            f" {masking['share']:.0%} of the tokens are predicted; {masking['mask']:.0%} of these become [MASK], "
            f"{masking['random']:.0%} a random piece, {kept:.0%} stay."
        )
    return [
        f"**Masked language modelling** (equation 1, weight {weight:g}): cross-entropy on the chosen positions *M*, "
        f"with label smoothing {smoothing:g} over the vocabulary *V*.{chosen}",
        "",
        "$$",
        r"\mathcal{L}_{\mathrm{MLM}} = -\frac{1}{|M|}\sum_{i \in M}\sum_{v \in V} q_i(v)\,\log p_i(v), \quad "
        rf"q_i(v) = {1 - smoothing:g}\,[v = x_i] + \frac{{{smoothing:g}}}{{|V|}}",
        "$$",
        "",
    ]


def _divergence(settings: Mapping[str, Any], top: int | None) -> list[str]:
    temperature = settings["temperature"]
    where = "every position" if settings.get("positions") == "all" else "the masked positions"
    factor = rf"{temperature:g}^2\," if settings.get("scale_by_temperature") else ""
    return [
        f"**Distillation** (equation 4, weight {settings['weight']:g}): the divergence of the student's predictions "
        f"*s* from the teacher's *t*, at temperature {temperature:g}, on {where} *P*."
        + (
            f" Of the teacher's answers the {top} most probable pieces were kept; all others count as one."
            if top
            else ""
        ),
        "",
        "$$",
        rf"\mathcal{{L}}_{{\mathrm{{KD}}}} = \frac{{{factor}1}}{{|P|}}\sum_{{i \in P}} "
        r"\mathrm{KL}\left(\mathrm{softmax}(t_i / "
        rf"{temperature:g}) \,\middle\|\, \mathrm{{softmax}}(s_i / {temperature:g})\right)",
        "$$",
        "",
    ]


def _adversary(settings: Mapping[str, Any], languages: int) -> list[str]:
    width, steps = settings.get("hidden"), settings.get("steps", 1)
    depth = settings.get("depth", 1)
    shape = f"{depth} hidden layer{'s' if depth > 1 else ''} of width {width}" if width else "one linear layer"
    text = (
        f"**Language adversary** (equations 2 and 3, weight {settings['weight']:g}, mode `{settings['mode']}`): a "
        f"discriminator *D* ({shape}) reads the language *y* of a sample from the mean *h* of the last layer's token "
        f"embeddings. Here {_ADVERSARIES[settings['mode']]}."
    )
    start, full = settings.get("start", 0), settings.get("full", 0)
    if not settings["weight"]:
        text += " With a weight of 0 it was only watched: the student learned nothing from it."
    elif start or full:
        text += f" The weight is 0 up to step {start:,} and whole from step {max(start, full):,} on."
    text += f" It is updated {steps} times a step." if steps > 1 else ""
    text += f" Its learning rate is {settings['learning_rate']:g}." if settings.get("learning_rate") else ""
    lines = [text, "", "$$", rf"\mathcal{{L}}_{{\mathrm{{adv}}}} = -\log D_y(h), \quad K = {languages}"]
    if settings["mode"] == "confusion":
        lines.append(r"\qquad \mathcal{L}_{\mathrm{conf}} = -\frac{1}{K}\sum_{k=1}^{K} \log D_k(h) \ge \log K")
    return [*lines, "$$", ""]


def _hidden(settings: Mapping[str, Any]) -> list[str]:
    which = (
        "the last layer of both"
        if settings.get("layers") == "last"
        else "the embeddings and every layer of the student, each with the teacher's at the same relative depth"
    )
    return [
        f"**Hidden states** (arXiv 1909.10351, weight {settings['weight']:g}): mean squared error between the "
        f"teacher's hidden states and a learned linear map *W* of the student's, for {which}.",
        "",
        "$$",
        r"\mathcal{L}_{\mathrm{hid}} = \frac{1}{N}\sum_{l=1}^{N} "
        r"\mathrm{MSE}\left(H^{S}_{l} W_l,\; H^{T}_{g(l)}\right)",
        "$$",
        "",
    ]


def _relations(settings: Mapping[str, Any]) -> list[str]:
    layer, heads = settings.get("teacher_layer"), settings["heads"]
    return [
        f"**Attention relations** (MiniLMv2, arXiv 2012.15828, weight {settings['weight']:g}): queries, keys and "
        f"values of the student's last layer and of the teacher's {f'layer {layer}' if layer else 'last'}, cut into "
        f"{heads} heads of width *d*, each related to itself over a sample's tokens; the mean over the tokens.",
        "",
        "$$",
        rf"\mathcal{{L}}_{{\mathrm{{rel}}}} = \sum_{{A \in \{{Q,K,V\}}}} \frac{{1}}{{{heads}}}\sum_{{a=1}}^{{{heads}}} "
        r"\mathrm{KL}\left(\mathrm{softmax}\left(\tfrac{A^{T}_{a}{A^{T}_{a}}^{\top}}{\sqrt{d^{T}}}\right) "
        r"\middle\|\, \mathrm{softmax}\left(\tfrac{A^{S}_{a}{A^{S}_{a}}^{\top}}{\sqrt{d^{S}}}\right)\right)",
        "$$",
        "",
    ]
