"""Blocks for datatrove pipelines of your own: a reader of Wikipedia dumps and the paper's cleaning rules.

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.writers import ParquetWriter
    from unibert.corpus.blocks import CleaningRules, WikipediaReader

    LocalPipelineExecutor(
        [WikipediaReader("dumps/dewiki-*.bz2"), CleaningRules(), ParquetWriter("clean")], tasks=8, logging_dir="logs"
    ).run()

The corpus stage itself (`pipeline.py`) does not go through them: it needs no `Document` per paragraph, and it leaves
finished parts behind where datatrove leaves marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from loguru import logger

from unibert.corpus.clean import apply_rules
from unibert.corpus.counting import token_counter
from unibert.corpus.slices import Slice, plan_slices
from unibert.corpus.sources import DumpSource, dump_files
from unibert.corpus.statistics import empty_counts
from unibert.languages import language_of_file
from unibert.recipe import Rules


class WikipediaReader(PipelineStep):
    """Reads dumps: one document per paragraph of an article, before any cleaning rule.

    A document's id is `FILE/PAGE_ID/N`, N counting the paragraphs of its page; its metadata are title, page_id,
    section, language (by the file's name) and source (the file's name). Damage in a dump goes into the log and the
    statistics (`damaged`); what can be read is read.

    Args:
        dumps: files, folders or globs.
        slice_mb: large files are shared among the tasks in slices of about this many MB.
    """

    type = "📖 - READER"
    name = "🌐 Wikipedia dumps"

    def __init__(self, dumps: str | Path | Sequence[str | Path], slice_mb: int = 64) -> None:
        super().__init__()
        self.dumps = [dumps] if isinstance(dumps, str | Path) else list(dumps)
        self.slice_mb = slice_mb

    def run(self, data: Iterator[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents of every `world_size`-th slice, from number `rank`; after those that come in."""
        if data:
            yield from data
        slices = [
            (path, part) for path in dump_files(self.dumps) for part in plan_slices(path, self.slice_mb * 1_000_000)
        ]
        for path, part in slices[rank::world_size]:
            yield from self._read(path, part)

    def _read(self, path: Path, part: Slice) -> Iterator[Document]:
        language, counts = language_of_file(path), empty_counts()
        source = DumpSource(path, part, counts)
        page, number = 0, 0
        for sample in source:
            page, number = sample.page_id, number + 1 if sample.page_id == page else 0
            self.stat_update("documents")
            metadata: dict[str, Any] = {
                "title": sample.title,
                "page_id": sample.page_id,
                "section": sample.section,
                "language": language,
                "source": path.name,
            }
            yield Document(sample.text, f"{path.name}/{sample.page_id}/{number}", metadata=metadata)
        for what in ("pages", "redirects", "other_namespaces", "empty_pages"):
            self.stat_update(what, value=counts[what])
        if source.damage:
            self.stat_update("damaged")
            logger.warning(source.damage)


class CleaningRules(BaseFilter):
    """The paper's five rules: changes the text of a document, or drops it for the reason of the rule's name.

    Args:
        rules: which of them, and their bounds.
        tokenizer: counts the tokens of the rule about short samples; words and punctuation marks when None.
        exclusion_writer: datatrove's, for what is dropped.
    """

    name = "🧹 Cleaning rules"

    def __init__(self, rules: Rules | None = None, tokenizer: str | None = None, exclusion_writer: Any = None) -> None:
        super().__init__(exclusion_writer)
        self.rules = rules or Rules()
        self.tokenizer = tokenizer
        self._count_tokens: Any = None  # made in the process that filters

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """Whether to keep the document, whose text becomes the clean one."""
        if self._count_tokens is None:
            self._count_tokens = token_counter(self.tokenizer)
        cleaned = apply_rules(doc.text, self.rules, self._count_tokens)
        for rule in cleaned.changed:
            self.stat_update(f"changed_{rule}")
        if cleaned.text is None:
            return False, str(cleaned.dropped_by)
        doc.text = cleaned.text
        doc.metadata["token_count"] = cleaned.tokens
        return True
