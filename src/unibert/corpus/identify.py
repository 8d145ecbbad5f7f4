"""Paragraphs in another language than their Wikipedia's, found by a fastText model through datatrove; optional.

A paragraph is dropped when it is long enough, the model's best label is another language, and that label's probability
is high enough. Which labels are right for a language is in two tables, because models name languages in two ways:

- as Wikipedia does (ft176, and models of your own): `de`, `als` for Alemannic, `sh`;
- by ISO 639-3 and script (GlotLID, NLLB's, OpenLID): `deu_Latn`, `gsw_Latn` for Alemannic, `als_Latn` for Albanian.

A label is right if it names the language itself, the macrolanguage that it belongs to, or a language that cannot be
told from it in writing. Labels that name no language (`und`, `zxx`) never drop anything.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from unibert.corpus.fasttext_file import check_fasttext_file
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.recipe import LanguageIdentification

# Wikipedia's code: the other codes that are right for it.
_ALSO = {
    "arz": "ar",
    "azb": "az",
    "be-tarask": "be",
    "bs": "hr sh sr",
    "en": "simple",
    "hr": "bs sh sr",
    "lzh": "zh",
    "nb": "no",
    "nds": "nds-nl",
    "nds-nl": "nds",
    "no": "nb",
    "sh": "bs hr sr",
    "simple": "en",
    "sr": "bs hr sh",
    "tl": "fil",
    "yue": "zh",
    "zh": "lzh wuu yue",
}

# Wikipedia's code, then every ISO 639-3 code that is right for it; codes that are not here stand for themselves.
_ISO_639_3 = """
ab abk, af afr, als gsw, am amh, an arg, ar ara acm aeb apc arb arq ars ary arz shu, arq arq ara, arz arz ara, as asm,
az aze azb azj, azb azb aze, ba bak, be bel, be-tarask bel, ber kab rif shi shy taq tmh tzm zgh, bg bul, bn ben,
br bre, bs bos cnr hbs hrv srp, ca cat, cbk-zam cbk, ce che, ch cha, ckb ckb kur, cs ces, cv chv, cy cym, da dan,
de deu, dtp dtp kzj, dv div, el ell, en eng, eo epo, es spa, et est ekk, eu eus, fa fas pes prs, fi fin, fo fao,
fr fra, fy fry, ga gle, gd gla, gl glg, gn grn gug, gu guj, ha hau, he heb, hi hin, hr hrv bos cnr hbs srp, ht hat,
hu hun, hy hye hyw, ia ina, id ind msa, ie ile, io ido, is isl, it ita, ja jpn, jv jav, ka kat, kk kaz, km khm, kn kan,
ko kor, ku kmr kur, kw cor, ky kir, kzj dtp kzj, la lat, lb ltz, lg lug, li lim, lt lit, ltg ltg lav, lv lav lvs,
lzh lzh zho, max max msa, mg mlg plt, mhr mhr chm, mi mri, min min msa, mk mkd, ml mal, mn mon khk, mr mar,
mrj mrj chm, ms msa zlm zsm, mt mlt, my mya, nan nan zho, nb nob nor, nds-nl nds gos, ne nep npi, nl nld, nn nno nor,
no nob nor, oc oci, or ori ory, os oss, pa pan, pl pol, pnb pnb lah, ps pus pbt, pt por, qu que qub quf qug quh qul qup
qus quw quy quz qva qvc qve qvh qvi qvm qvn qvo qvs qvw qvz qwh qxh qxl qxn qxo qxr, rm roh, ro ron, ru rus, rw kin,
sa san, sh hbs bos cnr hrv srp, si sin, simple eng, sk slk, sl slv, sn sna, so som, sq sqi aln als,
sr srp bos cnr hbs hrv, ss ssw, st sot, su sun, sv swe, sw swa swh, swg swg gsw, ta tam, te tel, tg tgk, th tha,
tk tuk, tl tgl fil, tn tsn, tr tur, ts tso, tt tat, ug uig, uk ukr, ur urd, uz uzb uzn, vi vie, vo vol, vro vro est,
wuu wuu zho, xh xho, yi yid ydd, yo yor, yue yue zho, zh zho cmn lzh wuu yue, zu zul
"""
_ISO_CODES = {code: frozenset(right) for code, *right in (entry.split() for entry in _ISO_639_3.split(","))}

_WITH_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_NO_LANGUAGE = frozenset({"und", "zxx"})
_NAMED = ("ft176", "glotlid")
_PREFIX = "__label__"
_INSTALL = "pip install 'unibert[filters]'"


def language_judge(settings: LanguageIdentification, language: str) -> Callable[[str], bool] | None:
    """A function that tells of a paragraph whether to keep it in the corpus of `language`.

    The function can be sent to another process, and used by several threads; a process loads a model once.

    Args:
        settings: the model and the bounds.
        language: the code of the corpus.

    Returns:
        None where identification is off, or where the model does not know the language: it would drop all of it.

    Raises:
        DataError: fastText is not installed; the model cannot be downloaded, is not there, or identifies no languages.
    """
    if settings.model is None:
        return None
    right = _right_labels(_identifier(settings.model).labels, language)
    return Judge(settings, right) if right else None


def unknown_languages(settings: LanguageIdentification, codes: Iterable[str]) -> list[str]:
    """Those of the codes that the model has no label for, whose paragraphs are all kept; none when it is off.

    Raises:
        DataError: as `language_judge`.
    """
    if settings.model is None:
        return []
    labels = _identifier(settings.model).labels
    return [code for code in codes if not _right_labels(labels, code)]


def model_mark(settings: LanguageIdentification) -> str:
    """Depends on what decides the judgement: the settings and, for a model in a file, its content.

    Raises:
        DataError: there is no such file.
    """
    if settings.model is None:
        return "off"
    model = settings.model if settings.model in _NAMED else sha256_of_file(_model_file(settings.model))
    return f"{model} {settings.min_score} {settings.min_characters}"


@dataclass(frozen=True)
class Judge:
    """Keeps a paragraph unless the model is sure that it is in another language."""

    settings: LanguageIdentification
    right: frozenset[str]
    """The model's labels that are right for the corpus."""

    def __call__(self, text: str) -> bool:
        """Whether to keep the paragraph."""
        if len(text) < self.settings.min_characters or self.settings.model is None:
            return True
        label, score = _identifier(self.settings.model).best(text)
        return score < self.settings.min_score or label in self.right or _language_part(label) in _NO_LANGUAGE


