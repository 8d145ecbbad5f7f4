"""Which pages of a language are kept out of training: by a hash of the page, so that no page is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

_HASHES = 1 << 64

Row = tuple[str, int, str]
"""(source, page_id, text) of a sample."""


class PageHash:
    """A pseudo-random number below 2**64 for every page of a language.

    A page is (source, page_id). Plain text has no pages (page_id 0): there every different text is one, so that a
    repeated line is on one side only.
    """

    def __init__(self, language: str, seed: int) -> None:
        self._start = hashlib.blake2b(f"{seed}\0{language}\0".encode(), digest_size=8)
        self._page: tuple[str, int] | None = None
        self._value = 0

    def of(self, source: str, page_id: int, text: str) -> int:
        """The number of the page that this sample belongs to."""
        if page_id and self._page == (source, page_id):  # the paragraphs of a page follow one another
            return self._value
        digest = self._start.copy()
        digest.update(f"{page_id}\0{source if page_id else text}".encode(errors="surrogatepass"))
        self._page, self._value = (source, page_id), int.from_bytes(digest.digest(), "little")
        return self._value


@dataclass
class HeldOut:
    """The pages kept out, and their samples in the order of the corpus."""

    pages: frozenset[int] = frozenset()
    rows: list[int] = field(default_factory=list)
    """Numbers of all rows of these pages, ascending, from 0."""
    texts: list[str] = field(default_factory=list)


def choose_held_out(rows: Iterable[Row], page_hash: PageHash, share: float, most: int) -> HeldOut:
    """Choose the pages to keep out, in one pass and with memory for `most` samples.

    Pages are taken in the order of their hash while the hash is below share * 2**64 and their samples together are
    at most `most`. Of two or more pages the first in that order is always taken (cut to `most` samples; the rest of it
    goes to neither side) and the last one never; of a single page, and with share 0, nothing is taken.

    The result does not depend on the order of the rows, but for the order of the texts.
    """
    if share <= 0:
        return HeldOut()
    limit = int(share * _HASHES)
    kept: dict[int, list[tuple[int, str]]] = {}
    rows_of: dict[int, list[int]] = {}
    total = 0
    smallest, largest = _HASHES, -1
    for number, (source, page_id, text) in enumerate(rows):
        page = page_hash.of(source, page_id, text)
        smallest, largest = min(smallest, page), max(largest, page)
        if page >= limit and page > smallest:
            continue
        # A page that is dropped below never comes back, so a page that is kept has all its rows here.
        samples = kept.setdefault(page, [])
        rows_of.setdefault(page, []).append(number)
        if len(samples) < most:
            samples.append((number, text))
            total += 1
        while len(kept) > 1 and (total > most or max(kept) >= limit):
            last = max(kept)
            total -= len(kept.pop(last))
            del rows_of[last]
            limit = min(limit, last)
    kept.pop(largest, None)
    ordered = sorted(sample for samples in kept.values() for sample in samples)
    numbers = sorted(number for page in kept for number in rows_of[page])
    return HeldOut(frozenset(kept), numbers, [text for _, text in ordered])
