"""The section on universality: what may be concluded, in words first, then in tables and figures."""

from __future__ import annotations

from collections.abc import Sequence

from unibert.errors import DataError
from unibert.languages import language
from unibert.report import universality_figures as figures
from unibert.report import universality_maps as maps
from unibert.report import universality_tables as tables
from unibert.report import universality_values as values
from unibert.report.blocks import Block, Details, FigureBlock, KeyNumber, Section
from unibert.report.reading import Gap
from unibert.report.theme import Picture
from unibert.report.wording import decimal, listing, percent, plural
from unibert.universality.disparity import unspellable
from unibert.universality.schema import Probe, Retrieval, Universality

DETAILED = 4
"""So many encoders have figures of their own; of further ones the tables tell."""
_LOW = 0.05
"""Below this accuracy at its best, differences in retrieval mean nothing."""
_POINTS = 10_000
"""On all maps of a page together: each takes 80 bytes, by language and by meaning."""


def universality_section(found: Sequence[Universality], gaps: list[Gap]) -> Section:
    """How alike the languages are to the encoders; without blocks where nothing was measured.

    Args:
        found: an entry per encoder.
        gaps: gets what was left out when an encoder was measured, and what cannot be drawn.
    """
    section = Section("universality", "Universality")
    if not found:
        return section
    for encoder in found:
        if encoder.left_out:
            named = [*list(encoder.left_out)[:3], *(["others"] if len(encoder.left_out) > 3 else [])]
            reason = f"{plural(len(encoder.left_out), 'part')} left out, see “Universality”: {listing(named)}"
            gaps.append(Gap(f"universality of {encoder.model}", "left out", reason))
    section.blocks += [told for encoder in found if (told := _told(encoder))]
    section.blocks += [tables.overview_table(found), cautions(found)]
    section.blocks += [*_by_layer(found), *_by_language(found), *_where(found, gaps), *_disparity(found)]
    left_out = tables.left_out_table(found)
    section.blocks += [Details(left_out.caption, [left_out])] if left_out else []
    return section


def universality_numbers(found: Sequence[Universality]) -> list[KeyNumber]:
    """The best centred retrieval, and the lowest accuracy of a probe, both at the last layer."""
    numbers = []
    probed = [(encoder, probe) for encoder in found if (probe := _probe(encoder))]
    if probed:
        encoder, probe = min(probed, key=lambda item: values.accuracy(item[1]).value)
        hint = f"{encoder.model}, chance {percent(probe.chance, 1)}"
        numbers.append(KeyNumber("Language read by a probe", percent(values.accuracy(probe).value, 1), hint))
    tried = [(encoder, table) for encoder in found if (table := _table(encoder, "centred") or _table(encoder, "raw"))]
    if tried:
        encoder, table = max(tried, key=lambda item: item[1].mean)
        raw = _table(encoder, "raw")
        hint = f"raw {percent(raw.mean, 1)}, " if raw and raw is not table else ""
        hint = f"{encoder.model}, {hint}chance {percent(values.chance(encoder, table), 1)}"
        numbers.append(KeyNumber(f"Translations found, {table.treatment}", percent(table.mean, 1), hint))
    return numbers


def universality_sentence(found: Sequence[Universality]) -> str:
    """What may be said of one encoder, or of several next to one another; empty where nothing was measured."""
    if len(found) < 2:
        return _told(found[0]) if found else ""
    text = f"How alike the languages are was measured of {plural(len(found), 'encoder')}."
    probed = {e.model: values.accuracy(p).value for e in found if (p := _probe(e))}
    if probed:
        low, high = min(probed, key=probed.__getitem__), max(probed, key=probed.__getitem__)
        text += (
            f" A probe reads the language of {percent(probed[low], 1)} ({low}) to {percent(probed[high], 1)} ({high}) "
            "of the sentences."
        )
    best = {}
    for treatment in ("raw", "centred"):
        tried = [(e.model, table.mean) for e in found if (table := _table(e, treatment))]
        if tried:
            best[treatment] = max(tried, key=lambda item: item[1])
    how = {"raw": "as it is", "centred": "with each language's mean removed"}
    if len({model for model, _ in best.values()}) == 1:
        told = [f"{percent(value, 1)} {how[treatment]}" for treatment, (_, value) in best.items()]
        text += f" {next(iter(best.values()))[0]} finds the most translations: {listing(told)}."
    elif best:
        told = [f"{model} {how[treatment]} ({percent(value, 1)})" for treatment, (model, value) in best.items()]
        text += f" The most translations are found by {listing(told)}."
    return text


def _probe(encoder: Universality) -> Probe | None:
    layer = values.last(encoder)
    return values.probe_at(encoder, "linear", layer) or values.probe_at(encoder, "mlp", layer)


def _table(encoder: Universality, treatment: str, similarity: str = "cosine") -> Retrieval | None:
    """Of the last layer; None where it has no files."""
    table = encoder.retrieval_at(values.last(encoder), similarity, treatment)  # type: ignore[arg-type]
    return table if table and table.pairs else None


