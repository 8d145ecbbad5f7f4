"""The paper's five cleaning rules, as pure functions, and their application in the paper's order.

Rules 1 and 4 change a text; rules 2, 3 and 5 keep or drop it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.entities import html5
from typing import NamedTuple

from unibert.corpus.templates import TAG_NAMES
from unibert.recipe import Rules

RULE_NAMES = ("html", "links_only", "digits", "hidden_characters", "short")
"""The rules in the paper's order, as they are called in the recipe and in the statistics."""


class Cleaned(NamedTuple):
    """What the rules made of one text."""

    text: str | None
    """The clean text; None if a rule dropped it."""
    dropped_by: str | None
    """The rule that dropped it."""
    changed: tuple[str, ...]
    """The rules that changed it, in order."""
    tokens: int
    """Tokens of the clean text, by the counter; 0 for a dropped one."""
    reached: str
    """The text as the rules left it, a dropped one too."""


def apply_rules(text: str, rules: Rules, count_tokens: Callable[[str], int]) -> Cleaned:
    """Apply the rules that are switched on, in the paper's order.

    A text of which a changing rule leaves nothing is dropped by that rule.

    Args:
        text: one sample.
        rules: which rules, and their bounds.
        count_tokens: the token counter of rule 5.
    """
    changed: list[str] = []
    if rules.html:
        cleaned = remove_html(text)
        if cleaned != text:
            changed.append("html")
            text = cleaned
        if not text:
            return Cleaned(None, "html", tuple(changed), 0, text)
    if rules.links_only and has_only_links(text):
        return Cleaned(None, "links_only", tuple(changed), 0, text)
    if rules.digits and has_too_many_digits(text, rules.max_digit_share):
        return Cleaned(None, "digits", tuple(changed), 0, text)
    if rules.hidden_characters:
        cleaned = remove_hidden_characters(text)
        if cleaned != text:
            changed.append("hidden_characters")
            text = cleaned
        if not text:
            return Cleaned(None, "hidden_characters", tuple(changed), 0, text)
    tokens = count_tokens(text)
    if rules.short and is_too_short(tokens, rules.min_tokens):
        return Cleaned(None, "short", tuple(changed), 0, text)
    return Cleaned(text, None, tuple(changed), tokens, text)


# --- rule 1 ---

_ENTITY = re.compile(r"&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ARTEFACT = re.compile(
    rf"</?(?:{'|'.join(TAG_NAMES)})(?:\s[^<>]*|/)?/?>"
    r"|<!--[^<>]{0,2000}-->|<!--|-->"
    r"|\b(?:style|class|align|valign|width|height|colspan|rowspan|bgcolor|cellpadding|cellspacing)[ ]?=[ ]?"
    r"(?:\"[^\"<>]{0,200}\"|'[^'<>]{0,200}')",
    re.IGNORECASE,
)
_SPACES = re.compile(r"[ \t\u00a0]{2,}|[\t\u00a0]")
_ROUNDS = 8


def remove_html(text: str) -> str:
    """Rule 1, "remove HTML artefacts with a simple regular expression".

    Tags that HTML and MediaWiki know, comments and layout attributes go; entities become the character they stand
    for, because dropping them would break words (`AT&amp;T`). An unknown name between `&` and `;`, and an unknown word
    between angle brackets, are the author's and stay. Decoding can uncover a tag (`&lt;br&gt;`): both steps are
    repeated until nothing changes, eight times at most.
    """
    if "<" not in text and "&" not in text and "-->" not in text and "=" not in text:
        return text
    before = text
    for _ in range(_ROUNDS):
        decoded = _ENTITY.sub(_decode, text)
        cleaned = _ARTEFACT.sub(_replace_artefact, decoded)
        if cleaned == text:
            break
        text = cleaned
    return before if text == before else _SPACES.sub(" ", text).strip()


def _decode(match: re.Match[str]) -> str:
    name = match[1]
    if name[0] != "#" and f"{name};" not in html5:
        return match[0]
    return html.unescape(f"&{name};")


def _replace_artefact(match: re.Match[str]) -> str:
    # A line break or a block separates words; a tag inside a word does not.
    return " " if re.match(r"</?(?:br|p|div|li|td|tr|th|h[1-6])\b", match[0], re.IGNORECASE) else ""


