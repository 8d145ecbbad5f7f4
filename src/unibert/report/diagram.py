"""Figure 2 of the paper: what is trained, from what, and what is minimised, with the weights of this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from unibert.pretrain.card_objective import weighted_terms
from unibert.recipe import Pretrain
from unibert.report.theme import GRID, INK, PAPER, SERIES, SOFT, WIDTH, Picture, canvas, to_picture
from unibert.report.wording import MINUS, listing, plural

_MLM, _KD, _ADVERSARY = SERIES[0], SERIES[2], SERIES[1]
_HEIGHT = 384.0
_TEACHER, _STUDENT, _DISCRIMINATOR = (56.0, 170.0, 284.0)
"""Where the three models stand, in SVG units from the left."""
_WIDE, _BOX = 98.0, 46.0
"""Width and height of a model's box."""
_MODES = {
    "loss-reversal": "adv: sign reversed\nfor both",
    "gradient-reversal": "adv: gradient comes\nback reversed",
    "confusion": "conf: student pulls\nit to uniform",
}


def objective_of(settings: Pretrain) -> dict[str, Any]:
    """What a training minimises, as its summary says it when it is finished (`Summary.objective`)."""
    plain = settings.model_dump(mode="json")
    return {
        "mlm": settings.mlm_weight,
        "label_smoothing": settings.label_smoothing,
        "adversary": plain["adversary"],
        "distillation": plain["distillation"],
    }


