"""Settings of fine-tuning and of the benchmark; part of the recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from unibert.settings import (
    ClusterSettings,
    LanguageCode,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
    Share,
)

TaskName = Literal["ner", "nli", "qa", "sts"]
Setting = Literal["each", "all", "mono", "zero-shot"]
DataName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]


class Lora(Settings):
    """Low-rank adaptation (Hu et al., arXiv 2106.09685) by the package peft; merged into the weights at the end."""

    rank: PositiveInt = 8
    """Width of the two small matrices that are learned for each adapted one."""
    alpha: PositiveFloat = 16.0
    """The update is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """On the input of the small matrices."""


class TaskDistillation(Settings):
    """Learn from a large model that is fine-tuned on the same task, beside the labels (the paper's future work)."""

    teacher: str
    """In `unibert finetune` the folder of a fine-tuned model; in a benchmark the name of an encoder, which is
    fine-tuned on the same samples first. It must have the same tokenizer."""
    weight: Share = 0.5
    """Of the teacher's predictions in the loss; the labels have the rest."""
    temperature: PositiveFloat = 2.0
    """Softens the teacher's and the student's probabilities; without meaning for sts, which compares scores."""
    hidden_weight: NonNegativeFloat = 0.0
    """Of the hidden states, layer by layer through learned projections, in units of the loss."""


class FineTune(Settings):
    """How an encoder is fine-tuned on a task."""

    epochs: PositiveInt = 3
    """Passes over the training samples, at most."""
    patience: PositiveInt | None = None
    """Stop early, after so many epochs without a better dev score; never when unset. Dev chooses the epoch either
    way."""
    batch_size: PositiveInt = 32
    """Samples per update."""
    learning_rate: PositiveFloat = 5e-5
    """AdamW's, at the end of the warm-up."""
    learning_rates: list[PositiveFloat] = []
    """When given, each is tried and the one with the best dev score is kept, for every run by itself; in place of
    `learning_rate`. Costs as many trainings as there are rates."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate grows; afterwards it falls linearly to 0."""
    weight_decay: NonNegativeFloat = 0.01
    """AdamW's decay of the matrices."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Longest sample in tokens. What is longer is cut (in ner, lost words count as missed); in qa it is read in
    windows."""
    stride: NonNegativeInt = 64
    """Tokens by which neighbouring windows of a long context overlap (qa)."""
    max_answer_tokens: PositiveInt = 30
    """Longest answer that is considered (qa)."""
    sts: Literal["cross-encoder", "bi-encoder"] = "cross-encoder"
    """Read both sentences together, or embed each alone (mean pooling) and take the cosine (sts)."""
    method: Literal["full", "lora", "bitfit", "frozen"] = "full"
    """What is trained: every weight; low-rank updates and the head; biases and the head (BitFit, Ben Zaken et al.,
    arXiv 2106.10199); or the head alone."""
    lora: Lora = Lora()
    neutralise: str | None = None
    """Hide from the head the directions in which this encoder's embeddings tell languages apart: the folder where
    `unibert universality` measured the encoder, or its `NAME.directions.safetensors`. Costs nothing at inference."""
    distillation: TaskDistillation | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Results and addresses from before `neutralise` existed stay those of the same training."""
        settings: dict[str, Any] = default(self)
        if settings.get("neutralise", "") is None:
            del settings["neutralise"]
        return settings

    def for_task(self, task: str) -> FineTune:
        """The same with whatever is idle in a task at its default, so that equal trainings have equal settings."""
        idle = set() if task == "qa" else {"stride", "max_answer_tokens"}
        idle |= set() if task == "sts" else {"sts"}
        idle |= set() if self.method == "lora" else {"lora"}
        idle |= {"learning_rate"} if self.learning_rates else set()
        defaults = {name: getattr(FineTune(), name) for name in idle}
        if len(self.learning_rates) == 1:
            defaults |= {"learning_rate": self.learning_rates[0], "learning_rates": []}
        return self.model_copy(update=defaults)


class DataFiles(Settings):
    """The files of one language; which formats a task reads is in docs/tasks.md."""

    train: str | None = None
    """Without it the language is only tested on."""
    dev: str | None = None
    """Chooses the epoch and the learning rate; without it the last epoch is kept."""
    test: str | None = None


class BenchmarkData(Settings):
    """One benchmark: a known one, by the table's name, from a folder or the hub; or your own files."""

    task: TaskName | None = None
    """Of your own files; a known benchmark has its own."""
    folder: str | None = None
    """Where a known benchmark's files lie; it is had from the Hugging Face hub when unset."""
    hub: str | None = None
    """Another data set of the same layout on the hub than the known one."""
    languages: Annotated[list[LanguageCode], Field(min_length=1)] | None = None
    """Only these; all that are there when unset. Those of STS22 may be pairs, such as `de-en`."""
    files: dict[LanguageCode, DataFiles] = {}
    """Your own files, by language."""
    columns: dict[str, str] = {}
    """Names of columns or fields where your files have other ones than the task's, such as `{premise = "text_a"}`."""
    train_on: str | None = None
    """Train on the training parts of this other benchmark of the same task, for one that has none, such as MLQA."""
    split: bool = False
    """Make train, dev and test out of the only part there is, by a fixed hash of each sample (8 : 1 : 1). Results are
    then named 'on a split of ...'."""
    max_train: PositiveInt | None = None
    """Use at most so many training samples of each language, drawn by a fixed hash."""
    max_test: PositiveInt | None = None
    """The same for dev and test; results are then named 'on a part of ...'."""
    finetune: FineTune = FineTune()
    """What differs from [benchmark.finetune] here."""


