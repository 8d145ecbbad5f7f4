"""Templates that stand for words of the sentence they are in, and the words that they show.

What a template shows is written on another page, which a converter does not read. Most templates are boxes, notes and
references and are no loss. The ones here stand inside sentences: they dress a word, give a measure, a date or a
character, quote, or link to a page that only exists in another language. Each is here because real pages lose words
without it. A name means the same on every wiki that has it, with few exceptions that do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

LONGEST = 4_000
"""Characters of source: longer templates are never spelled out."""

Speller = Callable[[Sequence[str], Mapping[str, str]], str]
"""Arguments by place, arguments by name -> what is shown."""


def speller(name: str) -> Speller | None:
    """How a template is spelled out; None if it shows nothing.

    Args:
        name: of the template, in lower case, with spaces for underscores.
    """
    found = _SPELLERS.get(name)
    return _first if found is None and _LABELLED.match(name) else found


def _first(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    return arguments[0] if arguments else ""


def _last(arguments: Sequence[str], named: Mapping[str, str]) -> str:
    shown = named.get("texte") or named.get("text")
    return shown or (arguments[-1] if arguments else "")


def _second(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    return arguments[1] if len(arguments) > 1 else ""


def _prefixed_unit(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    """Number, prefix, unit: 5 kPa."""
    number = _first(arguments, {})
    return f"{number} {''.join(arguments[1:3])}".strip() if number[-1:].isdigit() else ""


def _joined(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    return "".join(arguments)


def _french_date(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    """Day, month, year; the first of a month is written 1er."""
    parts = list(arguments[:3])
    if parts[:1] == ["1"] and parts[1:2] not in ([], [""]):
        parts[0] = "1er"
    return " ".join(part for part in parts if part)


def _height(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    return f"{arguments[0]} m" if arguments else ""


def _measure(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    if not arguments or not any(map(str.isdigit, arguments[0])):
        return ""
    if arguments[2:3] in (["2"], ["3"]):
        # French: a square or a cube.
        return f"{arguments[0]} {arguments[1]}{arguments[2]}"
    return " ".join(arguments[: 4 if len(arguments) > 3 and arguments[1] in _RANGE else 2])


def _hour(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    return " ".join((_first(arguments, {}), "h", *arguments[1:2]))


def _fraction(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    if len(arguments) > 2:
        return f"{arguments[0]} {arguments[1]}/{arguments[2]}"
    return f"{arguments[0]}/{arguments[1]}" if len(arguments) == 2 else f"1/{_first(arguments, {})}"


def _as_of(arguments: Sequence[str], named: Mapping[str, str]) -> str:
    if alternative := named.get("alt"):
        return alternative
    year, month, day = [*arguments, "", "", ""][:3]
    word = "since" if named.get("since") else "as of"
    date = (day, _MONTHS.get(month.lstrip("0"), month), year)
    return " ".join(part for part in (word if named.get("lc") else word.capitalize(), *date) if part)


def _quote(arguments: Sequence[str], named: Mapping[str, str]) -> str:
    text = next((named[key] for key in ("text", "quote", "testo", "texte", "zitat", "текст") if named.get(key)), "")
    return _NEW_LINE.sub(" ", text or _first(arguments, named))


def _quote_of_words(arguments: Sequence[str], named: Mapping[str, str]) -> str:
    """A quotation by a name so short that it stands for a single word, a number or a place elsewhere."""
    text = _quote(arguments, named)
    return text if " " in text else ""


def _link_with_label(arguments: Sequence[str], named: Mapping[str, str]) -> str:
    """Title here, language, title there; in the older order the language comes first."""
    shown = next((named[key] for key in ("lt", "texte", "label", "display") if named.get(key)), "")
    here = arguments[1:2] if arguments and _CODE.fullmatch(arguments[0]) else arguments[:1]
    return shown or "".join(here) or named.get("fr", "")


def _link_to_other_language(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    """The page's title comes first; what is shown instead, if anything, second, unless that is a language."""
    if len(arguments) > 1 and arguments[1] and not _CODE.fullmatch(arguments[1]):
        return arguments[1]
    return _first(arguments, {})