def _right_labels(labels: frozenset[str], language: str) -> frozenset[str]:
    """The model's labels that are right for a language."""
    if any(_WITH_SCRIPT.fullmatch(label) for label in labels):
        codes = _ISO_CODES.get(language, frozenset({language}))
        return frozenset(label for label in labels if _language_part(label) in codes)
    return labels & {language, *_ALSO.get(language, "").split()}


def _language_part(label: str) -> str:
    """`deu` of `deu_Latn`; a label of another form is left as it is."""
    return label[:3] if _WITH_SCRIPT.fullmatch(label) else label


# --- models ---


class _Identifier:
    """A loaded model."""

    def __init__(self, lid: Any, labels: frozenset[str]) -> None:
        self._lid = lid
        self.labels = labels

    def best(self, text: str) -> tuple[str, float]:
        """The most probable label and its probability; a text in which the model knows nothing has probability 0."""
        from datatrove.data import Document

        try:
            return self._lid.predict(Document(text, ""))[0]
        except ValueError:  # datatrove takes the best of no labels
            return "", 0.0


_loading = threading.Lock()


def _identifier(model: str) -> _Identifier:
    with _loading:
        return _load(model)


@cache
def _load(model: str) -> _Identifier:
    try:
        import datatrove.utils.lid as blocks

        fasttext = import_module("fasttext.FastText")
    except ImportError as error:
        raise _missing(error) from None
    # The best label alone is asked for (k=1), of up to two thousand.
    if model in _NAMED:
        lid = blocks.FT176LID(k=1) if model == "ft176" else blocks.GlotLID(k=1)
        try:
            labels = lid.model.get_labels()
        except ImportError as error:  # datatrove looks for what it downloads with when it is about to
            raise _missing(error) from None
        except Exception as error:  # whatever a download can end in
            raise DataError(
                f"corpus.identify.model {model!r} cannot be had from {lid.MODEL_URL} ({error or type(error).__name__})",
                "Go online once, or download it elsewhere and set corpus.identify.model to the file.",
            ) from None
    else:
        path = _model_file(model)
        lid = blocks.FastTextLID(k=1)
        try:
            check_fasttext_file(path)
            lid._model = fasttext._FastText(str(path))  # where datatrove keeps one that it has downloaded
        except ValueError as error:
            raise DataError(
                f"{path}: {error}", "Set corpus.identify.model to ft176, glotlid or a fastText model with labels."
            ) from None
        labels = lid.model.get_labels()
    strange = next((label for label in labels if not label.startswith(_PREFIX)), None)
    if strange is not None:
        raise DataError(
            f"{model}: the model's label {strange!r} does not begin with {_PREFIX}",
            f"Train it with labels such as {_PREFIX}de, or use ft176 or glotlid.",
        )
    # datatrove, too, cuts a label at its second pair of underscores.
    return _Identifier(lid, frozenset(label.split("__")[2] for label in labels))


def _missing(error: ImportError) -> DataError:
    return DataError(f"corpus.identify needs a package that is not installed ({error})", _INSTALL)


def _model_file(model: str) -> Path:
    path = Path(model).expanduser()
    if not path.is_file():
        raise DataError(f"corpus.identify.model: {path}: no such file", "Set it to ft176, glotlid or a .bin file.")
    return path
