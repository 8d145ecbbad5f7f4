"""The benchmarks that are known by name: what they are, how large they were published, where their files are.

Counts are samples after empty sentences and `-DOCSTART-` lines are left out. Every hub id was checked, and the layout
too but where it says "not confirmed"; of a data set that the hub has as a loading script only, the hub's own conversion
to Parquet is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unibert.benchmark import readers
from unibert.benchmark.columns import aligned
from unibert.benchmark.layouts import Files
from unibert.errors import DataError, nearest
from unibert.task_settings import TaskName

Counts = tuple[int | None, int | None, int | None]
"""Samples of train, dev and test; None where there is none or nobody says."""


@dataclass(frozen=True)
class Known:
    """A benchmark that is known by name."""

    name: str
    title: str
    task: TaskName
    counts: Mapping[str, Counts]
    """By language, as published."""
    licence: str
    origin: str
    """Where the files are to be had."""
    layouts: tuple[tuple[Files, ...], ...] = ()
    """None for STS22, which is made of lists and articles."""
    hub: str | None = None
    expected: str = ""
    """Files in a local folder, in words."""
    parallel: bool = False
    """Whether row n is the same sample in every language, so that it has to be in the same part of a split."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that were published; of PAN-X the ones whose counts are given here."""
        return tuple(self.counts)


_PARQUET = r"(?P<part>train|validation|dev|test)(?:-\d{5}-of-\d{5}|/\d{4})\.parquet"
_BY_LANGUAGE = rf"(?P<language>[a-z]{{2,3}}(?:-[a-z-]+)?)/{_PARQUET}"
_PAIR = r"(?P<language>[a-z]{2}(?:-[a-z]{2})?)"
_XQUAD_PARQUET = r"xquad\.(?P<language>[a-z]{2})/validation(?:-\d{5}-of-\d{5}|/\d{4})\.parquet"
_GZ = r"(?:\.gz)?"
_CONLL_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
_NER, _QA, _STS = (readers.task_file(task) for task in ("ner", "qa", "sts"))


def _conll(languages: str) -> Files:
    pattern = rf"(?P<language>{languages})\.(?P<part>train|testa|testb){_GZ}"
    return Files(pattern, _NER, languages={"esp": "es", "ned": "nl", "eng": "en"})


def _of(languages: str, counts: Counts) -> dict[str, Counts]:
    return dict.fromkeys(languages.split(), counts)


def _mapa(name: str, title: str, layer: str) -> Known:
    return Known(
        name,
        title,
        "ner",
        # By the data set's card; confirmed for en (893/98/408) only, the rest not yet against the files.
        {
            "bg": (1411, 166, 560),
            "cs": (1464, 176, 563),
            "da": (1455, 164, 550),
            "de": (1457, 166, 558),
            "el": (1529, 174, 584),
            "en": (893, 98, 408),
            "es": (806, 248, 155),
            "et": (1391, 163, 516),
            "fi": (1398, 187, 531),
            "fr": (1297, 97, 490),
            "ga": (1383, 165, 515),
            "hu": (1390, 171, 525),
            "it": (1411, 162, 550),
            "lt": (1413, 173, 548),
            "lv": (1383, 167, 553),
            "mt": (937, 93, 442),
            "nl": (1391, 164, 530),
            "pt": (1086, 105, 390),
            "ro": (1480, 175, 557),
            "sk": (1395, 165, 526),
            "sv": (1453, 175, 539),
        },
        "CC BY 4.0",
        "https://huggingface.co/datasets/joelniklaus/mapa",
        ((Files(rf"(?P<part>train|validation|test)\.jsonl{_GZ}", readers.mapa_json_lines(layer)),),),
        hub="joelniklaus/mapa",
        expected="train.jsonl, validation.jsonl, test.jsonl",
    )


def _echr(name: str, title: str, annotation: str, counts: Mapping[str, Counts]) -> Known:
    """One of the repository's sets of annotations: made by hand, or projected from English ones onto all 127 texts."""
    pattern = rf"(?P<language>ES|FR)-{annotation}-(?P<part>train|dev|test)\.tsv{_GZ}"
    return Known(
        name,
        title,
        "ner",
        counts,
        "MIT (annotations)",
        "https://github.com/mariasierro/automatic-anonymization-ECHR-French-Spanish",
        ((Files(pattern, _NER),),),
        expected=", ".join(
            f"{code}-{annotation}-{part}.tsv" for code in ("ES", "FR") for part in ("train", "dev", "test")
        ),
    )


