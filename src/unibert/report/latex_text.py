r"""Any text as LaTeX in plain ASCII, for pdfLaTeX with `\usepackage[T1]{fontenc}` and nothing else.

Letters with accents are written as accents and letters, signs as commands. What the encoding T1 lacks (other scripts,
`ə`, `ɓ`) cannot be written: such a character is shown by its number in Unicode.
"""

from __future__ import annotations

import unicodedata

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    # `\\` at the end of a row takes a following * or [...] for its arguments.
    "*": "{*}",
    "[": "{[}",
    "]": "{]}",
}
_SIGNS = {
    "\N{MINUS SIGN}": "$-$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{PROPORTIONAL TO}": r"$\propto$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$",
    "\N{GREEK SMALL LETTER LAMDA}": r"$\lambda$",
    "\N{SUPERSCRIPT TWO}": "$^2$",
    "\N{DEGREE SIGN}": r"$^\circ$",
    "\N{EM DASH}": "---",
    "\N{EN DASH}": "--",
    "\N{LEFT DOUBLE QUOTATION MARK}": r"\textquotedblleft{}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": r"\textquotedblright{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "\N{MODIFIER LETTER TURNED COMMA}": r"\textquoteleft{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{SECTION SIGN}": r"\S{}",
    "\N{NO-BREAK SPACE}": "~",
}
_LETTERS = {
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "đ": r"\dj{}",
    "Đ": r"\DJ{}",
    "ð": r"\dh{}",
    "Ð": r"\DH{}",
    "þ": r"\th{}",
    "Þ": r"\TH{}",
    "ŋ": r"\ng{}",
    "Ŋ": r"\NG{}",
    "ı": r"\i{}",
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING OGONEK}": "k",
    "\N{COMBINING DOT BELOW}": "d",
    "\N{COMBINING MACRON BELOW}": "b",
    "\N{COMBINING COMMA BELOW}": "textcommabelow",
}


def latex_text(text: str) -> str:
    """The text as LaTeX on one line; a character that cannot be written is shown as `{[}U+4E2D{]}`."""
    written = ""
    for sign in _plain(text):
        piece = _sign(sign) or f"{{[}}U+{ord(sign):04X}{{]}}"
        # Two of these in a row would become a dash or a quotation mark.
        written += f"{{}}{piece}" if piece[0] in "-'," and written.endswith(piece[0]) else piece
    return written


def writable(text: str) -> bool:
    """Whether LaTeX can write every character of the text with the encoding T1."""
    return all(_sign(sign) for sign in _plain(text))


def _plain(text: str) -> str:
    """The text with its accents composed where they can be, control characters left out, spaces single."""
    lines = " ".join(part for part in text.replace("\N{NO-BREAK SPACE}", "\0").split())
    kept = (sign for sign in lines if sign == "\0" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))
    return unicodedata.normalize("NFC", "".join(kept)).replace("\0", "\N{NO-BREAK SPACE}")


def _sign(sign: str) -> str:
    """One character as LaTeX; empty where that is not possible."""
    for known in (_ESCAPED, _SIGNS, _LETTERS):
        if sign in known:
            return known[sign]
    if sign.isascii():
        return sign
    base, *marks = list(unicodedata.normalize("NFD", sign))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        # Accents above stand on an i and a j without their dots.
        above = unicodedata.combining(marks[0]) == 230
        letter = f"\\{base}" if above and base in "ij" else base
        return f"\\{_ACCENTS[marks[0]]}{{{letter}}}"
    return ""
