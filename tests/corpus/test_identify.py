import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import datatrove.io
import pytest
from datatrove.utils.lid import FT176LID, GlotLID
from datatrove.utils.typeshelper import Languages

from unibert.corpus import identify
from unibert.corpus.identify import language_judge, model_mark, unknown_languages
from unibert.errors import DataError
from unibert.languages import LANGUAGES
from unibert.quickstart.pages import articles
from unibert.quickstart.world import load_world
from unibert.recipe import LanguageIdentification

fasttext = pytest.importorskip("fasttext")

CODES = "ar de el en es fr hi pl ro ru sw tr zh".split()
ISO = dict(zip(CODES, "arb deu ell eng spa fra hin pol ron rus swh tur zho".split(), strict=True))


def paragraphs(seed):
    """Up to 150 paragraphs in each language, of 40 characters or more, about the same subjects."""
    world = load_world()
    return {
        code: [
            block.text for page in articles(world, world.languages[code], seed) for block in page.prose
            if len(block.text) >= 40 and not block.rules
        ][:150]
        for code in CODES
    }  # fmt: skip


def train(path, texts, **options):
    """A real fastText model. With fewer than eleven threads fastText leaves some of its weights as the memory was."""
    lines = [f"__label__{label} {text}\n" for label, of_label in texts.items() for text in of_label]
    source = path.with_suffix(".txt")
    source.write_text("".join(lines), encoding="utf-8")
    settings = {"minn": 2, "maxn": 4, "bucket": 20_000, "dim": 16, "epoch": 25, "lr": 1.0, "thread": 12, "verbose": 0}
    model = fasttext.train_supervised(str(source), **settings | options)
    model.save_model(str(path))
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train(tmp_path_factory.mktemp("model") / "own.bin", paragraphs(1))


@pytest.fixture(scope="module")
def unseen():
    return paragraphs(2)