_ALL = (
    Known(
        "conll2002",
        "CoNLL-2002",
        "ner",
        # Tjong Kim Sang, "Introduction to the CoNLL-2002 Shared Task"; sentences counted in the distributed files.
        {"es": (8323, 1915, 1517), "nl": (15806, 2895, 5195)},
        "research use only",
        "https://www.clips.uantwerpen.be/conll2002/ner/",
        ((_conll("esp|ned"),), (Files(_BY_LANGUAGE, readers.ner_parquet(_CONLL_TAGS)),)),
        # A loading script; its conversion is in refs/convert/parquet (not confirmed file by file).
        hub="eriktks/conll2002",
        expected="esp.train, esp.testa, esp.testb, ned.train, ned.testa, ned.testb",
    ),
    Known(
        "conll2003",
        "CoNLL-2003",
        "ner",
        # Tjong Kim Sang and De Meulder (2003), table 1, less one -DOCSTART- line for each article.
        {"en": (14041, 3250, 3453)},
        "research use only (Reuters)",
        "https://www.clips.uantwerpen.be/conll2003/ner/",
        (
            (_conll("eng"),),
            # A loading script too; its one configuration is called after the data set (not confirmed file by file).
            (Files(rf"conll2003/{_PARQUET}", readers.only("en", readers.ner_parquet(_CONLL_TAGS))),),
        ),
        hub="eriktks/conll2003",
        expected="eng.train, eng.testa, eng.testb",
    ),
    Known(
        "xnli",
        "XNLI",
        "nli",
        # Conneau et al. (arXiv 1809.05053); the training part is MultiNLI's.
        _of("ar bg de el en es fr hi ru sw th tr ur vi zh", (392702, 2490, 5010)),
        "CC BY-NC 4.0; MultiNLI under its own terms",
        "https://cims.nyu.edu/~sbowman/xnli/",
        (
            (
                Files(rf"xnli\.(?P<part>dev|test)\.tsv{_GZ}", readers.xnli_table),
                Files(rf"multinli\.train\.(?P<language>[a-z]{{2}})\.tsv{_GZ}", readers.multinli_table, part="train"),
            ),
            (Files(rf"(?P<part>train|dev|test)-(?P<language>[a-z]{{2}})\.tsv{_GZ}", readers.xnli_file),),
            (Files(_BY_LANGUAGE, readers.nli_parquet),),
            (Files(rf"all_languages/{_PARQUET}", readers.nli_parquet_of_all),),
        ),
        hub="facebook/xnli",
        expected="xnli.dev.tsv, xnli.test.tsv (XNLI-1.0) and multinli.train.XX.tsv (XNLI-MT-1.0); "
        "or train-XX.tsv, dev-XX.tsv, test-XX.tsv",
        parallel=True,
    ),
    Known(
        "mlqa",
        "MLQA",
        "qa",
        # The table in MLQA's README (Lewis et al., arXiv 1910.07475).
        {
            "ar": (None, 517, 5335),
            "de": (None, 512, 4517),
            "en": (None, 1148, 11590),
            "es": (None, 500, 5254),
            "hi": (None, 507, 4918),
            "vi": (None, 511, 5495),
            "zh": (None, 504, 5137),
        },
        "CC BY-SA 3.0",
        "https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip",
        (
            (Files(rf"(?P<part>dev|test)-context-(?P<language>[a-z]{{2}})-question-(?P=language)\.json{_GZ}", _QA),),
            (Files(rf"mlqa\.(?P<language>[a-z]{{2}})\.(?P=language)/{_PARQUET}", readers.qa_parquet),),
        ),
        hub="facebook/mlqa",
        expected="dev-context-XX-question-XX.json, test-context-XX-question-XX.json",
    ),
    Known(
        "sts22",
        "STS22",
        "sts",
        # SemEval-2022 Task 8 (Chen et al. 2022); pairs on the official lists with scores.
        {
            "ar": (274, None, 298),
            "de": (857, None, 608),
            "de-en": (577, None, 185),
            "de-fr": (None, None, 116),
            "de-pl": (None, None, 35),
            "en": (1800, None, 236),
            "es": (570, None, 243),
            "es-en": (None, None, 496),
            "es-it": (None, None, 320),
            "fr": (72, None, 111),
            "fr-pl": (None, None, 11),
            "it": (None, None, 411),
            "pl": (349, None, 224),
            "pl-en": (None, None, 64),
            "ru": (None, None, 287),
            "tr": (465, None, 275),
            "zh": (None, None, 769),
            "zh-en": (None, None, 213),
        },
        "task data; the articles are their publishers'",
        "https://zenodo.org/records/6507872",
        # Only on the hub, where scores are turned already; of the two layouts the first is an older revision's. The
        # files are known, the names of their fields not confirmed.
        (
            (
                Files(
                    rf"(?P<language>[a-z]{{2}}(?:-[a-z]{{2}})?)/(?P<part>train|test)\.jsonl{_GZ}",
                    readers.scored_json_lines,
                ),
            ),
            (Files(rf"data/(?P<part>train|test)\.jsonl{_GZ}", readers.scored_json_lines),),
        ),
        hub="mteb/sts22-crosslingual-sts",
        expected="semeval-2022_task8_train-data_batch2.csv and final_evaluation_data.csv, and the articles as the "
        "official downloader leaves them: <last two digits>/<id>.json",
    ),
    _mapa("mapa", "MAPA (coarse)", "coarse_grained"),
    _mapa("mapa-fine", "MAPA (fine)", "fine_grained"),
    Known(
        "panx",
        "PAN-X",
        "ner",
        # WikiANN in the splits of Rahimi et al. (arXiv 1902.00193); sizes as in XTREME (Hu et al., arXiv 2003.11080).
        # The hub has 176 languages.
        {
            **_of("ar bg de el en es fi fr", (20000, 10000, 10000)),
            "hi": (5000, 1000, 1000),
            **_of("hu id it ja", (20000, 10000, 10000)),
            "ka": (10000, 10000, 10000),
            **_of("nl pl pt ro ru", (20000, 10000, 10000)),
            "sw": (1000, 1000, 1000),
            **_of("tr uk vi zh", (20000, 10000, 10000)),
        },
        "text CC BY-SA",
        "https://huggingface.co/datasets/unimelb-nlp/wikiann",
        (
            (Files(rf"(?P<part>train|dev|test)-(?P<language>[a-z]{{2,3}}(?:-[a-z-]+)?)\.tsv{_GZ}", _NER),),
            (Files(_BY_LANGUAGE, readers.ner_parquet(_CONLL_TAGS[:7])),),
        ),
        hub="unimelb-nlp/wikiann",
        expected="train-XX.tsv, dev-XX.tsv, test-XX.tsv",
    ),
    Known(
        "xquad",
        "XQuAD",
        "qa",
        # Artetxe et al. (arXiv 1910.11856): 240 paragraphs and 1,190 questions of SQuAD, translated; ro came later.
        _of("ar de el en es hi ro ru th tr vi zh", (None, None, 1190)),
        "CC BY-SA 4.0",
        "https://github.com/google-deepmind/xquad",
        (
            (Files(rf"xquad\.(?P<language>[a-z]{{2}})\.json{_GZ}", _QA, part="test"),),
            # The hub calls its only part `validation`.
            (Files(_XQUAD_PARQUET, readers.qa_parquet, part="test"),),
        ),
        hub="google/xquad",
        expected="xquad.XX.json",
    ),
    Known(
        "stsb",
        "STSb-multi-mt",
        "sts",
        # The data set's card: the sizes of the STS benchmark (Cer et al., arXiv 1708.00055). The hub has no ja.
        _of("de en es fr it ja nl pl pt ru zh", (5749, 1500, 1379)),
        "CC BY-SA 4.0",
        "https://github.com/PhilipMay/stsb-multi-mt",
        (
            (Files(rf"stsb-(?P<language>[a-z]{{2}})-(?P<part>train|dev|test)\.csv{_GZ}", _STS),),
            (Files(_BY_LANGUAGE, readers.sts_parquet),),
        ),
        hub="PhilipMay/stsb_multi_mt",
        expected="stsb-XX-train.csv, stsb-XX-dev.csv, stsb-XX-test.csv",
        parallel=True,
    ),
    # Counted in the published files.
    _echr("echr", "ECHR", "manual", {"es": (1245, 178, 193), "fr": (1335, 115, 165)}),
    _echr("echr-projected", "ECHR (projected)", "all", _of("es fr", (3881, 482, 455))),
    Known(
        "ler",
        "LER",
        "ner",
        # Leitner et al. (LREC 2020), in the split 80:10:10 of its repository; train not confirmed against the file.
        {"de": (53384, 6666, 6673)},
        "CC BY 4.0",
        "https://github.com/elenanereiss/Legal-Entity-Recognition",
        ((Files(rf"ler_(?P<part>train|dev|test)\.conll{_GZ}", readers.only("de", _NER)),),),
        expected="ler_train.conll, ler_dev.conll, ler_test.conll",
    ),
)
KNOWN: Mapping[str, Known] = {known.name: known for known in _ALL}


def find_known(name: str) -> Known:
    """The benchmark of this name.

    Raises:
        DataError: there is none; names the nearest.
    """
    if name in KNOWN:
        return KNOWN[name]
    near = nearest(name, KNOWN)
    hint = f"Did you mean {near}? " if near else ""
    raise DataError(
        f"{name}: no known benchmark",
        f"{hint}`unibert data list` names them; for files of your own give `task` and `files`.",
    )


def format_catalog() -> str:
    """The known benchmarks as a table."""
    rows = [("name", "task", "languages", "train / dev / test, largest language", "licence", "from")]
    for known in KNOWN.values():
        largest = max(known.counts.values(), key=lambda counts: sum(count or 0 for count in counts))
        sizes = " / ".join(f"{count:,}" if count else "-" for count in largest)
        origin = known.origin or "a folder"
        rows.append((known.name, known.task, str(len(known.counts)), sizes, known.licence, known.hub or origin))
    return "\n".join(aligned(rows, left=len(rows[0])))