def _link_from_language(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    """Language, title there, title here, what is shown instead."""
    return _last([argument for argument in arguments[2:] if argument] or arguments[1:], {})


def _third_or_first(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    """Title here, title there, what is shown instead."""
    return arguments[2] if len(arguments) > 2 and arguments[2] else _first(arguments, {})


def _after(word: str) -> Speller:
    return lambda arguments, _: f"{word} {arguments[0]}" if arguments else ""


def _french_century(arguments: Sequence[str], _: Mapping[str, str]) -> str:
    numeral = _first(arguments, {})
    ending = "er" if numeral == "I" else "e"
    return f"{numeral}{ending} siècle" if _ROMAN.fullmatch(numeral) else ""


def _character(text: str) -> Speller:
    return lambda arguments, named: text


_RANGE = frozenset(("to", "and", "or", "by", "x", "-", "–", "à", "et", "ou", "till", "a", "bis"))
_MONTHS = dict(
    zip(
        map(str, range(1, 13)),
        "January February March April May June July August September October November December".split(),
        strict=True,
    )
)
_NEW_LINE = re.compile(r"\n[\s*#:;]*")
_ROMAN = re.compile("[IVXLC]+")
_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
# lang-de and its kin, Finnish k-de, Latgalian vol-de, Chinese link-de; script/Arabic.
_LABELLED = re.compile(r"(?:lang|k|vol|link)-[a-z]{2,3}(?:-[a-z]+)?$|script/")

_GROUPS: list[tuple[Speller, str]] = [
    (
        _first,
        # dress
        "nowrap nobr nobreak nwr lnobr small big smaller larger large sc smallcaps smcaps abbr tooltip dfn wg boja "
        "unicode linktext mvar math angbr vr sup sub overline vanchor iast polytonic "
        # a word in another language
        "nihongo ألمانية إنجليزية فرنسية "
        # doubts that a passage is marked with; without an argument they show nothing
        "cn citazione_necessaria chiarire senza_fonte fakt référence_nécessaire référence_souhaitée incise "
        # a number
        "val formatnum szám fmtn formnum num ta",
    ),
    (_second, "langx"),
    (_last, "lang langue lang2 transl transliteration script rtl-lang llang קישור_שפה"),
    (_measure, "convert cvt unité unite nb nombre unidad unità conversie tmp"),
    (_height, "höhe"),
    (_hour, "heure"),
    (_prefixed_unit, "m"),
    (_joined, "chem"),
    (_french_date, "date date-"),
    (_fraction, "frac sfrac fraction"),
    (_as_of, "as_of asof"),
    (
        _quote,
        'quote quotation cquote bquote blockquote " zitat citation citat citát citazione цитата quote_box '
        "citation_bloc aside",
    ),
    (_quote_of_words, "q"),
    (_link_with_label, "ill illm ilc lien 仮リンク"),
    (_link_to_other_language, "нп нп2 нп3 нп4 нп5 iw не_переведено не_переведено_5 не_перекладено"),
    (_link_from_language, "tsl internal_link_helper llink"),
    (_third_or_first, "le lj lk lf lg ld"),
    (_after("segle"), "segle"),
    (_after("século"), "séc século"),
    (_after("c."), "circa"),
    (_french_century, "s s-"),
]

_CHARACTERS = {
    "nbsp": " ", "space": " ", "spaces": " ", "esd": " ", "esp": " ", "سخ": " ", "ש": " ", "br": " ", "-": " ",
    "·": " ·", "•": " •", "dot": " ·", "ndash": "–", "en dash": "–", "snd": " – ", "spnd": " – ",
    "spaced ndash": " – ", "mdash": "—", "mdashb": "—", "em dash": "—", "spaced mdash": " — ", "–": "–", "—": "—",
    "'": "'", "' \"": "' \"", "\" '": "\" '", "=": "=", "'s": "'s", ",": ",", "shy": "\u00ad", "zwnj": "\u200c",
    "zwj": "\u200d", "ה": "ה", "ier": "Ier", "ire": "Ire", "er": "er", "lord": "LORD", "tex": "TeX", "latex": "LaTeX",
    "m s.l.m.": "m s.l.m.", "eqm": "⇌", "c++": "C++", "sic": "[sic]",
}  # fmt: skip

_SPELLERS: dict[str, Speller] = {name.replace("_", " "): how for how, names in _GROUPS for name in names.split()} | {
    name: _character(text) for name, text in _CHARACTERS.items()
}
