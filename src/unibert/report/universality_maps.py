"""Where sentences and languages lie: maps of sentences, and the distances between languages as a tree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram  # type: ignore[import-untyped, unused-ignore]

from unibert.report import universality_values as values
from unibert.report.clouds import SHAPES, cloud, sample
from unibert.report.dots import language_label
from unibert.report.theme import GROUPS, INK, PAPER, SOFT, Picture, canvas, shortened, to_picture
from unibert.report.wording import decimal, percent, plural
from unibert.universality.geometry import linkage_order
from unibert.universality.schema import Points, Universality

MOST_POINTS = 1500
"""A map of more is thinned."""
_WIDTH, _MAP, _GAP, _TITLE = 1000.0, 350.0, 150.0, 26.0
"""Widths of the picture, of a map and of the legend beside it, and height of a title, in SVG units."""
_TAGS = 14
"""So many languages are named on a map at most."""
_TREE, _NAMES, _FAMILIES, _CELLS, _BAR = 180.0, 140.0, 115.0, 560.0, 44.0
"""Widths of the tree, the languages' names, their families and all cells, and height of the colours' scale."""
_COLOURS = "cividis_r"
"""From yellow to dark blue: lightness alone tells the order, to the colour-blind and in grey."""


def sentence_map(
    name: str, model: str, points: Points, families: Sequence[str], most: int = MOST_POINTS
) -> Picture | None:
    """One map twice: by language (or family, with more than eight languages), and by meaning.

    Args:
        name: of the picture's file.
        model: whose embeddings they are.
        points: the map.
        families: the first ones have a colour, in this order.
        most: points to draw; of more every n-th is drawn.
    """
    if not points.x:
        return None
    kept = np.unique(np.linspace(0, len(points.x) - 1, min(most, len(points.x))).astype(int)).tolist()
    places = np.column_stack([_stretched(points.x), _stretched(points.y)])[kept]
    languages = [points.languages[number] for number in kept]
    meanings = [str(points.meanings[number]) for number in kept]
    few = len(set(points.languages)) <= len(GROUPS)
    of = languages if few else [values.family(code) for code in languages]
    ordered = sorted(set(points.languages)) if few else families
    height = _TITLE + _MAP + 4
    title = f"{points.method.upper()}, {points.treatment}"
    kind = "language" if few else "family"
    held = f", {percent(points.explained, 1)} of the variance" if points.explained is not None else ""
    with canvas(height, constrained=False, width=_WIDTH) as (figure, first):
        first.remove()
        told = []
        for column, (names, known, call, heading, others) in enumerate(
            (
                (of, ordered, language_label if few else str, f"{title}{held}: by {kind}", "other families"),
                (meanings, values.commonest(meanings), _number_of(meanings), f"{title}: by meaning", "other meanings"),
            )
        ):
            left = column * (_MAP + _GAP)
            axes = _empty(figure, left + 2, 2, height)
            shown = _groups(axes, figure, places, names, known, call, others, left, height)
            figure.text((left + 2) / _WIDTH, 1 - 15 / height, heading, weight="bold", fontsize=11)
            if column == 0 and not few and points.treatment == "raw":
                _tags(axes, places, languages)
            told.append(", ".join(f"{group} {number}" for group, number in shown.items()))
        number = plural(len(set(languages)), "language")
        thinned = f" of {len(points.x):,}" if len(kept) < len(points.x) else ""
        label = (
            f"{title}: a map of {len(kept):,}{thinned} sentences in {number}, {model}. Left: {told[0]}. Right: the "
            f"{len(told[1].split(', '))} largest groups of translations of one another in colour."
        )
        return to_picture(figure, name, label, wide=True)


def _stretched(numbers: Sequence[float]) -> np.ndarray:
    """To the map's height and width, in tenths of a unit."""
    low, high = min(numbers), max(numbers)
    middle = (np.asarray(numbers, dtype=float) - low) / ((high - low) or 1.0)
    return np.round(12 + middle * (_MAP - 24), 1)


