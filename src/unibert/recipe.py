"""Every setting of every stage: one validated tree. `recipe_file.py` reads it from TOML.

The paper is Avram et al., arXiv 2503.12608; equation numbers are its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from unibert.pretrain_settings import (
    Adversary,
    AdversaryMode,
    Architecture,
    Distillation,
    HiddenStates,
    Masking,
    Pretrain,
    Relations,
    SizeName,
)
from unibert.settings import (
    ClusterSettings,
    LanguageCode,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
    Share,
)
from unibert.task_settings import (
    Benchmark,
    BenchmarkData,
    DataFiles,
    FineTune,
    GridExecutor,
    Lora,
    TaskDistillation,
)
from unibert.universality_settings import UniversalitySettings

__all__ = [
    "Adversary",
    "AdversaryMode",
    "Architecture",
    "Benchmark",
    "BenchmarkData",
    "Corpus",
    "DataFiles",
    "Deduplication",
    "Distillation",
    "Executor",
    "FineTune",
    "GridExecutor",
    "HiddenStates",
    "LanguageIdentification",
    "Lora",
    "Masking",
    "Pretrain",
    "Recipe",
    "Relations",
    "Rules",
    "Seed",
    "SizeName",
    "TaskDistillation",
    "Teacher",
    "TeacherCache",
    "Tokens",
    "UniversalitySettings",
]


class Rules(Settings):
    """The paper's five cleaning rules, applied in this order to every paragraph."""

    html: bool = True
    """Rule 1: remove HTML artefacts (left-over tags and entities) with a regular expression."""
    links_only: bool = True
    """Rule 2: drop samples that contain only URLs or ISBNs."""
    digits: bool = True
    """Rule 3: drop samples whose digits are more than `max_digit_share` of the text's length."""
    max_digit_share: Share = 0.7
    """The bound of rule 3, as a share of the text's characters."""
    hidden_characters: bool = True
    """Rule 4: remove zero-width, control and format characters."""
    short: bool = True
    """Rule 5: drop samples with fewer than `min_tokens` tokens."""
    min_tokens: PositiveInt = 5
    """The bound of rule 5."""


class LanguageIdentification(Settings):
    """Drop paragraphs that are in another language, by a fastText model (through datatrove); off without a model."""

    model: str | None = None
    """`ft176` or `glotlid` (downloaded once), or a fastText `.bin` file; its labels are language codes."""
    min_score: Share = 0.5
    """A paragraph is dropped when another language than its own is found with at least this probability."""
    min_characters: NonNegativeInt = 40
    """Shorter paragraphs are kept: there is too little in them to tell."""


class Deduplication(Settings):
    """Drop repeated paragraphs within each language (by datatrove's blocks); off by default, as in the paper."""

    exact: bool = False
    """Drop every paragraph whose text stood before in the same language."""
    minhash: bool = False
    """Drop paragraphs that are nearly the same as one before, by MinHash over n-grams of words."""
    ngram: PositiveInt = 5
    """Words in an n-gram."""
    buckets: PositiveInt = 14
    """Bands of the signature: two paragraphs that agree in one whole band are taken for the same."""
    hashes_per_bucket: PositiveInt = 8
    """Hashes in a band. 14 bands of 8 find pairs of similarity 0.75 with probability 0.77, of 0.85 with 0.99."""


class Executor(ClusterSettings):
    """Where the files are read, by datatrove's executors."""

    table = "corpus.executor"

    memory_gb: PositiveFloat = 2.0
    """Memory that a task asks for, in GB (`ray`, `slurm`)."""


class Corpus(Settings):
    """Wikipedia dumps and other text in; one Parquet file of clean paragraphs per language out."""

    dumps: list[str] = []
    """`XXwiki-...pages-articles...xml[.bz2|.gz|.zst]` files, folders of them, or globs; the language is XX."""
    text: list[str] = []
    """Text of other kinds, to which the same rules apply: files, folders or globs. `XX.txt` has one sentence or
    paragraph a line, `XX.jsonl` one JSON object a line, `XX.parquet` one row; XX may be the folder's name instead, as
    in `20231101.XX/train-00000-of-00001.parquet`. `.gz`, `.bz2` and `.zst` are decompressed."""
    hub: list[str] = []
    """Parquet data sets of the Hugging Face hub, as `NAME:CONFIGURATION`, such as `wikimedia/wikipedia:20231101.de`."""
    text_column: str = "text"
    """Field of JSON lines and column of Parquet that holds the text; each of its lines is a paragraph."""
    languages: Annotated[list[LanguageCode], Field(min_length=1)] | None = None
    """Keep only these languages; all that are found when unset."""
    rules: Rules = Rules()
    tokenizer: str | None = None
    """Counts the tokens of rule 5: a `vocab.txt`, a tokenizer file or folder, or a Hugging Face name. When unset, words
    and punctuation marks are counted instead, of which every WordPiece tokenizer makes at least as many tokens."""
    identify: LanguageIdentification = LanguageIdentification()
    deduplicate: Deduplication = Deduplication()
    strict: bool = False
    """Exit with an error after a damaged dump, instead of keeping what was read and reporting the damage."""
    slice_mb: PositiveInt = 64
    """Multistream and plain XML files are read in slices of about this many MB (of 1,000,000 bytes, as they lie on the
    disk), side by side. Does not change the samples."""
    executor: Executor = Executor()
    workers: PositiveInt | None = None
    """Tasks side by side; one per usable core (`local`) or as many as there is room for when unset. Does not change
    the result."""