@pytest.fixture
def with_labels(tmp_path):
    """A model that has nothing but these labels."""

    def make(*labels):
        return train(tmp_path / "labels.bin", {label: [f"word{label}"] * 5 for label in labels}, epoch=1)

    return make


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No model is loaded, and none downloaded yet."""
    identify._load.cache_clear()
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(datatrove.io, "cached_assets_path", lambda **names: folder)
    yield folder
    identify._load.cache_clear()


def settings(model, **options):
    return LanguageIdentification(model=model, **options)


# --- judging ---


@pytest.mark.parametrize("code", CODES)
def test_own_paragraphs_stay_and_others_go(model, unseen, code):
    judge = language_judge(settings(model), code)
    own = [judge(text) for text in unseen[code]]
    others = [judge(text) for other in CODES if other != code for text in unseen[other][:20]]
    assert sum(own) >= 0.98 * len(own)
    assert sum(others) <= 0.02 * len(others)


def test_short_paragraphs_stay(model, unseen):
    german = unseen["de"][0]
    assert language_judge(settings(model, min_characters=len(german) + 1), "fr")(german)
    assert not language_judge(settings(model, min_characters=len(german)), "fr")(german)


def test_the_best_label_must_be_probable_enough(model, unseen):
    mixed = f"{unseen['de'][0][:60]} {unseen['fr'][0][:60]}"
    _, score = identify._identifier(model).best(mixed)
    assert 0.1 < score < 0.99
    corpus = "sw"
    assert not language_judge(settings(model, min_score=score - 0.01), corpus)(mixed)
    assert language_judge(settings(model, min_score=score + 0.01), corpus)(mixed)


@pytest.mark.parametrize("text", ["", " " * 50, "\n" * 50, "a\nb" * 30, "\0" * 60, "😀" * 60, "x" * 100_000])
def test_any_text_is_judged(model, text):
    assert language_judge(settings(model, min_characters=0), "de")(text) in (True, False)


def test_a_text_of_which_the_model_knows_nothing_stays(monkeypatch, model):
    loaded = identify._identifier(model)._lid.model
    monkeypatch.setattr(loaded, "predict", lambda text, k: ((), ()))
    assert language_judge(settings(model), "fr")("Die Hauptstadt des Landes liegt am Fluss und ist groß.")


def judged(judge, texts):
    return [judge(text) for text in texts]


def test_threads_and_processes_judge_alike(model, unseen):
    judge = language_judge(settings(model), "de")
    texts = [text for code in CODES for text in unseen[code][:10]]
    expected = judged(judge, texts)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(partial(judged, judge), [texts] * 8)) == [expected] * 8
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        assert list(process.map(judge, texts)) == expected


def test_a_model_is_loaded_once_per_process(fresh, model, monkeypatch):
    loads = []
    original = identify.check_fasttext_file
    monkeypatch.setattr(identify, "check_fasttext_file", lambda path: loads.append(path) or original(path))
    with ThreadPoolExecutor(4) as threads:
        judges = list(threads.map(lambda code: language_judge(settings(model), code), CODES))
    assert all(judge("Die Hauptstadt des Landes liegt am Fluss und ist groß.") in (True, False) for judge in judges)
    assert len(loads) == 1


def test_nothing_is_printed(fresh, model, capfd):
    language_judge(settings(model), "fr")("Die Hauptstadt des Landes liegt am Fluss und ist groß.")
    assert capfd.readouterr() == ("", "")


# --- labels ---


def test_off():
    assert language_judge(LanguageIdentification(), "de") is None
    assert unknown_languages(LanguageIdentification(), ["de", "xx"]) == []
    assert model_mark(LanguageIdentification()) == "off"


def test_a_language_the_model_does_not_know_is_named_and_kept(model):
    assert unknown_languages(settings(model), ["de", "cnh", "zh", "be-tarask"]) == ["cnh", "be-tarask"]
    assert language_judge(settings(model), "cnh") is None


@pytest.mark.parametrize(
    "labels, code, right",
    [
        (["no", "nn", "da"], "no", {"no"}),
        (["no", "nn", "da"], "nb", {"no"}),
        (["no", "nn", "da"], "nn", {"nn"}),
        (["en", "sco"], "simple", {"en"}),
        (["be", "ru"], "be-tarask", {"be"}),
        (["zh", "ja"], "yue", {"zh"}),
        (["zh", "yue", "wuu", "ja"], "zh", {"zh", "yue", "wuu"}),
        (["bs", "hr", "sh", "sr", "sl"], "hr", {"bs", "hr", "sh", "sr"}),
        (["als", "sq", "de"], "als", {"als"}),
        (["als", "sq", "de"], "sq", {"sq"}),
        (["gsw_Latn", "als_Latn", "deu_Latn"], "als", {"gsw_Latn"}),
        (["gsw_Latn", "als_Latn", "deu_Latn"], "sq", {"als_Latn"}),
        (["nob_Latn", "nno_Latn", "nor_Latn"], "no", {"nob_Latn", "nor_Latn"}),
        (["nob_Latn", "nno_Latn", "nor_Latn"], "nn", {"nno_Latn", "nor_Latn"}),
        (["srp_Cyrl", "srp_Latn", "mkd_Cyrl"], "sr", {"srp_Cyrl", "srp_Latn"}),
        (["cmn_Hani", "yue_Hani", "lzh_Hani", "jpn_Jpan"], "zh", {"cmn_Hani", "yue_Hani", "lzh_Hani"}),
        (["bar_Latn", "deu_Latn", "und_Latn"], "bar", {"bar_Latn"}),
        (["deu_Latn", "und_Latn"], "xx", set()),
    ],
)  # fmt: skip
def test_labels_that_are_right_for_a_language(labels, code, right):
    assert identify._right_labels(frozenset(labels), code) == right


def test_every_language_has_its_label_in_glotlid():
    """datatrove lists the labels that GlotLID has."""
    names = [name for name in vars(Languages).values() if isinstance(name, str)]
    labels = frozenset(name for name in names if re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", name))
    assert len(labels) > 1500
    written = {"Hant": "Hani", "Kore": "Hang"}
    for code, language in LANGUAGES.items():
        scripts = {label[-4:] for label in identify._right_labels(labels, code)}
        assert written.get(language.script, language.script) in scripts, code


@pytest.mark.parametrize("label", ["und_Latn", "zxx_Zzzz"])
def test_no_language_is_not_another_language(tmp_path, label):
    texts = {"deu_Latn": ["Das ist ein Satz in dieser Sprache."], label: ["xkcd qwert 0x00 zzz lorem"]}
    model = train(tmp_path / "none.bin", {name: lines * 20 for name, lines in texts.items()}, epoch=40)
    assert identify._identifier(model).best(texts[label][0])[0] == label
    assert language_judge(settings(model, min_characters=0, min_score=0), "de")(texts[label][0])


def test_the_mark_follows_the_model_and_the_settings(with_labels):
    path = with_labels("de", "fr")
    marks = {model_mark(settings(path)), model_mark(settings(path, min_score=0.6)), model_mark(settings("ft176"))}
    assert model_mark(settings(path)) in marks
    with_labels("de", "it")
    marks.add(model_mark(settings(path)))
    marks.add(model_mark(settings(path, min_characters=1)))
    assert len(marks) == 5


# --- what can go wrong ---


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "not a fastText model"),
        (b"PK", "not a fastText model"),
        (b"\0" * 4000, "not a fastText model"),
        (b"word 0.1 0.2\n" * 1000, "not a fastText model"),
    ],
    ids=["empty", "two-bytes", "zeros", "text"],
)
def test_another_file_is_named(tmp_path, content, complaint):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as raised:
        language_judge(settings(str(path)), "de")
    assert str(path) in str(raised.value)


def test_word_vectors_identify_nothing(tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("ein Satz mit Worten\n" * 50, encoding="utf-8")
    vectors = fasttext.train_unsupervised(str(source), dim=4, minn=0, maxn=0, lr=0.001, epoch=1, thread=12, verbose=0)
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(DataError, match="word vectors and no labels"):
        language_judge(settings(str(tmp_path / "vectors.bin")), "de")


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5, 0.9, 0.99999])
@pytest.mark.parametrize("quantised", [False, True], ids=["whole-numbers", "quantised"])
def test_a_file_that_was_cut_off_is_not_half_a_model(tmp_path, unseen, quantised, share):
    """FastText itself reads on in zeros, or ends the process by dividing by one."""
    path = tmp_path / "whole.bin"
    train(path, {code: unseen[code][:60] for code in ("de", "fr", "pl")}, bucket=500)
    if quantised:
        loaded = fasttext.load_model(str(path))
        loaded.quantize(input=str(path.with_suffix(".txt")), qnorm=True, thread=12, verbose=0)
        loaded.save_model(str(path))
    assert language_judge(settings(str(path)), "de") is not None
    data = path.read_bytes()
    cut = tmp_path / "cut.bin"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=re.escape(f"{cut}: it ends in the middle")):
        language_judge(settings(str(cut)), "de")


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.bin: no such file"):
        unknown_languages(settings(str(tmp_path / "nowhere.bin")), ["de"])
    with pytest.raises(DataError, match=r"nowhere\.bin: no such file"):
        model_mark(settings(str(tmp_path / "nowhere.bin")))


def test_other_labels_are_named(tmp_path):
    path = tmp_path / "model.bin"
    source = tmp_path / "text.txt"
    source.write_text("LANG_de ein Satz\nLANG_fr une phrase\n" * 5, encoding="utf-8")
    fasttext.train_supervised(str(source), label="LANG_", thread=12, verbose=0, dim=4).save_model(str(path))
    with pytest.raises(DataError, match=r"'LANG_(de|fr)' does not begin with __label__"):
        language_judge(settings(str(path)), "de")


def test_a_missing_package_is_named_with_the_command_to_install_it(tmp_path):
    """In a process of its own: here it is imported already."""
    script = """