class GridExecutor(ClusterSettings):
    """Where fine-tunings run; does not change the results."""

    table = "benchmark.executor"

    workers: PositiveInt = 1
    """Fine-tunings side by side; each gets its share of the cores, or a GPU where there are several."""
    cores: PositiveInt = 2
    """Cores that a fine-tuning asks for (`ray`, `slurm`)."""
    gpus: NonNegativeInt = 0
    """GPUs that a fine-tuning asks for (`ray`, `slurm`); it uses one."""
    memory_gb: PositiveFloat = 4.0
    """Memory that a fine-tuning asks for, in GB (`ray`, `slurm`)."""


def _filled(own: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """A table with what it leaves out from the common one, tables within it likewise."""
    return {
        **common,
        **{
            key: _filled(value, common[key]) if isinstance(value, dict) and isinstance(common.get(key), dict) else value
            for key, value in own.items()
        },
    }


class Benchmark(Settings):
    """Which encoders are fine-tuned on what: models x benchmarks x settings x languages x seeds."""

    models: Annotated[list[str], Field(min_length=1)] = ["student"]
    """`student` and `teacher` stand for this recipe's own, `student` for every member of a family, whose own names are
    known too; `baselines` for the paper's five; anything else is a Hugging Face name or folder."""
    settings: Annotated[list[Setting], Field(min_length=1)] = ["each", "all"]
    """`each`: fine-tune and test on one language; `all`: fine-tune once on every language, test on each; `mono`: the
    same with same-language pairs only (STS22); `zero-shot`: fine-tune on each language of `zero_shot_from`, test on
    all."""
    zero_shot_from: Annotated[list[LanguageCode], Field(min_length=1)] = ["en"]
    """Languages that `zero-shot` fine-tunes on."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1, 2, 3]
    """Each decides a new head's weights, the order of samples and dropout; intervals need two or more."""
    data: dict[DataName, BenchmarkData] = {}
    """One table for each benchmark; `unibert data list` names those that are known."""
    finetune: FineTune = FineTune()
    """For every benchmark; [benchmark.data.NAME.finetune] says what differs there."""
    executor: GridExecutor = GridExecutor()

    @model_validator(mode="before")
    @classmethod
    def _common_settings(cls, tree: Any) -> Any:
        """Fill what a benchmark's own `finetune` leaves out from the common one."""
        common = tree.get("finetune") if isinstance(tree, dict) else None
        data = tree.get("data") if isinstance(tree, dict) else None
        if isinstance(common, FineTune):
            common = common.model_dump(exclude_unset=True)
        if not isinstance(common, dict) or not isinstance(data, dict):
            return tree
        filled = {
            name: {**table, "finetune": _filled(own, common)}
            if isinstance(table, dict) and isinstance(own := table.get("finetune", {}), dict)
            else table
            for name, table in data.items()
        }
        return {**tree, "data": filled}