def _told(encoder: Universality) -> str:
    """What may be concluded of one encoder, in words."""
    return " ".join(part for part in (_probe_told(encoder), _retrieval_told(encoder)) if part)


def _probe_told(encoder: Universality) -> str:
    probe = _probe(encoder)
    if probe is None:
        return ""
    mean, number = values.accuracy(probe), max(len(probe.languages), len(encoder.languages))
    layer = values.last(encoder)
    where = "the last layer" if layer == encoder.layers else f"layer {layer}"
    text = (
        f"From {where} of {encoder.model} {'a linear probe' if probe.kind == 'linear' else 'an MLP'} reads the "
        f"language of {percent(mean.value, 1)} of the held-out sentences; guessing among {plural(number, 'language')} "
        f"reads {percent(probe.chance, 1)}"
    )
    above = (mean.value - probe.chance) / (1 - probe.chance) if probe.chance < 1 else 0.0
    if above >= 0.95:
        return f"{text}. So the embeddings nearly always tell which language a sentence is in."
    if above >= 0.5:
        return f"{text}. So the embeddings mostly tell which language a sentence is in."
    if mean.value - (mean.margin or 0.0) > probe.chance:
        return f"{text}. So the embeddings tell something of the language."
    return f"{text}. So this probe cannot tell the languages apart, which does not prove that none could."


def _retrieval_told(encoder: Universality) -> str:
    raw, centred, csls = _table(encoder, "raw"), _table(encoder, "centred"), _table(encoder, "centred", "csls")
    first = raw or centred
    if first is None:
        return ""
    guess = values.chance(encoder, first)
    how = "" if raw else " with each language's mean removed"
    text = f"A sentence finds its translation{how} in {percent(first.mean, 1)} of the cases (chance {percent(guess, 1)}"
    text += f", {plural(len(first.pairs), 'file')})"
    if raw is None or centred is None:
        return f"{text}."
    text += f", with each language's mean removed in {percent(centred.mean, 1)}"
    text += f", with CSLS on top in {percent(csls.mean, 1)}" if csls else ""
    best, gap = values.best(encoder, "cosine", "centred"), centred.mean - raw.mean
    if best and best.layer != centred.layer:
        text += f"; best at layer {best.layer}, in {percent(best.mean, 1)}"
    if max(raw.mean, centred.mean) < _LOW:
        return f"{text}. Both are so low that nothing can be concluded from their difference."
    points = f"{decimal(abs(gap) * 100, 1)} points"
    if gap >= 0.5 * centred.mean:
        return f"{text}. So most of what it can find is hidden behind a mere shift between the languages ({points})."
    if gap >= 0.01:
        return f"{text}. So a shift between the languages hides a part of what it can find ({points})."
    if gap > -0.01:
        return f"{text}. So removing the means buys next to nothing."
    return f"{text}. So removing the means does harm ({points})."


def cautions(found: Sequence[Universality]) -> list[str]:
    """What the numbers cannot tell, given how they were made."""
    told = []
    if any(encoder.probes for encoder in found):
        told.append(
            "A probe shows what it can read. That it reads nothing does not mean that nothing is there; that it reads "
            "the language does not mean that a task is disturbed by it."
        )
        seeds = min(len(probe.accuracies) for encoder in found for probe in encoder.probes)
        if seeds < 3:
            told.append(
                f"At least one probe was trained with {plural(seeds, 'seed')}: its margin is unknown or a guess."
            )
    if any(encoder.retrieval for encoder in found):
        told.append(
            "Files differ in length and difficulty: of two languages the one that is found more often need not be the "
            "better represented one. Compare encoders on the same files."
        )
        told.append(
            "Centred: the mean of each side is taken over the very sentences that are looked for, which a single "
            "sentence in use does not have."
        )
        told += _projected_told(found)
        low = [e.model for e in found if e.retrieval and max(table.mean for table in e.retrieval) < _LOW]
        if low:
            told.append(
                f"{listing(low)}: retrieval stays below {percent(_LOW, 0)} whatever is done. At this level differences "
                "between encoders or treatments mean nothing."
            )
    if len(found) > 1 and len({(frozenset(e.languages), frozenset(e.pairs)) for e in found}) > 1:
        told.append("The encoders were not measured on the same languages or files: their averages cannot be compared.")
    if any(encoder.disparity for encoder in found):
        told.append(
            "Rank correlations are over languages, which are related to one another and are not a random sample; they "
            "show what goes together, not why."
        )
    if any(points.method == "umap" for encoder in found for points in encoder.maps):
        told.append("On a map by UMAP neighbours mean something; distances between clumps and their sizes do not.")
    return told


def _projected_told(found: Sequence[Universality]) -> list[str]:
    """On which sentences the language directions were found, and which of them are looked for, too."""
    projected = [e for e in found if any(table.treatment == "projected" for table in e.retrieval)]
    if not projected:
        return []
    text = "Projected: one projection for all languages, fitted on the probe's sentences."
    same = [e.model for e in projected if not e.settings.get("text")]
    if same:
        of = "" if len(same) == len(projected) else f" of {listing(same)}"
        text += (
            f" These{of} were drawn from the translations themselves, no other text being named: so the projection has "
            "seen sentences that are looked for. With text of its own (--text) it would not have."
        )
    return [text]