def _number_of(names: Sequence[str]) -> Callable[[str], str]:
    number = Counter(names)
    rank = {name: place for place, name in enumerate(values.commonest(names), start=1)}
    return lambda name: f"{rank[name]}: {plural(number[name], 'sentence')}"


def _empty(figure: Figure, left: float, foot: float, height: float) -> Axes:
    axes = figure.add_axes((left / _WIDTH, foot / height, _MAP / _WIDTH, _MAP / height))
    axes.set_xlim(0, _MAP)
    axes.set_ylim(0, _MAP)
    # The axes of a map have no unit.
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(SOFT)
    return axes


def _groups(
    axes: Axes, figure: Figure, places: np.ndarray, names: Sequence[str], ordered: Sequence[str],
    call: Callable[[str], str], others: str, left: float, height: float,
) -> dict[str, int]:  # fmt: skip
    """The first groups in colours, all others in grey beneath them; returns the groups with their sizes."""
    known = ordered[: len(GROUPS)] if set(names) <= set(ordered[: len(GROUPS)]) else ordered[: len(GROUPS) - 1]
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[name if name in known else ""].append(place)
    handles, labels = [], []
    for position, group in enumerate(["", *known]):
        if not members[group]:
            continue
        colour, shape = (GROUPS[position - 1], SHAPES[(position - 1) % len(SHAPES)]) if group else (SOFT, SHAPES[0])
        width = 3.6 if group else 1.6
        cloud(axes, places[members[group], 0].tolist(), places[members[group], 1].tolist(), colour, width, shape)
        handles.append(sample(colour, 6 if group else 3, shape))
        labels.append(shortened(call(group), 20) if group else others)
    figure.legend(
        [*handles[1:], handles[0]] if members[""] else handles, [*labels[1:], labels[0]] if members[""] else labels,
        loc="upper left", bbox_to_anchor=((left + _MAP + 6) / _WIDTH, 1 - _TITLE / height), handletextpad=0.2,
        borderaxespad=0.0,
    )  # fmt: skip
    return {call(group): len(members[group]) for group in known if members[group]} | (
        {others: len(members[""])} if members[""] else {}
    )


def _tags(axes: Axes, places: np.ndarray, languages: Sequence[str]) -> None:
    """The codes of some languages in their middles, as far as there is room."""
    taken: list[tuple[float, float]] = []
    by_size = [code for code, _ in sorted(Counter(languages).items(), key=lambda item: (-item[1], item[0]))]
    for code in by_size:
        its = places[[place for place, other in enumerate(languages) if other == code]]
        x, y = (float(middle) for middle in np.median(its, axis=0))
        if len(taken) < _TAGS and all(abs(x - a) > 30 or abs(y - b) > 14 for a, b in taken):
            taken.append((x, y))
            ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.9}
            axes.text(x, y, code, ha="center", va="center", fontsize=9, color=INK, bbox=ground)


