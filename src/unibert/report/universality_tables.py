"""Universality in tables: encoders, layers, groups of languages, languages, disparity, spelling, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from unibert.languages import language
from unibert.report import universality_values as values
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, count, decimal, millions, percent, plural
from unibert.universality.disparity import RESOURCES
from unibert.universality.schema import Interval, Retrieval, Similarity, Treatment, Universality

_NOT_MEASURED = "not measured"
_BEST_LAYER = "The best layer is the one with the highest accuracy on these very sentences, so a little of it is luck."
_PROPERTIES = {"bytes": "bytes of text", "fertility": "fertility", "unknown": "unknown pieces"}
_DIRECTIONS = "Retrieval: accuracy at 1, the mean over both directions and over all files."


def _share(value: float | None, small: str = "", strong: bool = False, note: str = _NOT_MEASURED) -> Cell:
    if value is None:
        return Cell(NOTHING, note=note)
    return Cell(percent(value, 1), value, small=small, strong=strong)


def _number(value: float | None, small: str = "", note: str = _NOT_MEASURED) -> Cell:
    return Cell(NOTHING, note=note) if value is None else Cell(decimal(value), value, small=small)


def _probe_cell(encoder: Universality, kind: str, layer: int) -> Cell:
    probe = values.probe_at(encoder, kind, layer)  # type: ignore[arg-type]
    if probe is None:
        return _share(None)
    mean = values.accuracy(probe)
    margin = f"± {decimal(mean.margin * 100, 1)}" if mean.margin is not None else ""
    return _share(mean.value, margin)


def overview_table(found: Sequence[Universality]) -> Table:
    """Every encoder at its last layer, and how much better its best layer retrieves."""
    ways = values.ways(found)
    rows = []
    highest = {way: max((t.mean for e in found if (t := _last(e, way))), default=None) for way in ways}
    for encoder in found:
        layer = values.last(encoder)
        shape = values.geometry_at(encoder, layer)
        tables = {way: _last(encoder, way) for way in ways}
        raw, centred = tables.get(("cosine", "raw")), tables.get(("cosine", "centred"))
        gap = centred.mean - raw.mean if raw and centred else None
        best = values.best(encoder, "cosine", "centred") or values.best(encoder, "cosine", "raw")
        some = next((table for table in tables.values() if table), None)
        probe = values.probe_at(encoder, "linear", layer) or values.probe_at(encoder, "mlp", layer)
        rows.append(
            [
                words(encoder.model),
                Cell(millions(encoder.parameters), encoder.parameters),
                _probe_cell(encoder, "linear", layer),
                _probe_cell(encoder, "mlp", layer),
                _share(probe.chance if probe else None),
                *(
                    _share(table.mean if table else None, strong=len(found) > 1 and table is not None
                           and table.mean == highest[way])
                    for way, table in tables.items()
                ),
                _share(values.chance(encoder, some) if some else None),
                Cell(NOTHING, note=_NOT_MEASURED) if gap is None else Cell(decimal(gap * 100, 1), gap * 100),
                _share(best.mean if best else None, f"layer {best.layer}" if best else ""),
                _number(shape.anisotropy if shape else None),
                _share(shape.between if shape else None),
            ]
        )  # fmt: skip
    columns = [Column("Model", False), Column("Parameters"), Column("Probe, linear", unit="share")]
    columns += [Column("Probe, MLP", unit="share"), Column("Chance, probe", unit="share")]
    columns += [Column(f"Retrieval, {values.way(*way)}", unit="share") for way in ways]
    columns += [Column("Chance, retrieval", unit="share"), Column("Gap, points")]
    columns += [Column("Best layer, cosine", unit="share"), Column("Anisotropy"), Column("Between", unit="share")]
    notes = [
        "At the last layer. Probe: share of held-out sentences whose language is read right, the mean over languages "
        "and seeds, with half the width of its 95 % interval over seeds.",
        f"{_DIRECTIONS} Gap: centred minus raw cosine, in percentage points. {_BEST_LAYER}",
        "Anisotropy: mean cosine of two random sentences. Between: share of the variance that the languages' means "
        "explain.",
    ]
    return Table("universality", "How alike the languages are to each encoder", columns, rows, notes)


def _last(encoder: Universality, way: tuple[Similarity, Treatment]) -> Retrieval | None:
    table = encoder.retrieval_at(values.last(encoder), *way)
    return table if table and table.pairs else None


def layers_table(found: Sequence[Universality]) -> Table:
    """The same numbers at every layer."""
    ways = values.ways(found)
    rows = []
    for encoder in found:
        for layer in values.layers(encoder):
            shape = values.geometry_at(encoder, layer)
            tables = [encoder.retrieval_at(layer, *way) for way in ways]
            rows.append(
                [
                    words(encoder.model),
                    Cell(str(layer), layer),
                    _probe_cell(encoder, "linear", layer),
                    _probe_cell(encoder, "mlp", layer),
                    *(_share(table.mean if table and table.pairs else None) for table in tables),
                    _number(shape.anisotropy if shape else None),
                    _number(shape.anisotropy_centred if shape else None),
                    _share(shape.between if shape else None),
                ]
            )
    columns = [Column("Model", False), Column("Layer"), Column("Probe, linear", unit="share")]
    columns += [Column("Probe, MLP", unit="share")]
    columns += [Column(f"Retrieval, {values.way(*way)}", unit="share") for way in ways]
    columns += [Column("Anisotropy, raw"), Column("Anisotropy, centred"), Column("Between", unit="share")]
    notes = [f"{_DIRECTIONS} Layer 0 is the embeddings."]
    return Table("universality-layers", "Universality by layer", columns, rows, notes, heading_columns=2)


_OF_GROUPS: tuple[tuple[Similarity, Treatment], ...] = (("cosine", "raw"), ("cosine", "centred"), ("csls", "centred"))


def group_tables(found: Sequence[Universality]) -> list[Table]:
    """Retrieval by script, by family and by how much text there is of a language; without those that say nothing."""
    sized = {encoder.model: values.thirds(_sizes(encoder)) for encoder in found}
    made = [
        _group_table(found, "script", "Script", lambda encoder, code: values.script(code)),
        _group_table(found, "family", "Family", lambda encoder, code: values.family(code)),
        _group_table(found, "resources", "Text", lambda encoder, code: sized[encoder.model].get(code)),
    ]
    return [table for table in made if table.rows]


def _sizes(encoder: Universality) -> dict[str, int]:
    there = {pair.language for pair in encoder.pairs.values()}
    return {code: number for code, number in encoder.bytes.items() if code in there}


def _group_table(
    found: Sequence[Universality], name: str, heading: str, key: Callable[[Universality, str], str | None]
) -> Table:
    rows = []
    groups = {encoder.model: values.grouped(encoder, lambda code, e=encoder: key(e, code)) for encoder in found}  # type: ignore[misc]
    order = list(RESOURCES) if name == "resources" else list(dict.fromkeys(g for of in groups.values() for g in of))
    for group in order:
        for encoder in found:
            pairs = groups[encoder.model].get(group, [])
            layer = values.reference_layer(encoder)
            tables = [encoder.retrieval_at(layer, *way) for way in _OF_GROUPS]
            scores = [{p: table.pairs[p].mean for p in pairs if p in table.pairs} if table else {} for table in tables]
            if not any(scores):
                continue
            last = next(of for of in (scores[1], scores[0], scores[2]) if of)
            worst = min(last, key=lambda pair: (last[pair], pair))
            rows.append(
                [
                    words(group),
                    words(encoder.model),
                    Cell(count(len(last)), len(last)),
                    *(_share(fmean(of.values()) if of else None) for of in scores),
                    _share(last[worst], f"({encoder.pairs[worst].language})"),
                ]
            )
    columns = [Column(heading, False), Column("Model", False), Column("Files")]
    columns += [Column(values.way(*way).capitalize().replace("Csls", "CSLS"), unit="share") for way in _OF_GROUPS]
    columns += [Column("Worst language", unit="share")]
    where = ", ".join(f"{encoder.model} {values.reference_layer(encoder)}" for encoder in found)
    notes = [f"Accuracy at 1, the mean over both directions and the files. Layers: {where}. {_BEST_LAYER}"]
    if name == "resources":
        notes.append("Text: thirds of the languages whose size is known, by bytes in the corpus.")
    captions = {"script": "by script", "family": "by family", "resources": "by how much text there is"}
    return Table(f"universality-{name}", f"Retrieval {captions[name]}", columns, rows, notes, heading_columns=2)


def languages_table(found: Sequence[Universality]) -> Table:
    """Every file of every encoder."""
    rows = []
    for encoder in found:
        layer = values.reference_layer(encoder)
        tables = {way: encoder.retrieval_at(layer, *way) for way in _OF_GROUPS}
        for name, pair in encoder.pairs.items():
            scores = {way: table.pairs.get(name) if table else None for way, table in tables.items()}
            centred = scores["cosine", "centred"]
            rows.append(
                [
                    words(encoder.model),
                    words(name),
                    words(language(pair.language).name),
                    words(values.script(pair.language)),
                    words(values.family(pair.language)),
                    Cell(count(pair.sentences), pair.sentences),
                    _share(pair.chance),
                    *(_share(score.mean if score else None) for score in scores.values()),
                    _share(centred.forth if centred else None),
                    _share(centred.back if centred else None),
                ]
            )
    columns = [Column(label, False) for label in ("Model", "File", "Language", "Script", "Family")]
    columns += [Column("Sentences"), Column("Chance", unit="share")]
    columns += [Column(values.way(*way).capitalize().replace("Csls", "CSLS"), unit="share") for way in _OF_GROUPS]
    columns += [Column("Forth, cosine, centred", unit="share"), Column("Back, cosine, centred", unit="share")]
    where = ", ".join(f"{encoder.model} {values.reference_layer(encoder)}" for encoder in found)
    notes = [f"Layers: {where}. Forth: from the language to the other side, which is English in Tatoeba; back: to it."]
    return Table("universality-languages", "Retrieval by language", columns, rows, notes, heading_columns=2)


def _plain(value: float) -> str:
    """A value of any measure: shares need three decimals, metrics from 0 to 100 one."""
    return decimal(value, 3 if abs(value) < 10 else 1)


def _interval(found: Interval | None, note: str) -> Cell:
    if found is None:
        return Cell(NOTHING, note=note)
    return Cell(decimal(found.value), found.value, small=f"({decimal(found.low)} to {decimal(found.high)})")


def disparity_table(found: Sequence[Universality]) -> Table:
    """How unevenly each measure is spread over the languages, and what goes with it."""
    measures = values.measures(found)
    properties = list(dict.fromkeys(name for of in measures.values() for d in of.values() for name in d.correlations))
    rows = []
    for measure, of in measures.items():
        for model, disparity in of.items():
            shown = disparity.worst[:6]
            more = f" and {len(disparity.worst) - 6} more" if len(disparity.worst) > 6 else ""
            rows.append(
                [
                    words(measure),
                    words(model),
                    Cell(count(len(disparity.values)), len(disparity.values)),
                    *(
                        _interval(disparity.correlations.get(name), "no rank correlation: too few or all alike")
                        if measure != f"{name} pieces"
                        else Cell(NOTHING, note="the measure itself")
                        for name in properties
                    ),
                    _interval(disparity.gini, "has no meaning for these values"),
                    Cell(_plain(disparity.worst_mean), disparity.worst_mean),
                    Cell(", ".join(shown) + more, ", ".join(disparity.worst)),
                ]
            )
    columns = [Column("Measure", False), Column("Model", False), Column("Languages")]
    columns += [Column(f"ρ with {_PROPERTIES.get(name, name)}") for name in properties]
    columns += [Column("Gini coefficient"), Column("Worst tenth, mean"), Column("Worst tenth", False)]
    notes = [
        "ρ: Spearman's rank correlation over the languages. In brackets: 95 % intervals by bootstrap over the "
        "languages. Gini coefficient: 0 where all languages are alike, near 1 where one has everything.",
        "Fertility: word pieces per word. Worst tenth: the tenth of the languages with the worst values, worst first.",
    ]
    return Table("universality-disparity", "How unevenly it is spread", columns, rows, notes, heading_columns=2)


def resources_table(found: Sequence[Universality]) -> Table | None:
    """High- against low-resource languages; None where the sizes are not known."""
    rows = []
    for measure, of in values.measures(found).items():
        for model, disparity in of.items():
            if not disparity.resources:
                continue
            cells = [words(measure), words(model)]
            for group in RESOURCES:
                its = disparity.resources.get(group, {})
                mean, worst = its.get("mean"), its.get("worst")
                if mean is None:
                    cells += [Cell(NOTHING, note="no language in this group")] * 2
                    continue
                number = f"({int(its['languages'])})" if "languages" in its else ""
                cells.append(Cell(_plain(mean), mean, small=number))
                cells.append(Cell(NOTHING, note=_NOT_MEASURED) if worst is None else Cell(_plain(worst), worst))
            rows.append(cells)
    if not rows:
        return None
    columns = [Column("Measure", False), Column("Model", False)]
    for group in RESOURCES:
        columns += [Column(f"{group.capitalize()}, mean"), Column(f"{group.capitalize()}, worst")]
    notes = [
        "Thirds of the languages by bytes of text, with their number in brackets. Mean and worst are over the "
        "languages of a third. Whether higher is better is the measure's: fewer unknown pieces are better."
    ]
    return Table(
        "universality-high-low", "High- against low-resource languages", columns, rows, notes, heading_columns=2
    )


def spelling_table(found: Sequence[Universality]) -> Table:
    """What the tokenizers make of every language, the most unknown pieces first."""
    rows = []
    for encoder in found:
        for code, spelled in sorted(encoder.spelling.items(), key=lambda item: (-item[1].unknown, item[0])):
            size = encoder.bytes.get(code)
            rows.append(
                [
                    words(encoder.model),
                    words(code),
                    words(language(code).name),
                    words(values.script(code)),
                    Cell(count(spelled.sentences), spelled.sentences),
                    Cell(percent(spelled.unknown), spelled.unknown),
                    _number(spelled.fertility),
                    _number(spelled.per_character),
                    Cell(count(size), size) if size is not None else Cell(NOTHING, note="size not known"),
                ]
            )
    columns = [Column(label, False) for label in ("Model", "Code", "Language", "Script")]
    columns += [Column("Sentences"), Column("Unknown pieces", unit="share"), Column("Pieces per word")]
    columns += [Column("Pieces per character"), Column("Text", unit="bytes")]
    notes = ["In scripts that put no spaces between words, look at the pieces per character."]
    return Table(
        "universality-spelling", "What the tokenizers make of each language", columns, rows, notes, heading_columns=2
    )


def left_out_table(found: Sequence[Universality]) -> Table | None:
    """What could not be measured, and why; None where everything could."""
    rows = [
        [words(encoder.model), words(what), words(why)] for encoder in found for what, why in encoder.left_out.items()
    ]
    if not rows:
        return None
    columns = [Column(label, False) for label in ("Model", "What", "Why")]
    caption = f"What was left out: {plural(len(rows), 'part')}"
    return Table("universality-left-out", caption, columns, rows, heading_columns=2)