def method_diagram(
    objective: Mapping[str, Any],
    languages: int,
    teacher: str = "",
    students: Sequence[str] = (),
    name: str = "method",
) -> Picture:
    """Corpus, tokens, masked sample; student, teacher and discriminator; the losses and their weighted sum.

    Parts that the run does without, or that an old summary says nothing about, are not drawn.

    Args:
        objective: `objective` of the summary, or `objective_of` the recipe's settings.
        languages: how many there are.
        teacher: its name, for the picture's description.
        students: the members of a family; none for a single student.
        name: of the picture's file.
    """
    objective = {"mlm": 0.0, "adversary": {"mode": "none", "weight": 0.0}, "distillation": {"weight": 0.0}, **objective}
    adversary, distillation = objective["adversary"], objective["distillation"]
    parts = [distillation, distillation.get("hidden") or {}, distillation.get("relations") or {}]
    taught = any(part.get("weight") for part in parts)
    opposed = adversary["mode"] != "none"
    with canvas(_HEIGHT, constrained=False) as (figure, axes):
        axes.set_position((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(_HEIGHT, 0)
        _source(axes, languages)
        _sample(axes, taught, 130 if len(students) > 1 else 136)
        many = len(students) > 1
        _box(axes, _STUDENT, 160, "Student", f"family of {len(students)}" if many else "trained", stacked=many)
        if objective.get("mlm"):
            _loss(axes, _STUDENT, 250, "MLM", "fills in the blanks", _MLM)
            _arrow(axes, (_STUDENT, 184), (_STUDENT, 228), _MLM)
        if taught:
            _teacher(axes, distillation)
        if opposed:
            _discriminator(axes, adversary, languages)
        formula = _formula(objective, students)
        _sum(axes, formula, objective, taught, opposed)
        return to_picture(figure, name, _in_words(objective, languages, teacher, students, formula))


def _source(axes: Axes, languages: int) -> None:
    _box(axes, _TEACHER, 27, "Corpus", plural(languages, "language"), plain=True)
    _box(axes, _STUDENT, 27, "Tokens", "one vocabulary", plain=True)
    _box(axes, _DISCRIMINATOR, 27, "Batch", "languages mixed", plain=True)
    _arrow(axes, (_TEACHER + _WIDE / 2, 27), (_STUDENT - _WIDE / 2, 27))
    _arrow(axes, (_STUDENT + _WIDE / 2, 27), (_DISCRIMINATOR - _WIDE / 2, 27))


def _sample(axes: Axes, taught: bool, foot: float) -> None:
    """A sample with a blank in it, which student and teacher read; `foot`: where the student's box begins."""
    words, left = ("The", "river", "[MASK]", "into", "the", "sea"), 14.0
    _arrow(axes, (_DISCRIMINATOR, 27 + _BOX / 2), (_DISCRIMINATOR, 80))
    for word in words:
        width = 8 + 6.4 * len(word)
        blank = word == "[MASK]"
        axes.add_patch(
            FancyBboxPatch(
                (left, 82), width, 20, boxstyle="round,pad=0,rounding_size=3",
                facecolor="none", edgecolor=_MLM if blank else SOFT, linewidth=1.6 if blank else 0.8,
            )
        )  # fmt: skip
        axes.text(left + width / 2, 92.5, word, ha="center", va="center", fontsize=10, color=_MLM if blank else INK)
        left += width + 5
    axes.text(left + 4, 92.5, "masked sample", ha="left", va="center", fontsize=9.5, color=SOFT)
    _arrow(axes, (_STUDENT, 103), (_STUDENT, foot))
    if taught:
        _arrow(axes, (_TEACHER, 103), (_TEACHER, 136))


def _teacher(axes: Axes, distillation: Mapping[str, Any]) -> None:
    _box(axes, _TEACHER, 160, "Teacher", "frozen", dashed=True)
    kept = [
        what
        for what, part in (
            (f"KD: answers, T = {distillation.get('temperature', 1):g}", distillation),
            ("hid: hidden states", distillation.get("hidden") or {}),
            ("rel: relations", distillation.get("relations") or {}),
        )
        if part.get("weight")
    ]
    _loss(axes, _TEACHER, 250, "Distillation", "\n".join(kept), _KD)
    _arrow(axes, (_TEACHER, 184), (_TEACHER, 228), _KD)
    _arrow(axes, (_STUDENT - 26, 184), (_TEACHER + 32, 230), _KD)


def _discriminator(axes: Axes, adversary: Mapping[str, Any], languages: int) -> None:
    _box(axes, _DISCRIMINATOR, 160, "Discriminator", f"which of {languages}?")
    _arrow(axes, (_STUDENT + _WIDE / 2, 160), (_DISCRIMINATOR - _WIDE / 2, 160), _ADVERSARY)
    axes.text(_DISCRIMINATOR, 127, "mean embedding", ha="center", va="center", fontsize=9.5, color=SOFT)
    learned = _MODES.get(adversary["mode"], adversary["mode"]) if adversary.get("weight") else "watched only:\nweight 0"
    _loss(axes, _DISCRIMINATOR, 250, "Adversary", learned, _ADVERSARY)
    _arrow(axes, (_DISCRIMINATOR, 184), (_DISCRIMINATOR, 228), _ADVERSARY)
    if adversary.get("weight"):
        # What comes back to the student is a gradient, not an input.
        _arrow(axes, (_DISCRIMINATOR - 32, 230), (_STUDENT + 26, 184), _ADVERSARY, dashed=True)


def _sum(axes: Axes, formula: str, objective: Mapping[str, Any], taught: bool, opposed: bool) -> None:
    """The weighted losses run together into what is minimised."""
    ends = [(_TEACHER, taught, _KD), (_STUDENT, bool(objective.get("mlm")), _MLM)]
    ends.append((_DISCRIMINATOR, opposed and bool(objective["adversary"].get("weight")), _ADVERSARY))
    for centre, there, colour in ends:
        if there:
            _arrow(axes, (centre, 296), (centre, 330), colour)
    axes.add_patch(
        FancyBboxPatch(
            (6, 332), WIDTH - 12, 46, boxstyle="round,pad=0,rounding_size=6",
            facecolor=GRID, edgecolor=SOFT, linewidth=1,
        )
    )  # fmt: skip
    lines = formula if len(formula) <= 46 else _two_lines(formula)
    axes.text(
        WIDTH / 2, 355, lines, ha="center", va="center", fontsize=11 if "\n" not in lines else 10, weight="bold",
        linespacing=1.35,
    )  # fmt: skip


def _two_lines(formula: str) -> str:
    """Broken before the sign that is nearest to the middle."""
    signs = [place for place, sign in enumerate(formula) if sign in f"+{MINUS}"]
    place = min(signs, key=lambda place: abs(place - len(formula) / 2))
    return f"{formula[:place].rstrip()}\n{formula[place:]}"


def _formula(objective: Mapping[str, Any], students: Sequence[str]) -> str:
    """Equation 5 with the weights of this run: `L = 0.5 MLM + 0.1 conf + 0.4 KD`."""
    terms = [(term, weight) for term, weight in weighted_terms(objective) if weight]
    text = "".join(f" {MINUS if weight < 0 else '+'} {abs(weight):g} {term}" for term, weight in terms)
    return f"L = {text.removeprefix(' + ').strip() or '0'}" + (", each" if len(students) > 1 else "")


def _in_words(objective: Mapping[str, Any], languages: int, teacher: str, students: Sequence[str], formula: str) -> str:
    adversary, distillation = objective["adversary"], objective["distillation"]
    who = f"the students {listing(list(students))} each learn" if len(students) > 1 else "the student learns"
    learned = [f"fill in the blanks of masked samples in {plural(languages, 'language')}"]
    if any((part or {}).get("weight") for part in (distillation, *map(distillation.get, ("hidden", "relations")))):
        learned.append(f"follow the frozen teacher{f' {teacher}' if teacher else ''}")
    if adversary["weight"] and adversary["mode"] != "none":
        learned.append(f"make the discriminator of languages fail ({adversary['mode']})")
    return f"The method: {who} to {listing(learned)}. Minimised is {formula}."


def _box(
    axes: Axes, centre: float, middle: float, title: str, below: str,
    plain: bool = False, dashed: bool = False, stacked: bool = False,
) -> None:  # fmt: skip
    """A thing that takes part: what it is, and a word on it. `stacked`: one of several."""
    for shift in (2, 1, 0) if stacked else (0,):
        axes.add_patch(
            FancyBboxPatch(
                (centre - _WIDE / 2 + 2.5 * shift, middle - _BOX / 2 - 2.5 * shift), _WIDE, _BOX,
                boxstyle="round,pad=0,rounding_size=6", facecolor=PAPER,
                edgecolor=SOFT if plain or dashed or shift else INK, linewidth=0.9 if plain else 1.4,
                linestyle=(0, (4, 2)) if dashed else "solid",
            )
        )  # fmt: skip
    axes.text(centre, middle - 8, title, ha="center", va="center", fontsize=11, weight="bold")
    axes.text(centre, middle + 10, below, ha="center", va="center", fontsize=9.5, color=SOFT)


def _loss(axes: Axes, centre: float, top: float, title: str, below: str, colour: str) -> None:
    """One of the losses: its name in its colour's frame, and what it asks for."""
    middle = top + 11
    axes.add_patch(
        FancyBboxPatch(
            (centre - _WIDE / 2, middle - 31), _WIDE, 64, boxstyle="round,pad=0,rounding_size=14",
            facecolor=PAPER, edgecolor=colour, linewidth=1.8,
        )
    )  # fmt: skip
    lines = below.count("\n")
    axes.text(centre, middle - 9 - 5.5 * lines, title, ha="center", va="center", fontsize=11, weight="bold")
    axes.text(centre, middle + 8, below, ha="center", va="center", fontsize=9, color=SOFT, linespacing=1.25)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = SOFT, dashed: bool = False
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, shrinkA=1, shrinkB=1, color=colour, linewidth=1.3,
            linestyle=(0, (3, 2)) if dashed else "solid",
        )
    )  # fmt: skip
