"""What the report expects in a run's files: their shapes, checked before a single figure is drawn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Shape(BaseModel):
    """A part of a file: keys that the report does not use are ignored, those it uses must be there."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class RuleCount(Shape):
    """What one cleaning rule did: paragraphs it changed, paragraphs it dropped."""

    changed: Count = 0
    dropped: Count = 0


class CorpusCounts(Shape):
    """One language of corpus/statistics.json, or the totals."""

    bytes: Count
    tokens: Count
    samples: Count
    pages: Count
    paragraphs: Count
    rules: dict[str, RuleCount]
    lengths: dict[Annotated[str, Field(pattern="^[0-9]{1,12}$")], Count] = {}
    """Number of samples by length in tokens; statistics of version 1 have none."""


class CorpusFile(Shape):
    """One input file of the corpus; `damage` says where reading it went wrong."""

    file: str
    language: str
    damage: str | None = None


class Corpus(Shape):
    """corpus/statistics.json; version 1 is of older corpora, which are shown without their samples' lengths."""

    version: Literal[1, 2] = Field(alias="schema")
    token_counter: str
    languages: dict[str, CorpusCounts] = Field(min_length=1)
    files: list[CorpusFile] = []
    totals: CorpusCounts


class Split(Shape):
    """The training or the held-out part of a language's tokens."""

    samples: Count
    tokens: Count


class TokenCounts(Shape):
    """One language of tokens/index.json."""

    train: Split
    heldout: Split
    unknown: Count

    @property
    def tokens(self) -> int:
        """Pieces in both parts."""
        return self.train.tokens + self.heldout.tokens


class Tokens(Shape):
    """tokens/index.json."""

    version: Literal[1] = Field(alias="schema")
    vocabulary_size: Count
    languages: dict[str, TokenCounts] = Field(min_length=1)


class Architecture(Shape):
    """The numbers of the paper's Table 1."""

    layers: Count
    hidden: Count
    heads: Count
    feed_forward: Count


class HeldOut(Shape):
    """A held-out evaluation: cross-entropy in nats per masked piece, by language and as their plain mean."""

    step: Count
    mlm: float
    languages: dict[str, float] = {}


class Step(Shape):
    """A `train` line of log.jsonl; null where the run has no such part.

    Its shares of the languages are not kept line by line: with a hundred languages they would be most of a long log.
    """

    step: Count
    loss: float
    mlm: float | None = None
    adversary: float | None = None
    distillation: float | None = None
    hidden: float | None = None
    relations: float | None = None
    discriminator_accuracy: float | None = None
    learning_rate: float
    gradient_norm: float | None = None
    tokens: Count = 0
    tokens_per_second: float | None = None
    peak_fraction: float | None = None
    seconds: float = 0.0


class Shares(Shape):
    """What a `train` line says about the mixture: each language's share of the samples so far."""

    shares: dict[str, Finite] = {}


class Summary(Shape):
    """summary.json of a finished pre-training run."""

    version: Literal[1] = Field(alias="schema")
    name: str
    architecture: Architecture
    vocabulary_size: Count
    parameters: Count
    megabytes: Finite
    steps: Count
    tokens: Count
    seconds: Finite
    seed: int
    languages: list[str]
    weights_sha256: str
    initialise: str = "random"
    objective: dict[str, Any] = {}
    processes: Annotated[int, Field(ge=1)] = 1
    device: str | None = None
    """The accelerator's name; None on a CPU."""
    energy_kwh: Finite | None = None
    heldout: HeldOut | None = None


def reasons(error: ValidationError, at_most: int = 3) -> str:
    """What a file lacks, as `key: why; key: why`."""
    found = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    more = f"; and {len(found) - at_most} more" if len(found) > at_most else ""
    return "; ".join(found[:at_most]) + more
