"""How numbers are written: the same way in every sentence, table and figure."""

from __future__ import annotations

import math

from unibert.languages import language

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"


def coded(code: str) -> str:
    """A language's code and name, as in headings: `de German`; the code alone where the name is not known."""
    name = language(code).name
    return code if name == code else f"{code} {name}"


def count(value: int) -> str:
    """A whole number with thousands apart: 12,345."""
    return f"{value:,}"


def decimal(value: float, digits: int = 2) -> str:
    """A number with a fixed count of decimals and a true minus sign; words where it is not finite."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """As `decimal`, with a plus sign above zero."""
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def percent(share: float, digits: int = 2) -> str:
    """A share from 0 to 1 as a percentage; what would round to nothing is shown as `< 0.01 %`."""
    smallest = 10**-digits
    if 0 < share * 100 < smallest / 2:
        return f"< {smallest:.{digits}f} %"
    return f"{decimal(share * 100, digits)} %"


def size(number_of_bytes: float) -> str:
    """Bytes in decimal units with three digits: 802 kB, 9.80 GB."""
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        # 999.5 would be written as 1,000: that is the next unit's 1.
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    if unit == "B":
        return f"{int(value)} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def millions(parameters: int) -> str:
    """A number of parameters: 18.93 M, 412.3 K."""
    if parameters >= 999_950:
        return f"{parameters / 1e6:.2f} M"
    return f"{parameters / 1e3:.1f} K" if parameters >= 1000 else str(parameters)


def milliseconds(seconds: float) -> str:
    """A time in milliseconds with three digits, without the unit: 1.23, 45.6, 789."""
    value = seconds * 1000
    return decimal(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def duration(seconds: float) -> str:
    """A time in its two largest units: 29 d 4 h, 2 h 13 min, 45.2 s."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, lower, lower_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            first, rest = divmod(whole, length)
            second = rest // lower_length
            return f"{first} {unit} {second} {lower}" if second else f"{first} {unit}"
    return f"{whole} s"


def plain_number(value: float, _: object = None) -> str:
    """A number on an axis, as short as it can be told; Matplotlib also hands over the tick's place."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", MINUS)
    return f"{value:,.6g}".replace("-", MINUS)


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def plural(number: int, singular: str, several: str = "") -> str:
    """A count with its noun: 1 seed, 3 seeds."""
    return f"{count(number)} {singular if number == 1 else several or singular + 's'}"