class Tokens(Settings):
    """The tokenizer, and the corpus as memory-mapped shards of its ids."""

    tokenizer: str | None = None
    """A WordPiece `vocab.txt`, a `tokenizer.json`, a Hugging Face folder, or a Hugging Face name; when unset, a
    WordPiece tokenizer of `vocabulary_size` is trained on the corpus."""
    vocabulary_size: Annotated[int, Field(ge=200)] = 30_000
    """Size of the tokenizer that is trained when none is given."""
    held_out_share: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    """Share of each language's pages that is kept out of training, for the held-out losses."""
    held_out_samples: PositiveInt = 100
    """At most this many held-out samples per language."""
    workers: PositiveInt | None = None
    """Processes that tokenise side by side; one per usable core when unset. Does not change the result."""


class TeacherCache(Settings):
    """The teacher's most probable pieces per masked row, on disk, for students that are trained one after another.

    An approximation: the KL then compares these pieces and the rest as one.
    """

    top: PositiveInt = 64
    """Pieces per row. 64 take 5 * 64 bytes a masked row and 16 a sample: about 47 bytes a token of training at 15 %.
    How close that comes to the whole vocabulary depends on the teacher; see docs/pretraining.md."""
    folder: str = ""
    """Where it is kept; `teacher-cache` below the run's folder when unset. Runs may share it: an entry belongs to one
    teacher, one token store, one seed and the settings that draw and mask samples."""


class Teacher(Settings):
    """The model the student learns from: a finished one, or one trained first on the same tokens."""

    model: Annotated[str, Field(pattern=r"\S")] | None = None
    """Hugging Face name or folder of any masked language model with the same tokenizer."""
    cache: TeacherCache | None = None
    """Write the teacher's answers to disk on the first run, read them on every later one; see [teacher.cache]."""
    train: Pretrain | None = None
    """Train a teacher of this shape first: by masked language modelling alone (weight 1), whatever weights are written
    there."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.model is not None and self.train is not None:
            raise ValueError("give either model or train, not both")
        if self.train is not None and self.train.students is not None:
            raise ValueError("teacher.train makes one teacher: give it a student, not students")
        if self.train is not None and self.train.initialise == "teacher":
            raise ValueError("teacher.train has no teacher to begin from: leave teacher.train.initialise at 'random'")
        return self


class Recipe(Settings):
    """A whole run, from dumps to report."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    """A short name: the title of the report and the default folder."""
    folder: str = ""
    """Where everything goes; `runs/NAME` when unset."""
    seed: Seed = 1
    """Decides samples, masks, initial weights and dropout."""
    license: Annotated[str, Field(pattern=r"^\S+$")] = "apache-2.0"
    """Of the weights, as the hub names it; stands in the model card."""
    corpus: Corpus = Corpus()
    tokens: Tokens = Tokens()
    teacher: Teacher = Teacher()
    pretrain: Pretrain = Pretrain()
    benchmark: Benchmark = Benchmark()
    universality: UniversalitySettings = UniversalitySettings()

    @model_validator(mode="after")
    def _teacher_where_needed(self) -> Self:
        has_teacher = self.teacher.model is not None or self.teacher.train is not None
        if self.pretrain.needs_teacher and not has_teacher:
            raise ValueError(
                f"pretrain.{self.pretrain.needs_teacher} but there is no teacher: set teacher.model or "
                f"[teacher.train], or leave it out, as in pretrain.distillation.weight=0"
            )
        if self.teacher.cache is not None and (
            self.pretrain.distillation.hidden.weight
            or self.pretrain.distillation.relations.weight
            or self.pretrain.distillation.positions == "all"
        ):
            raise ValueError(
                "teacher.cache holds predictions on masked rows only: it cannot serve distillation.hidden, "
                "distillation.relations or distillation.positions='all'"
            )
        for table, models in (("benchmark", self.benchmark.models), ("universality", self.universality.models)):
            if "teacher" in models and not has_teacher:
                raise ValueError(
                    f"{table}.models names 'teacher' but there is none: set teacher.model or [teacher.train]"
                )
        return self

    @property
    def output(self) -> Path:
        """The folder of this run."""
        return Path(self.folder).expanduser() if self.folder else Path("runs") / self.name

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, as JSON-like data."""
        return self.model_dump(mode="json")
