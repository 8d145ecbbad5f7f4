"""Benchmarks of the hub: against a hub on loopback, in processes of their own."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_hub_support import CONVERTED, data_hub

SCRIPT = """
import sys
from unibert.benchmark.loading import load_data
from unibert.errors import DataError
from unibert.task_settings import BenchmarkData
try:
    name, hub, languages = (sys.argv[1:] + ["", ""])[:3]
    data = load_data(name, BenchmarkData(hub=hub or None, languages=languages.split() or None))
    for language, splits in data.languages.items():
        for split in splits.parts:
            print(language, split.source, len(split.samples), len(split.sha256))
except DataError as error:
    print(error)
"""


def table(*rows):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue().to_pybytes()


PAIR = {"premise": "Ana sings.", "hypothesis": "Someone sings.", "label": 0}
QUESTION = {"id": "7", "context": "Ana sings.", "question": "Who?", "answers": {"text": ["Ana"], "answer_start": [0]}}
XNLI = {"README.md": b"card", "en/test-00000-of-00001.parquet": table(PAIR)} | {
    # Files of the same content would be downloaded once.
    f"{language}/train-0000{shard}-of-00002.parquet": table(PAIR, PAIR | {"premise": f"{language} {shard}"})
    for language in ("de", "en")
    for shard in (0, 1)
}
MAPA = b"".join(
    b'{"language": "%s", "tokens": ["a"], "coarse_grained": ["B-DATE"], "fine_grained": ["O"]}\n' % code
    for code in (b"de", b"fr", b"de")
)
DATASETS = {
    "facebook/xnli": {"main": XNLI},
    "facebook/mlqa": {
        "main": {"mlqa.py": b"a script"},
        CONVERTED: {"mlqa.de.de/test/0000.parquet": table(QUESTION), "mlqa.de.en/test/0000.parquet": table(QUESTION)},
    },
    "joelniklaus/mapa": {"main": {"train.jsonl": MAPA}},
    "owner/other": {"main": {"data.csv": b"a"}, "v2": XNLI},
    "owner/empty": {"main": {}},
}


@pytest.fixture
def hub():
    with data_hub(DATASETS) as server:
        yield server


@pytest.fixture
def ask(tmp_path):
    """In a process of its own: the hub's address is read when its library is imported."""

    def run(server, *arguments, **environment):
        address = server.address if server else "http://127.0.0.1:9"
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
        }
        kept |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", **environment}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], env=kept, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


GERMAN = "de hub:facebook/xnli/de/train-00000-of-00002.parquet and 1 more 4 64"
ENGLISH = [
    "en hub:facebook/xnli/en/train-00000-of-00002.parquet and 1 more 4 64",
    "en hub:facebook/xnli/en/test-00000-of-00001.parquet 1 64",
]


def test_a_known_benchmark_is_downloaded_once(hub, ask):
    assert ask(hub, "xnli") == [GERMAN, *ENGLISH]
    assert sorted(hub.downloads) == sorted(set(XNLI) - {"README.md"})
    hub.asked.clear()
    assert ask(hub, "xnli") == [GERMAN, *ENGLISH]
    assert hub.downloads == []


def test_only_the_languages_that_are_asked_for_are_downloaded(hub, ask):
    assert ask(hub, "xnli", "", "de") == [GERMAN]
    assert all(path.startswith("de/") for path in hub.downloads)


def test_without_a_network_the_cache_is_used(hub, ask):
    ask(hub, "xnli", "", "de")
    assert ask(None, "xnli", "", "de", HF_HUB_OFFLINE="1") == [GERMAN]
    problem, fix = ask(None, "xnli", "", "en", HF_HUB_OFFLINE="1")
    assert problem.startswith("facebook/xnli: en/test-00000-of-00001.parquet is not in the cache")
    problem, fix = ask(None, "mlqa", HF_HUB_OFFLINE="1")
    assert problem.startswith("facebook/mlqa: not in the cache of the Hugging Face hub, which cannot be reached (")
    assert "network" in fix


def test_of_a_cut_off_download_what_is_there_is_kept(hub, ask):
    cut = XNLI["en/test-00000-of-00001.parquet"]
    hub.datasets = DATASETS | {"facebook/xnli": {"main": XNLI | {"en/test-00000-of-00001.parquet": None}}}
    problem, fix = ask(hub, "xnli")
    assert problem.startswith("facebook/xnli: cannot be downloaded")
    assert "what was downloaded is kept" in fix
    hub.datasets["facebook/xnli"]["main"]["en/test-00000-of-00001.parquet"] = cut
    hub.asked.clear()
    assert ask(hub, "xnli") == [GERMAN, *ENGLISH]
    assert hub.downloads == ["en/test-00000-of-00001.parquet"]


def test_of_a_loading_script_the_hub_s_own_conversion_is_read(hub, ask):
    assert ask(hub, "mlqa") == ["de hub:facebook/mlqa/mlqa.de.de/test/0000.parquet 1 64"]
    assert hub.downloads == ["mlqa.de.de/test/0000.parquet"]


def test_a_file_of_many_languages(hub, ask):
    source = "hub:joelniklaus/mapa/train.jsonl"
    assert ask(hub, "mapa") == [f"de {source} 2 64", f"fr {source} 1 64"]


def test_another_data_set_and_branch_of_the_same_layout(hub, ask):
    assert len(ask(hub, "xnli", "owner/other@v2")) == 3


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        (("xnli", "owner/nothing"), "owner/nothing: no such data set", "Check the name"),
        (("xnli", "a/b/c"), "a/b/c: not the name of a data set", "OWNER/NAME"),
        (("xnli", "owner/other"), "hub:owner/other: none of the files of XNLI in it", "Expected are xnli.dev.tsv"),
        (("xnli", "owner/other@v3"), "hub:owner/other@v3: none of the files", "Expected"),
        (("xnli", "owner/empty"), "hub:owner/empty: none of the files", "Expected"),
        (("panx", "joelniklaus/mapa"), "hub:joelniklaus/mapa: none of the files of PAN-X", "Expected"),
        (("xnli", "", "de fr"), "benchmark.data.xnli: no data in fr", "There is de."),
        (("ler",), "benchmark.data.ler: LER is not on the hub", "Set `folder`"),
    ],
)
def test_what_is_not_there_is_told(hub, ask, arguments, problem, fix):
    told = ask(hub, *arguments)
    assert told[0].startswith(problem)
    assert fix in told[1]