def distance_picture(name: str, encoder: Universality, families: Sequence[str]) -> Picture | None:
    """The distances between the languages' means at the last layer: a tree, and every pair in colours.

    Args:
        name: of the picture's file.
        encoder: its geometry.
        families: the first ones have a colour, in this order.

    Returns:
        The picture; None with fewer than three languages.

    Raises:
        DataError: a distance is missing, or is another one in the other direction.
    """
    shape = values.geometry_at(encoder, values.last(encoder))
    if shape is None:
        return None
    if len(shape.distances) < 3:
        return None
    joined = linkage_order(shape.distances)
    codes, order = joined.languages, joined.order
    tree = dendrogram(joined.linkage, no_plot=True)
    matrix = np.array([[shape.distances[one][other] if one != other else 0.0 for other in codes] for one in codes])
    row = 10.0 if len(codes) > 40 else 16.0
    height = _BAR + row * len(codes) + 4
    with canvas(height, constrained=False, width=_WIDTH) as (figure, first):
        first.remove()
        foot, tall = 4 / height, row * len(codes) / height
        _tree(figure.add_axes((0.002, foot, _TREE / _WIDTH, tall)), tree, len(codes))
        _rows(figure.add_axes((_TREE / _WIDTH, foot, (_NAMES + _FAMILIES) / _WIDTH, tall)), order, row, families)
        cells = figure.add_axes(((_TREE + _NAMES + _FAMILIES) / _WIDTH, foot, _CELLS / _WIDTH, tall))
        cells.set_axis_off()
        ordered = matrix[np.ix_(tree["leaves"], tree["leaves"])]
        drawn = cells.imshow(ordered, aspect="auto", interpolation="none", cmap=_COLOURS, vmin=0)
        left = _TREE + _NAMES + _FAMILIES
        scale = figure.add_axes((left / _WIDTH, 1 - 30 / height, 220 / _WIDTH, 10 / height))
        bar = figure.colorbar(drawn, cax=scale, orientation="horizontal", ticks=MaxNLocator(4))
        bar.outline.set_visible(False)
        scale.tick_params(length=2, labelsize=9)
        scale.grid(visible=False)
        figure.text((left + 228) / _WIDTH, 1 - 28 / height, "cosine distance of the means", fontsize=10, color=SOFT)
        return to_picture(figure, name, _told(encoder, codes, order, matrix), wide=True)


def _told(encoder: Universality, codes: Sequence[str], order: Sequence[str], matrix: np.ndarray) -> str:
    upper = np.triu_indices(len(codes), 1)
    near, far = int(np.argmin(matrix[upper])), int(np.argmax(matrix[upper]))
    pairs = [f"{codes[upper[0][at]]} and {codes[upper[1][at]]} ({decimal(matrix[upper][at])})" for at in (near, far)]
    kin = np.array([values.family(code) for code in order])
    alike = int(sum(a == b != "unknown" for a, b in pairwise(kin)))
    return (
        f"Cosine distances between the means of {plural(len(codes), 'language')}, {encoder.model}, with their tree. "
        f"Nearest: {pairs[0]}; farthest: {pairs[1]}. {alike} of {len(codes) - 1} neighbours are of one family. "
        "Families stand beside the names."
    )


def _tree(axes: Axes, tree: dict[str, list[list[float]]], number: int) -> None:
    """Joints from the left, leaves on the right; in one path, which is a tenth as long as a path for each joint."""
    ys, xs = np.array(tree["icoord"]) / 10, np.array(tree["dcoord"])
    broken = np.full((len(xs), 1), np.nan)
    axes.plot(np.hstack([xs, broken]).ravel(), np.hstack([ys, broken]).ravel(), color=INK, linewidth=0.9)
    axes.set_xlim(float(xs.max()) * 1.02 or 1.0, 0)
    axes.set_ylim(number, 0)
    axes.set_axis_off()


def _rows(axes: Axes, order: Sequence[str], row: float, families: Sequence[str]) -> None:
    """Code and name of every language, a square in its family's colour, and the family in letters."""
    kin = [values.family(code) for code in order]
    axes.set_xlim(0, _NAMES + _FAMILIES)
    axes.set_ylim(len(order), 0)
    axes.set_axis_off()
    size = 8.5 if row < 12 else 10.5
    for place, (code, family) in enumerate(zip(order, kin, strict=True)):
        axes.text(5, place + 0.5, language_label(code), va="center_baseline", fontsize=size, color=INK)
        axes.text(_NAMES + 14, place + 0.5, family, va="center_baseline", fontsize=size, color=SOFT)
    for position, family in enumerate(families[: len(GROUPS)]):
        rows = [place + 0.5 for place, other in enumerate(kin) if other == family]
        cloud(axes, [_NAMES + 6] * len(rows), rows, GROUPS[position], 6.5, "square")