def _figure(title: str, caption: str, pictures: Sequence[Picture | None]) -> list[Block]:
    drawn = [picture for picture in pictures if picture]
    return [FigureBlock(title, caption, drawn)] if drawn else []


def _by_layer(found: Sequence[Universality]) -> list[Block]:
    caption = (
        "Accuracy of the probes on held-out sentences; accuracy at 1 of retrieval, the mean over both directions and "
        "all files; mean cosine of random sentences; share of the variance that the languages' means explain."
    )
    blocks = _figure("Layer by layer", caption, figures.layer_panels(found))
    table = tables.layers_table(found)
    return [*blocks, Details("Every layer in numbers", [table])] if table.rows else blocks


def _by_language(found: Sequence[Universality]) -> list[Block]:
    blocks: list[Block] = []
    for number, encoder in enumerate(found[:DETAILED], start=1):
        caption = (
            f"Accuracy at 1 by cosine at layer {values.reference_layer(encoder)}, the one with the highest average; "
            "the mean over both directions. Dots: with the mean of each side removed; diamonds: as it is."
        )
        pictures = figures.retrieval_by_language(f"universality-languages-{number}", encoder)
        blocks += _figure(f"Retrieval by language, {encoder.model}", caption, pictures)
    groups = {table.name: table for table in tables.group_tables(found)}
    sized = groups.pop("universality-resources", None)
    blocks += [sized] if sized else []
    blocks += [Details("Retrieval by script and by family", list(groups.values()))] if groups else []
    table = tables.languages_table(found)
    return [*blocks, Details("Retrieval by language in numbers", [table])] if table.rows else blocks


def _where(found: Sequence[Universality], gaps: list[Gap]) -> list[Block]:
    """The languages' distances, and maps of sentences."""
    blocks: list[Block] = []
    drawn = sum(len(encoder.maps) for encoder in found[:DETAILED])
    most = min(maps.MOST_POINTS, _POINTS // max(drawn, 1))
    # One colour for a family on the whole page.
    families = values.commonest([values.family(code) for code in sorted({c for e in found for c in e.languages})])
    for number, encoder in enumerate(found[:DETAILED], start=1):
        caption = (
            "Cosine distance between the languages' mean embeddings at the last layer, the mean of all languages "
            "removed. The tree joins the nearest first (average linkage); columns are in the order of the rows. Beside "
            "the names stands the family, the commonest ones with a colour."
        )
        try:
            picture = maps.distance_picture(f"universality-distances-{number}", encoder, families)
        except DataError as error:
            gaps.append(Gap(f"universality of {encoder.model}", "damaged", error.message))
            picture = None
        blocks += _figure(f"The languages beside their families, {encoder.model}", caption, [picture])
        caption = (
            "A point is a sentence. Left: languages or families; right: the same points, some groups of translations "
            "of one another in colour. Where the left shows clumps of one colour, language decides; where the right "
            "does, meaning. PCA keeps the two directions of largest variance, UMAP neighbourhoods."
        )
        pictures = [
            maps.sentence_map(f"universality-map-{number}-{place}", encoder.model, points, families, most)
            for place, points in enumerate(encoder.maps, start=1)
        ]
        blocks += _figure(f"Maps of sentences, {encoder.model}", caption, pictures)
    if len(found) > DETAILED:
        blocks.append(
            f"Figures of single encoders are drawn for the first {DETAILED}; the others are "
            f"{listing([encoder.model for encoder in found[DETAILED:]])}. Choose with --model which to draw."
        )
    return blocks


def _disparity(found: Sequence[Universality]) -> list[Block]:
    blocks: list[Block] = []
    table = tables.disparity_table(found)
    if table.rows:
        caption = (
            "A point per language. ρ is Spearman's rank correlation; the table has its interval. The worst languages "
            "of the first encoder are named where there is room."
        )
        pictures = figures.disparity_scatters(found[:DETAILED])
        blocks += _figure("What goes with how much text a language has, and how it is spelled", caption, pictures)
        blocks.append(table)
        high_low = tables.resources_table(found)
        blocks += [high_low] if high_low else []
    blocks += [sentence for sentence in _unspellable(found) if sentence]
    table = tables.spelling_table(found)
    return [*blocks, Details(table.caption, [table])] if table.rows else blocks


def _unspellable(found: Sequence[Universality]) -> list[str]:
    """The languages that tokenizers cannot spell; encoders with one tokenizer in one sentence."""
    by_languages: dict[tuple[str, ...], list[str]] = {}
    for encoder in found:
        if encoder.spelling:
            by_languages.setdefault(tuple(unspellable(encoder.spelling)), []).append(encoder.model)
    told = []
    for codes, models in by_languages.items():
        named = [f"{language(code).name} ({code})" if language(code).name != code else code for code in codes]
        what = "at least half of the pieces are unknown"
        if codes:
            told.append(f"The tokenizer of {listing(models)} cannot spell {listing(named)}: {what}.")
        else:
            told.append(f"The tokenizer of {listing(models)} can spell every language here: in none {what}.")
    return told
