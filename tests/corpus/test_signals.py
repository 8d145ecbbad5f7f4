"""Signals to the corpus stage at work in real processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from corpus_support import PROSE, articles, dump_xml, multistream
from tests_support import heed_interrupts
from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus

SCRIPT = """
import sys
from pathlib import Path
from unibert.corpus.pipeline import build_corpus
from unibert.errors import UniBertError
from unibert.recipe import Corpus

if __name__ == "__main__":
    try:
        build_corpus(Corpus(dumps=[sys.argv[1]], workers=2), Path(sys.argv[2]), {})
    except UniBertError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_finished_parts_and_no_processes(tmp_path, number):
    folder = tmp_path / "in"
    folder.mkdir()
    whole = multistream(dump_xml(articles(300, f"{PROSE} " * 20)), 50)
    small = multistream(dump_xml(articles(2)))
    for letter in "abcdefghijkl":
        (folder / f"de{letter}wiki-x.xml.bz2").write_bytes(whole if letter > "b" else small)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(folder), str(tmp_path / "out")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_interrupts
    )
    parts_folder = tmp_path / "out" / "parts"
    while process.poll() is None and not list(parts_folder.glob("*.json")):
        time.sleep(0.01)
    assert process.poll() is None, "it was over before the signal"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to the workers as well
    else:
        process.send_signal(number)
    error = process.communicate()[1]
    assert group_ends(process.pid)
    assert list(parts_folder.glob("*.json"))
    assert not (tmp_path / "out" / "statistics.json").exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "parts are finished and kept" in error
        assert "Traceback" not in error
    build_corpus(Corpus(dumps=[str(folder)], workers=2), tmp_path / "out", {})
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 12
    assert not list((tmp_path / "out").rglob("*.tmp"))


def group_ends(group, patience=20.0):
    """Wait until no process of the group is left."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