# --- rule 2 ---

_LINK = re.compile(
    r"(?:https?|ftps?)://\S+|www\.\S+|mailto:\S+"
    r"|(?:e-?)?ISBN(?:[- ]?1[03])?[\s:=]*(?:[0-9][\s\u2010-\u2013-]?){9,12}[0-9X]"
    r"|\b97[89][\s\u2010-\u2013-]?(?:[0-9][\s\u2010-\u2013-]?){9}[0-9]\b",
    re.IGNORECASE,
)


def has_only_links(text: str) -> bool:
    """Rule 2, "drop samples that contain only URLs or ISBNs": nothing but those, space and punctuation."""
    if not any(sign in text for sign in ("://", "www.", "WWW.", "mailto:", "97")) and "isbn" not in text.lower():
        return False
    if not _LINK.search(text):
        return False
    return not any(map(str.isalnum, _LINK.sub(" ", text)))


# --- rule 3 ---

_DIGITS = re.compile(r"\d+")


def digit_share(text: str) -> float:
    """Decimal digits of any script as a share of the text's characters, spaces included; 0 for an empty text."""
    return sum(map(len, _DIGITS.findall(text))) / len(text) if text else 0.0


def has_too_many_digits(text: str, max_share: float = 0.7) -> bool:
    """Rule 3, "drop samples whose digits are more than 70 % of the text's length"."""
    return digit_share(text) > max_share


# --- rule 4 ---

# Written with their numbers: characters that cannot be seen cannot be reviewed either.
_CONTROL_SPACES = "\\t\\n\\x0b\\x0c\\r\\x1c-\\x1f\\x85\\u2028\\u2029"
_HIDDEN = (
    "\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f"  # controls that are not space (Cc)
    "\\xad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u206f"  # format (Cf)
    "\\ufeff\\ufff9-\\ufffb\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0001\\U000e0020-\\U000e007f"
    "\\u034f\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef"  # grapheme joiner and variation selectors: zero-width marks
    "\\ud800-\\udfff"  # half of a surrogate pair is no character at all
)
# Arabic, Syriac, Thaana, N'Ko, Mandaic; the scripts of India, Tibetan, Burmese; Khmer, Mongolian; Arabic forms.
_JOINING = (
    "\\u0600-\\u08ff\\u0900-\\u0dff\\u0f00-\\u109f\\u1780-\\u18af"
    "\\ua840-\\ua87f\\ua8e0-\\ua8ff\\ufb50-\\ufdff\\ufe70-\\ufefc"
)
# What `str.isprintable` does not tell: marks are printable, and so is the ordinary space.
_HIDDEN_MARK = re.compile("[\\u034f\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef]")
_HIDDEN_RUN = re.compile(f"(?<=[{_JOINING}])([\\u200c\\u200d])[\\u200c\\u200d]*|[{_HIDDEN}]|[{_CONTROL_SPACES}]+")


def remove_hidden_characters(text: str) -> str:
    """Rule 4, "remove hidden (zero-width, control, format) characters".

    A deliberate reading of the paper: the zero-width joiner and non-joiner (U+200D, U+200C) stay after a letter or
    mark of a script in which they change how a word is spelled - Persian and its neighbours, the scripts of India,
    Sinhala, Burmese, Khmer, Mongolian - and go everywhere else, emoji included. Removing them there would misspell
    words (Persian "mi-khaham") and merge letters (old Malayalam chillus). Format characters that are visible, such as
    the Arabic end of ayah (U+06DD), are not hidden and stay. Tabs, line breaks and other control characters that mean
    space become one space.
    """
    if text.isprintable() and (text.isascii() or not _HIDDEN_MARK.search(text)):
        return text
    cleaned = _HIDDEN_RUN.sub(_replace_hidden, text)
    return text if cleaned == text else _SPACES.sub(" ", cleaned).strip()


def _replace_hidden(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    return " " if match[0][0].isspace() else ""


# --- rule 5 ---


def is_too_short(tokens: int, min_tokens: int = 5) -> bool:
    """Rule 5, "drop samples with fewer than five mBERT tokens".

    Special tokens do not count. Which tokens are counted is the token counter's affair: those of the recipe's
    tokenizer, or words and punctuation marks where there is none.
    """
    return tokens < min_tokens
