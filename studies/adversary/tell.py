"""The adversary study's results as rows, a table and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from unibert.benchmark.scores import mean_over_seeds
from unibert.files import read_json
from unibert.languages import language
from unibert.recipe import Recipe
from unibert.report.theme import GROUPS, PAPER, SOFT, Picture, canvas, to_picture
from unibert.runs import provenance
from unibert.universality.schema import Pair, Retrieval, Universality, load_universality

Row = dict[str, Any]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLUMNS: dict[str, tuple[str, float, str]] = {
    "mlm": ("held-out loss", 1.0, ".3f"),
    "probe_linear": ("linear probe", 100.0, ".1f"),
    "probe_mlp": ("MLP probe", 100.0, ".1f"),
    "anisotropy": ("anisotropy", 1.0, ".2f"),
    "raw": ("Tatoeba, raw", 100.0, ".2f"),
    "centred": ("centred", 100.0, ".2f"),
    "projected": ("projected", 100.0, ".2f"),
    "centred_best": ("centred, best layer", 100.0, ".2f"),
    "related_raw": ("related, raw", 100.0, ".2f"),
    "related_centred": ("centred", 100.0, ".2f"),
    "related_projected": ("projected", 100.0, ".2f"),
    "related_best": ("centred, best layer", 100.0, ".2f"),
    "distant_raw": ("distant, raw", 100.0, ".2f"),
    "distant_centred": ("centred", 100.0, ".2f"),
}
"""Keys of a row: heading, factor, format.

Retrieval in %, over both directions, by cosine: on Tatoeba, the languages with English; and on translations of other
sets between related and between distant languages. At the last layer, unless it is at the best one.
"""
NONE, DISTILLED = "none", "none-distilled"
WIDTH = 4.6
"""Of a letter of a point's name, about, in points."""
NEAR = 10
"""Points up or down from which on a line joins a name to its point."""
MOST_LOSS = 1.0
"""Held-out loss above that without an adversary, in %: what an adversary may cost."""


def read_rows(run: Path) -> list[Row]:
    """A row for every student that is trained and measured: variant, seed, measures."""
    rows = []
    for path in sorted((run / "students").glob("*/summary.json")):
        name = path.parent.name
        found = load_universality(path.parent / "universality" / f"{name}.json")
        if not isinstance(found, Universality):
            continue
        variant, _, seed = name.rpartition("-seed")
        summary = read_json(path)
        rows.append({"variant": variant, "seed": int(seed), "mlm": summary["heldout"]["mlm"], **measures(found)})
    for row in rows:
        row["ner"] = ner_scores(run, f"{row['variant']}-seed{row['seed']}")
    return rows


def measures(found: Universality) -> Row:
    """What the table tells of one student, as shares."""
    last = found.layers
    probes = {probe.kind: mean(probe.accuracies) for probe in found.probes if probe.layer == last}

    groups: dict[str, set[str]] = {"tatoeba": set(), "related": set(), "distant": set()}
    for name, pair in found.pairs.items():
        groups[group_of(name, pair)].add(name)

    def over_pairs(table: Retrieval, group: str) -> float:
        return mean(table.pairs[name].mean for name in groups[group])

    def at_last(treatment: str, group: str = "tatoeba") -> float:
        table = found.retrieval_at(last, "cosine", treatment)  # type: ignore[arg-type]
        return over_pairs(table, group) if table else 0.0

    def best(group: str) -> Retrieval:
        tables = [r for r in found.retrieval if (r.similarity, r.treatment) == ("cosine", "centred")]
        return max(tables, key=lambda table: over_pairs(table, group))

    centred = best("tatoeba")
    return {
        "probe_linear": probes["linear"],
        "probe_mlp": probes["mlp"],
        "raw": at_last("raw"),
        "centred": at_last("centred"),
        "projected": at_last("projected"),
        "centred_best": over_pairs(centred, "tatoeba"),
        "related_raw": at_last("raw", "related"),
        "related_centred": at_last("centred", "related"),
        "related_projected": at_last("projected", "related"),
        "related_best": over_pairs(best("related"), "related"),
        "distant_raw": at_last("raw", "distant"),
        "distant_centred": at_last("centred", "distant"),
        "anisotropy": next(geometry.anisotropy for geometry in found.geometry if geometry.layer == last),
        "best_layer": centred.layer,
        "pairs": {name: score.mean for name, score in centred.pairs.items()},
        "chance": mean(pair.chance for pair in found.pairs.values()),
        "probe_chance": found.probes[0].chance,
    }


