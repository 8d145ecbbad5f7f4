"""The languages' own names in their own scripts, and which of them the fonts of this system cannot draw.

Pages, Markdown and SVG hold letters, which the reader's system draws; a PNG holds what the fonts of the system that
wrote it could draw. Matplotlib brings DejaVu Sans (Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic); what it
lacks is looked for in the fonts of the system, and what these lack is told by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import ceil

from matplotlib.font_manager import FontEntry, fontManager, get_font

from unibert.languages import language
from unibert.report.theme import FONT, INK, SOFT, Picture, canvas, to_picture
from unibert.report.wording import listing, plural

_NAMES = {
    "Arab": "Arabic",
    "Armn": "Armenian",
    "Beng": "Bengali",
    "Cyrl": "Cyrillic",
    "Deva": "Devanagari",
    "Ethi": "Ethiopic",
    "Geor": "Georgian",
    "Grek": "Greek",
    "Gujr": "Gujarati",
    "Guru": "Gurmukhi",
    "Hani": "Chinese",
    "Hant": "Chinese",
    "Hebr": "Hebrew",
    "Jpan": "Japanese",
    "Khmr": "Khmer",
    "Knda": "Kannada",
    "Kore": "Korean",
    "Latn": "Latin",
    "Mlym": "Malayalam",
    "Mymr": "Burmese",
    "Orya": "Odia",
    "Sinh": "Sinhala",
    "Taml": "Tamil",
    "Telu": "Telugu",
    "Thaa": "Thaana",
}
_NO_FONTS = ("Last Resort",)
"""Fonts that draw a box for every character there is."""
_LINE, _COLUMN = 17.0, 256.0
"""Height of a line and width of a column in SVG units."""


@cache
def _characters() -> Mapping[str, frozenset[int]]:
    """Every font family at hand with the characters that it can draw, DejaVu Sans first, the others by name."""
    found: dict[str, frozenset[int]] = {}
    for entry in sorted(fontManager.ttflist, key=_upright_first):
        if not entry.name.startswith(_NO_FONTS) and entry.name not in found:
            found[entry.name] = frozenset(get_font(entry.fname).get_charmap())
    return found


def _upright_first(entry: FontEntry) -> tuple[bool, str, bool, int, str]:
    weight = entry.weight if isinstance(entry.weight, int) else 400
    return entry.name != FONT, entry.name, entry.style != "normal", abs(weight - 400), entry.fname


def fonts_for(texts: Iterable[str]) -> list[str]:
    """DejaVu Sans and as few more families as draw all characters of the texts that a font at hand has."""
    lacking = {ord(sign) for text in texts for sign in text} - _characters()[FONT]
    families = [FONT]
    while True:
        best = max(_characters(), key=lambda family: len(lacking & _characters()[family]))
        if not lacking & _characters()[best]:
            return families
        families.append(best)
        lacking -= _characters()[best]


def undrawable(texts: Mapping[str, str]) -> dict[str, str]:
    """The characters of each text that no font of this system has, each once; texts that are whole are left out."""
    drawn = frozenset().union(*_characters().values())
    lacking = {
        name: "".join(sign for sign in dict.fromkeys(text) if ord(sign) not in drawn and not sign.isspace())
        for name, text in texts.items()
    }
    return {name: signs for name, signs in lacking.items() if signs}


def fonts_sentence(codes: Sequence[str]) -> str:
    """Whose own names the fonts of this system can draw in PNG, in words; the languages that they cannot by name."""
    lacking = undrawable({code: language(code).native for code in codes})
    if not lacking:
        return f"The fonts here have the letters of {plural(len(codes), 'language')}: the PNG file shows them all."
    names = listing([f"{language(code).name} ({code})" for code in lacking])
    return (
        f"No font of the system that wrote this has all letters of {names}: the PNG file shows boxes for them. This "
        "page and the SVG file hold the letters themselves, which your own system draws."
    )


def script_name(code: str) -> str:
    """The name of a script by its ISO 15924 code: `Devanagari`; the code itself where it is not known."""
    return "unknown" if code == "Zyyy" else _NAMES.get(code, code)


def native_names(codes: Iterable[str]) -> Picture | None:
    """Every language with its code, its English name and its name in its own script, by script; None without any.

    What no font of this system can draw is a box in the PNG (see `fonts_sentence`), and letters in the SVG.
    """
    scripts: dict[str, list[str]] = defaultdict(list)
    for code in sorted(set(codes), key=lambda code: (language(code).name, code)):
        scripts[script_name(language(code).script)].append(code)
    if not scripts:
        return None
    # The script of most languages first; a heading never stands at a column's foot.
    lines: list[str | tuple[str]] = []
    ordered = dict(sorted(scripts.items(), key=lambda item: (-len(item[1]), item[0])))
    for script, members in ordered.items():
        if len(members) > 1:
            lines += [(f"{script}: {len(members)}",), *members]
    alone = [members[0] for members in ordered.values() if len(members) == 1]
    lines += [("One language to a script:",), *alone] if alone else []
    wide = len(lines) > 30
    columns = 4 if wide else 1
    length = max(ceil(len(lines) / columns), 1)
    dealt: list[list[str | tuple[str]]] = [[]]
    for position, line in enumerate(lines):
        is_last = len(dealt[-1]) >= length or (len(dealt[-1]) == length - 1 and isinstance(line, tuple))
        if is_last and position:
            dealt.append([])
        dealt[-1].append(line)
    height, width = _LINE * max(map(len, dealt)) + 10, max(_COLUMN * len(dealt), 340.0)
    natives = {code: language(code).native for found in scripts.values() for code in found}
    families = fonts_for(natives.values())
    with canvas(height, constrained=False, width=width) as (figure, axes):
        axes.set_position((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        for column, its in enumerate(dealt):
            for row, line in enumerate(its):
                left, middle = column * _COLUMN + 4, _LINE * row + 13
                if isinstance(line, tuple):
                    axes.text(left, middle, line[0], va="baseline", weight="bold", fontsize=10.5)
                    continue
                axes.text(left, middle, _shortened(language(line).name, line), fontsize=10, color=SOFT)
                # Text of right-to-left scripts, too, begins where the column does.
                axes.text(left + 136, middle, natives[line], fontsize=11, color=INK, fontfamily=families)
        told = ", ".join(f"{script} {len(found)}" for script, found in ordered.items())
        label = f"The own names of {plural(len(natives), 'language')} by script: {told}. The tables have them as text."
        return to_picture(figure, "scripts", label, wide=wide)


def _shortened(name: str, code: str) -> str:
    room = 20 - len(code)
    return f"{name if len(name) <= room else name[: room - 1] + '…'} ({code})"