import sys
sys.modules["fasttext"] = None
from unibert.corpus.identify import language_judge
from unibert.recipe import LanguageIdentification
language_judge(LanguageIdentification(model="ft176"), "de")
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "DataError" in ended.stderr
    assert "fasttext" in ended.stderr
    assert "pip install 'unibert[filters]'" in ended.stderr


# --- named models ---


@pytest.mark.parametrize("name, block", [("ft176", FT176LID), ("glotlid", GlotLID)])
def test_a_named_model_is_fetched_once_into_the_cache(fresh, model, unseen, monkeypatch, name, block):
    """From a file instead of the network: what is downloaded is datatrove's business, where it lies too."""
    if name == "ft176":
        monkeypatch.setattr(block, "MODEL_URL", f"file://{model}")
    else:
        original = block.__init__
        monkeypatch.setattr(block, "__init__", lambda self, **options: original(self, **options) or setattr(
            self, "MODEL_URL", f"file://{model}"
        ))  # fmt: skip
    judge = language_judge(settings(name), "fr")
    assert judge(unseen["fr"][0])
    assert not judge(unseen["de"][0])
    fetched = {path.name: path.stat().st_mtime_ns for path in fresh.iterdir()}
    assert any(file.endswith("own.bin") for file in fetched)
    identify._load.cache_clear()
    assert language_judge(settings(name), "fr") == judge
    assert {path.name: path.stat().st_mtime_ns for path in fresh.iterdir()} == fetched


def test_a_model_that_cannot_be_had_is_named_with_its_address(fresh, monkeypatch, tmp_path, model):
    monkeypatch.setattr(FT176LID, "MODEL_URL", f"file://{tmp_path}/not-there.bin")
    with pytest.raises(DataError, match=r"'ft176' cannot be had from file://.*not-there\.bin"):
        language_judge(settings("ft176"), "de")
    (tmp_path / "not-there.bin").write_bytes(Path(model).read_bytes())  # the next attempt finds it
    assert language_judge(settings("ft176"), "de") is not None


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(model):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=os.path.dirname(model))) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.mark.parametrize("file, found", [("own.bin", True), ("other.bin", False)])
def test_ft176_over_http(fresh, monkeypatch, server, file, found):
    pytest.importorskip("aiohttp", reason="datatrove downloads over HTTP with aiohttp")
    monkeypatch.setattr(FT176LID, "MODEL_URL", f"{server}/{file}")
    if found:
        assert language_judge(settings("ft176"), "fr") is not None
    else:
        with pytest.raises(DataError, match=r"'ft176' cannot be had from http://127\.0\.0\.1:\d+/other\.bin"):
            language_judge(settings("ft176"), "fr")
