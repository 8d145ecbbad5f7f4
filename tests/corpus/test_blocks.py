"""The blocks in real pipelines of datatrove."""

import json

import pyarrow.parquet as pq
import pytest
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.writers import ParquetWriter

from corpus_support import PROSE, articles, dump_xml, page_xml
from unibert.corpus.blocks import CleaningRules, WikipediaReader
from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus, Rules

CLEAN = "Der Fluss fließt durch die alte Stadt und mündet nach langer Reise in das Meer."


def run(pipeline, folder, tasks=1):
    """What a pipeline writes, in the order of its tasks; and datatrove's statistics by block."""
    writer = ParquetWriter(str(folder / "out"))
    executor = LocalPipelineExecutor([*pipeline, writer], tasks=tasks, workers=1, logging_dir=str(folder / "logs"))
    executor.run()
    documents = []
    for path in sorted((folder / "out").glob("*.parquet")):
        documents += pq.read_table(path).to_pylist()
    statistics = json.loads((folder / "logs" / "stats.json").read_text())
    # datatrove writes a bare number where nothing but the sum is of interest.
    totals = {
        block["name"]: {
            what: entry["total"] if isinstance(entry, dict) else entry for what, entry in block["stats"].items()
        }
        for block in statistics
    }
    return documents, totals


@pytest.fixture
def dump(write_dump):
    pages = [
        page_xml("Eins", f"{PROSE}\n\nZu kurz.\n== Kopf ==\n{PROSE}", 7),
        page_xml("Weiter", "#REDIRECT [[Eins]]", 8, redirect=True),
        page_xml("Kategorie:X", PROSE, 9, namespace=14),
        page_xml("Zwei", PROSE, 10),
    ]
    return write_dump(pages, "dewiki-test.xml.bz2")


def test_a_dump_becomes_documents(dump, tmp_path):
    documents, statistics = run([WikipediaReader(dump)], tmp_path)
    assert [document["id"] for document in documents] == [
        f"dewiki-test.xml.bz2/{place}" for place in ("7/0", "7/1", "7/2", "10/0")
    ]
    assert documents[2]["text"] == CLEAN
    assert documents[2]["metadata"] == {
        "title": "Eins", "page_id": 7, "section": "Kopf", "language": "de", "source": "dewiki-test.xml.bz2"
    }  # fmt: skip
    (reader,) = (stats for name, stats in statistics.items() if "Wikipedia" in name)
    assert reader == {
        "documents": 4, "pages": 2, "redirects": 1, "other_namespaces": 1, "empty_pages": 0
    }  # fmt: skip


def test_the_rules_change_and_drop_and_say_why(dump, tmp_path):
    dropped = ParquetWriter(str(tmp_path / "dropped"))
    documents, statistics = run([WikipediaReader(dump), CleaningRules(exclusion_writer=dropped)], tmp_path)
    assert [document["text"] for document in documents] == [CLEAN] * 3
    assert documents[0]["metadata"]["token_count"] == 16
    (gone,) = pq.read_table(tmp_path / "dropped").to_pylist()
    assert (gone["text"], gone["metadata"]["filter_reason"]) == ("Zu kurz.", "short")
    (rules,) = (stats for name, stats in statistics.items() if "Cleaning" in name)
    assert rules["dropped_short"] == 1
    all_of_them, _ = run([WikipediaReader(dump), CleaningRules(Rules(short=False))], tmp_path / "lenient")
    assert len(all_of_them) == 4


def test_tasks_share_the_slices_and_datatroves_own_blocks_go_with_them(tmp_path, write_dump):
    folder = tmp_path / "in"
    write_dump(articles(9000, f"{PROSE} " * 3), "dewiki-large.xml", folder)
    write_dump(articles(5), "ltgwiki-small.xml.bz2", folder)
    even = LambdaFilter(lambda document: document.metadata["page_id"] % 2 == 0)
    one, _ = run([WikipediaReader(folder, slice_mb=1), even, CleaningRules()], tmp_path / "one")
    three, _ = run([WikipediaReader(folder, slice_mb=1), even, CleaningRules()], tmp_path / "three", tasks=3)
    assert len(one) == 4502
    assert sorted(d["id"] for d in one) == sorted(d["id"] for d in three)
    assert len(list((tmp_path / "three" / "out").iterdir())) == 3


def test_the_blocks_make_the_same_samples_as_the_corpus_stage(dump, tmp_path):
    documents, _ = run([WikipediaReader([dump]), CleaningRules()], tmp_path)
    build_corpus(Corpus(dumps=[str(dump)], workers=1), tmp_path / "corpus", {})
    rows = pq.read_table(tmp_path / "corpus" / "de.parquet").to_pylist()
    assert [(d["text"], *(d["metadata"][key] for key in ("title", "page_id", "section"))) for d in documents] == [
        tuple(row[key] for key in ("text", "title", "page_id", "section")) for row in rows
    ]


def test_damage_is_logged_and_the_rest_is_read(tmp_path):
    path = tmp_path / "dewiki-cut.xml"
    xml = dump_xml(articles(9))
    path.write_text(xml[: xml.index("Nummer 6")], encoding="utf-8")
    documents, statistics = run([WikipediaReader(path)], tmp_path)
    assert len(documents) == 5
    (reader,) = (stats for name, stats in statistics.items() if "Wikipedia" in name)
    assert reader["damaged"] == 1
    assert "'Seite 5'" in next((tmp_path / "logs" / "logs").iterdir()).read_text()