def group_of(name: str, pair: Pair) -> str:
    """Whether a pair of files is Tatoeba's, or between languages of one branch, or between others."""
    # Only a name that two files would have says where it is from, and Tatoeba is all with English.
    if pair.other == "en" and ("(" not in name or "tatoeba" in name):
        return "tatoeba"
    families = {language(code).family for code in (pair.language, pair.other)}
    return "related" if len(families) == 1 else "distant"


def ner_scores(run: Path, model: str) -> dict[str, float]:
    """Entity F1 by setting, mean over languages."""
    scores: dict[str, list[float]] = {}
    for path in sorted((run / "benchmark" / "results").glob("*.json")):
        result = read_json(path)
        if result["model"] == model:
            its = [score["metrics"][result["metric"]] for score in result["scores"].values()]
            scores.setdefault(result["setting"], []).extend(its)
    return {setting: mean(values) for setting, values in scores.items()}


def tell(rows: Sequence[Row], recipe: Recipe) -> str:
    """The table of all variants, and where it comes from."""
    if not rows:
        return "No student is trained and measured yet.\n"
    settings, made = recipe.pretrain, provenance()
    by_variant = grouped(rows)
    lines = [
        f"{len(rows)} students of {len(by_variant)} kinds: {settings.steps:,} steps of {settings.batch_size} samples,",
        f"{len(recipe.corpus.languages or [])} languages. Mean over seeds, and half the 95 % interval (Student's t)",
        f"where there are two or more. Chance is {100 * rows[0]['chance']:.2f} % in retrieval and "
        f"{100 * rows[0]['probe_chance']:.1f} % for the probe.",
        "",
        "| student | seeds | " + " | ".join(heading for heading, _, _ in COLUMNS.values()) + " | NER each | NER all |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for variant, its in by_variant.items():
        cells = [shown([factor * row[key] for row in its], form) for key, (_, factor, form) in COLUMNS.items()]
        ner = [
            shown([row["ner"][setting] for row in its if setting in row["ner"]], ".1f") for setting in ("each", "all")
        ]
        lines.append(f"| {variant} | {len(its)} | " + " | ".join([*cells, *ner]) + " |")
    lines += ["", *against_none(by_variant)]
    hardware = made["hardware"]
    lines += [
        "",
        f"{hardware['processor']}, {hardware['cores']} cores, torch {made['versions']['torch']}, "
        f"commit {made['commit']}.",
        "",
    ]
    return "\n".join(lines)


def against_none(by_variant: Mapping[str, Sequence[Row]]) -> list[str]:
    """What an adversary costs and buys, seed by seed against the student that differs in nothing else.

    The last two columns are the question whether it is worth having: against what centring alone gives, once for the
    adversary's raw embeddings and once when both are centred.
    """
    lines = [
        "Against none (of distilled students: against none-distilled), seed by seed. Loss in % more; raw retrieval on",
        "Tatoeba times none's; in points: raw against none's centred and projected, centred against none's centred on",
        "Tatoeba and between related languages; NER in points of F1.",
        "",
        "| student | seeds | loss, % | raw, times | raw - none centred | raw - none projected | centred - none centred "
        "| related, raw - none centred | related, centred - none centred | NER each | NER all |",
        "|---" * 11 + "|",
    ]
    for variant in by_variant:
        pairs = paired(by_variant, variant)
        if not pairs:
            continue
        columns: list[tuple[list[float], str]] = [
            ([100 * (row["mlm"] / other["mlm"] - 1) for row, other in pairs], "+.2f"),
            ([row["raw"] / other["raw"] for row, other in pairs], ".2f"),
        ]
        for key, base in (
            ("raw", "centred"),
            ("raw", "projected"),
            ("centred", "centred"),
            ("related_raw", "related_centred"),
            ("related_centred", "related_centred"),
        ):
            columns.append(([100 * (row[key] - other[base]) for row, other in pairs], "+.2f"))
        for setting in ("each", "all"):
            both = [(row["ner"], other["ner"]) for row, other in pairs]
            columns.append(([x[setting] - y[setting] for x, y in both if setting in x and setting in y], "+.1f"))
        lines.append(
            f"| {variant} | {len(pairs)} | " + " | ".join(shown(values, form) for values, form in columns) + " |"
        )
    return lines


def paired(by_variant: Mapping[str, Sequence[Row]], variant: str) -> list[tuple[Row, Row]]:
    """A kind's rows, each with that of the student of the same seed that differs in nothing but the adversary."""
    base = DISTILLED if variant.endswith("-distilled") and variant != DISTILLED else NONE
    reference = {row["seed"]: row for row in by_variant.get(base, [])} if variant != NONE else {}
    return [(row, reference[row["seed"]]) for row in by_variant[variant] if row["seed"] in reference]


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows by variant; the reference first."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (not row["variant"].startswith("none"), row["variant"], row["seed"])):
        found.setdefault(row["variant"], []).append(row)
    return found


def shown(values: Sequence[float], form: str) -> str:
    """A mean with its margin; nothing where nothing was measured."""
    if not values:
        return ""
    found = mean_over_seeds(values)
    margin = form.lstrip("+")
    return f"{found.value:{form}}" + (f" ± {found.margin:{margin}}" if found.margin is not None else "")


def draw(rows: Sequence[Row]) -> list[Picture]:
    """Held-out loss against retrieval, and against the probe: what an adversary costs, and what it buys."""
    if not rows:
        return []
    return [
        pareto(rows, "pareto-raw", "Tatoeba, raw, %", "raw", {"centred": "centred", "projected": "projected"}),
        pareto(rows, "pareto-centred", "Tatoeba, centred, %", "centred", {}),
        pareto(rows, "pareto-related", "related languages, centred, %", "related_centred", {}),
        pareto(rows, "pareto-probe", "linear probe's accuracy, %", "probe_linear", {}),
    ]


def pareto(rows: Sequence[Row], name: str, label: str, key: str, free: Mapping[str, str]) -> Picture:
    """A point for each kind of student, coloured by its mode; hollow where the adversary begins late.

    Losses are compared with those of `none` seed by seed: from seed to seed they differ more than from kind to kind.
    Of several seeds 95 % intervals are drawn.

    Args:
        rows: of all students.
        name: of the picture.
        label: of the measure, which is that of the last layer.
        key: of the measure in a row; times 100 on the axis.
        free: what `none` reaches by a treatment that costs nothing, as lines across: name, key in a row.
    """
    by_variant = grouped(rows)
    modes = list(dict.fromkeys(mode_of(variant) for variant in by_variant))
    reference = by_variant.get(NONE, [])
    names: list[tuple[str, float, float]] = []
    with canvas(340) as (figure, axes):
        for variant, its in by_variant.items():
            mode, late = mode_of(variant), "-late" in variant
            number = modes.index(mode)
            of_seeds = {row["seed"]: row["mlm"] for row in reference}
            more = [100 * (row["mlm"] / of_seeds[row["seed"]] - 1) for row in its if row["seed"] in of_seeds]
            if not more:
                continue
            x, y = mean_over_seeds(more), mean_over_seeds([100 * row[key] for row in its])
            axes.errorbar(
                x.value, y.value, xerr=x.margin, yerr=y.margin, elinewidth=0.8, linestyle="none",
                marker=MARKERS[number], markersize=6, color=GROUPS[number],
                markerfacecolor=PAPER if late else GROUPS[number],
                label=mode if variant == next(v for v in by_variant if mode_of(v) == mode) else None,
            )  # fmt: skip
            names.append((weight_of(variant), x.value, y.value))
        for treatment, its_key in free.items() if reference else ():
            height = 100 * mean_of(reference, its_key)
            axes.axhline(height, color=SOFT, linewidth=0.8)
            axes.annotate(
                f"none, {treatment}", (1, height), xycoords=("axes fraction", "data"), xytext=(-3, 2),
                textcoords="offset points", ha="right", va="bottom", fontsize="small", color=SOFT,
            )  # fmt: skip
        axes.axvline(MOST_LOSS, color=SOFT, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.set_xscale("symlog", linthresh=1)
        axes.margins(0.1)
        axes.autoscale_view()
        axes.xaxis.set_major_formatter("{x:g}")
        figure.draw_without_rendering()  # the scales are final
        name_points(axes, names)
        axes.set_xlabel("held-out loss, % above none, logarithmic from 1 % on (hollow: late)")
        axes.set_ylabel(label)
        figure.legend(loc="outside lower left", ncols=3)
        told = [
            f"{variant} {mean_of(its, 'mlm'):.3f} and {100 * mean_of(its, key):.2f}"
            for variant, its in by_variant.items()
        ]
        return to_picture(figure, name, f"Held-out loss and {label}: {'; '.join(told)}.")


def name_points(axes: Any, names: Sequence[tuple[str, float, float]]) -> None:
    """Write each point's name where it covers no point and no other name; a line joins it to a point further off."""
    points = [axes.transData.transform((across, up)) * 72 / axes.figure.dpi for _, across, up in names]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    for (text, across, up), at in zip(names, points, strict=True):
        if not text:
            continue
        places = list(offsets(text))
        free = (o for o in places if not any(overlap(box(at, o, text), other) for other in taken))
        offset = next(free, places[0])
        taken.append(box(at, offset, text))
        axes.annotate(
            text, (across, up), xytext=offset, textcoords="offset points", fontsize="x-small", color=SOFT,
            arrowprops=line if abs(offset[1]) > NEAR else None,
        )  # fmt: skip


def offsets(text: str) -> Iterator[tuple[float, float]]:
    """Where a point's name may stand, in points, the nearest first: right of it, left, then further up and down."""
    for up in (3, -9, 14, -20, 25, -31, 36, -42):
        yield 6, up
        yield -6 - WIDTH * len(text), up


def box(at: Sequence[float], offset: tuple[float, float], text: str) -> tuple[float, float, float, float]:
    """About where a name would stand: left, bottom, right, top, in points."""
    left, bottom = at[0] + offset[0], at[1] + offset[1]
    return left, bottom, left + WIDTH * len(text), bottom + 8


def overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes have a point in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def mean_of(rows: Sequence[Row], key: str) -> float:
    """Of a measure, over the seeds."""
    return float(mean(row[key] for row in rows))


def weight_of(variant: str) -> str:
    """`0.1`, `0.1, mlp`; nothing without an adversary."""
    kept = variant.removeprefix(mode_of(variant).removesuffix(", distilled")).replace("-late", "").strip("-")
    return kept.replace("-distilled", "").replace("distilled", "").replace("-", ", ", 1)


def mode_of(variant: str) -> str:
    """none, gradient-reversal, confusion, ...; distilled students apart."""
    known = ("none", "gradient-reversal", "confusion", "loss-reversal")
    mode = next((mode for mode in known if variant.startswith(mode)), variant)
    return f"{mode}, distilled" if variant.endswith("distilled") else mode
