"""Matplotlib figures as SVG that follows the page: its colours are CSS variables, its letters are text; and as PNG.

A figure is drawn with the colours of the light theme; each of them is then replaced by `var(--name, colour)`, which
the page sets for light and dark, and which a stand-alone file sets for itself. The palette begins with Okabe and Ito's
blue and vermilion; green and purple are chosen so that people with any common colour-blindness can tell all four apart,
by their lightness too. Lines also differ in their dashes and points in their shapes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# name: (light, dark). No two light colours may be equal: they are how the variables are found again.
COLOURS = {
    "figure-ink": ("#1f2a37", "#e5e9f0"),
    "figure-soft": ("#586474", "#a9b4c2"),
    "figure-grid": ("#dfe3e8", "#2f3945"),
    "figure-paper": ("#fefefe", "#171c23"),
    "series-1": ("#0072b2", "#56b4e9"),
    "series-2": ("#d55e00", "#e69f00"),
    "series-3": ("#285135", "#368c4d"),
    "series-4": ("#9e6080", "#df3bae"),
    "series-5": ("#d827ff", "#d8ff76"),
    "series-6": ("#760062", "#ffc49d"),
    "series-7": ("#1414ff", "#00ffeb"),
    "series-8": ("#4e149d", "#624eff"),
}
INK, SOFT, GRID, PAPER = (COLOURS[name][0] for name in ("figure-ink", "figure-soft", "figure-grid", "figure-paper"))
SERIES = tuple(COLOURS[f"series-{number}"][0] for number in (1, 2, 3, 4))
GROUPS = tuple(COLOURS[f"series-{number}"][0] for number in range(1, 9))
"""Of clouds of points, which have no dashes: eight colours, still apart from one another to everybody."""

WIDTH = 340.0
"""Width of a panel in SVG units; on a page it is 300 to 480 pixels wide, so that type stays between 9 and 15 pixels."""

FONT = "DejaVu Sans"
"""What PNGs are lettered in and text is measured by; it comes with Matplotlib."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and no glyph can be missing from a file
    "svg.hashsalt": "unibert",
    "text.parse_math": False,  # a model called a_$b is a name, not a formula
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Picture:
    """One SVG: `name` is its file name and the prefix of its ids, `label` says in words what it shows."""

    name: str
    label: str
    inline: str
    wide: bool = False
    """Needs more than a telephone's width: the page lets it scroll sideways within its frame."""
    figure: Figure | None = field(default=None, repr=False, compare=False)
    """What it was drawn from, for `png`; None in a picture that is SVG only."""

    def png(self) -> bytes:
        """The picture in the light theme with two pixels to an SVG unit, for programs that take no SVG.

        Letters are DejaVu Sans, which comes with Matplotlib; other scripts are drawn where a font of the system has
        them (see `report.scripts`). It is drawn when it is asked for.

        Raises:
            ValueError: the picture was not made by `to_picture`.
        """
        if self.figure is None:
            raise ValueError(f"picture {self.name}: there is no figure to draw a PNG from")
        stream = io.BytesIO()
        with matplotlib.rc_context(_STYLE), _missing_letters_known():
            FigureCanvasAgg(self.figure)
            try:
                # No version of the software in the file: the same run gives the same bytes.
                self.figure.savefig(stream, format="png", dpi=144, facecolor=PAPER, metadata={"Software": None})
            finally:
                FigureCanvasSVG(self.figure)
        return stream.getvalue()

    @property
    def file(self) -> str:
        """The SVG as a file of its own, with a ground and both themes."""
        light = ";".join(f"--{name}:{pair[0]}" for name, pair in COLOURS.items())
        dark = ";".join(f"--{name}:{pair[1]}" for name, pair in COLOURS.items())
        style = (
            f"<style>svg{{{light};background:var(--figure-paper)}}"
            f"@media (prefers-color-scheme: dark){{svg{{{dark}}}}}</style>"
        )
        head, tag, rest = self.inline.partition(">")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{tag}\n{style}{rest}\n'


@contextmanager
def _missing_letters_known() -> Iterator[None]:
    """Matplotlib does not warn of letters that no font here has: SVG needs none, and `report.scripts` tells of PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        yield


@contextmanager
def canvas(height: float, constrained: bool = True, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A figure of `width` x `height` SVG units with one set of axes, in the report's style.

    `constrained`: the axes make room for labels and legends by themselves; otherwise the caller places them.
    Settings of Matplotlib outside the block are left as they were, and pyplot is not touched.
    """
    with matplotlib.rc_context(_STYLE):
        layout: Literal["constrained"] | None = "constrained" if constrained else None
        figure = Figure(figsize=(width / 72, height / 72), layout=layout)
        FigureCanvasSVG(figure)
        yield figure, figure.subplots()


def shortened(text: str, room: int) -> str:
    """The text in at most `room` letters, its middle left out: names often differ at both ends."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def legend_columns(labels: Sequence[str], width: float = WIDTH, beside: float = 34) -> int:
    """In how many columns the legend fits into `width` SVG units, as Matplotlib fills them: one after the other.

    Letters are about 6 units wide; `beside` a label are its sign and the gap to its neighbour.
    """
    for columns in range(len(labels), 1, -1):
        long, shorter = divmod(len(labels), columns)
        starts = [column * long + min(column, shorter) for column in range(columns + 1)]
        taken = sum(max(len(label) for label in labels[a:b]) * 6.0 + beside for a, b in pairwise(starts))
        if taken <= width:
            return columns
    return 1


def to_picture(figure: Figure, name: str, label: str, wide: bool = False) -> Picture:
    """Draw `figure` (inside its `canvas` block) and give it the page's colours and ids of its own."""
    stream = io.StringIO()
    # Nothing but drawing: no date (the same run gives the same file), no creator.
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with _missing_letters_known():
        figure.savefig(stream, format="svg", metadata=nothing)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # Its one style rule is for `*`, which on a page would be everything; the root hands the same down to its own.
    svg = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", "", svg)
    for variable, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{variable}, {light})")
    # Several figures share a page, so ids get the figure's name in front.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    # Widths come from the page; letters come from the reader's system.
    svg = re.sub(r"(font(?:-family)?: [^;\"']*)'DejaVu Sans'[^;\"]*", r"\1system-ui, 'DejaVu Sans', sans-serif", svg)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    head = re.match(r"<svg [^>]*>", svg)
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert head and box  # matplotlib always writes both
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" '
        f'stroke-linejoin="round" stroke-linecap="butt" role="img" aria-label="{escape(label)}">'
    )
    return Picture(name, label, opening + svg[head.end() :], wide, figure)
