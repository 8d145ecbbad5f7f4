"""The settings of pre-training: the part of the tree (recipe.py) that the method lives in.

The paper is Avram et al., arXiv 2503.12608; equation numbers are its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from unibert.settings import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Settings, Share


class Architecture(Settings):
    """The shape of a BERT encoder; a name stands for the three sizes of the paper's Table 1."""

    layers: PositiveInt
    """Transformer layers."""
    hidden: PositiveInt
    """Width of the token embeddings; a multiple of `heads`."""
    heads: PositiveInt
    """Attention heads per layer."""
    feed_forward: PositiveInt = 3072
    """Width between the two linear maps of a layer. 3072 is what gives Table 1's parameter counts."""
    max_positions: PositiveInt = 512
    """Longest sequence the encoder can read, special tokens included."""

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


SizeName = Literal["small", "xsmall", "xxsmall"]
StudentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
AdversaryMode = Literal["none", "loss-reversal", "gradient-reversal", "confusion"]


class Masking(Settings):
    """Which positions are predicted (equation 1): the published recipe of BERT."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Share of a sample's tokens that are chosen, uniformly, special tokens excepted; at least one per sample."""
    mask: Share = 0.8
    """Share of the chosen tokens that become [MASK]."""
    random: Share = 0.1
    """Share of the chosen tokens that become a random piece; the rest stay as they are."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.mask + self.random > 1:
            raise ValueError(f"mask ({self.mask}) + random ({self.random}) must not be more than 1")
        return self


class Adversary(Settings):
    """The language discriminator on mean-pooled embeddings (equations 2 and 3)."""

    mode: AdversaryMode = "confusion"
    """`none`; `loss-reversal`: equation 5 read literally, student and discriminator both follow -L_adv (it runs off);
    `gradient-reversal`: the discriminator learns, the student follows the reversed gradient; `confusion`: the student
    pulls the discriminator's answer towards the uniform distribution."""
    weight: NonNegativeFloat = 0.005
    """lambda_adv of equation 5; a hundredth of `mlm_weight` here: studies/adversary says what it buys."""
    hidden: PositiveInt | None = None
    """Width of the discriminator's hidden layers; a linear discriminator when unset."""
    depth: PositiveInt = 1
    """Number of hidden layers of width `hidden`; without `hidden` there are none."""
    learning_rate: PositiveFloat | None = None
    """The discriminator's own, at the end of the warm-up; the student's when unset. Follows the same schedule."""
    steps: PositiveInt = 1
    """Updates of the discriminator per update of the student, all on the same batch's embeddings."""
    start: NonNegativeFloat = 0.3
    """Up to this step, or below 1 this share of the steps, the weight is 0 for the student; the discriminator learns
    from step 0. With `start = 0` and `full = 0` the weight is whole throughout."""
    full: NonNegativeFloat = 0.6
    """From this step or share on the weight is whole; it grows linearly between `start` and `full`."""
    bound: PositiveFloat = 50.0
    """Warn once when L_adv passes this value: the loss has run off and the model is no longer learning language."""

    @model_validator(mode="after")
    def _ramp_goes_up(self) -> Self:
        for name, value in (("start", self.start), ("full", self.full)):
            if value >= 1 and value != int(value):
                raise ValueError(f"{name} ({value:g}) must be a whole number of steps, or below 1 a share of them")
        # Between a step and a share nothing can be said before the number of steps is known: see `ramp`.
        if self.full and self.full < self.start and (self.full < 1) == (self.start < 1):
            raise ValueError(f"full ({self.full:g}) must not come before start ({self.start:g})")
        return self

    def ramp(self, steps: int) -> tuple[int, int]:
        """The step up to which the weight is 0, and the one from which on it is whole, of a training of `steps`."""
        start, full = (round(value * steps) if value < 1 else int(value) for value in (self.start, self.full))
        return start, max(start, full)


class HiddenStates(Settings):
    """Distil layer by layer: squared error between projected hidden states (TinyBERT, arXiv 1909.10351, equation 8)."""

    weight: NonNegativeFloat = 0.0
    """Of this part in the objective; 0 leaves it out."""
    layers: Literal["all", "last"] = "all"
    """`all`: the embeddings and every layer of the student, each against the teacher's layer at the same relative
    depth; `last`: only the last layer of both."""


class Relations(Settings):
    """Distil self-attention relations (MiniLMv2, arXiv 2012.15828): works across widths and numbers of heads."""

    weight: NonNegativeFloat = 0.0
    """Of this part in the objective; 0 leaves it out."""
    heads: PositiveInt = 16
    """Relation heads: queries, keys and values of a layer are joined over its heads and cut anew into this many; must
    divide the width of teacher and student."""
    teacher_layer: PositiveInt | None = None
    """The teacher's layer, counted from 1; the last when unset (MiniLMv2 takes one before the last for large
    teachers). The student's is always its last."""


class Distillation(Settings):
    """KL(teacher || student) between softened predictions (equation 4), and two more ways to learn from a teacher."""

    weight: NonNegativeFloat = 0.4
    """lambda_KD of equation 5."""
    temperature: PositiveFloat = 2.0
    """Both models' logits are divided by it before the softmax."""
    scale_by_temperature: bool = False
    """Multiply by temperature squared, which keeps the gradient's size when the temperature changes; the paper does
    not say that it does."""
    positions: Literal["masked", "all"] = "masked"
    """The rows that predictions are compared on; the paper does not say. All cost as much again as everything else."""
    hidden: HiddenStates = HiddenStates()
    relations: Relations = Relations()

    @property
    def needs_teacher(self) -> bool:
        """Whether any part is on."""
        return self.weight > 0 or self.hidden.weight > 0 or self.relations.weight > 0


class Pretrain(Settings):
    """One training run: a student (or a teacher) from scratch. The defaults are the paper's."""

    student: SizeName | Architecture = "xxsmall"
    """`small`, `xsmall`, `xxsmall` (Table 1) or a shape of your own."""
    students: (
        Annotated[list[SizeName], Field(min_length=1)]
        | Annotated[dict[StudentName, Architecture], Field(min_length=1)]
        | None
    ) = None
    """Instead of one student a family, such as `["small", "xsmall", "xxsmall"]` or a table of names and shapes: trained
    side by side from one pass of the teacher, each exactly as it would be alone."""
    initialise: Literal["random", "teacher"] = "random"
    """`teacher`: embeddings and output by truncated singular value decomposition of the teacher's, layers by selection
    where the shapes allow."""
    steps: PositiveInt = 1_000_000
    """Updates of the weights."""
    batch_size: PositiveInt = 128
    """Samples per step, over all processes and micro-batches."""
    context: Annotated[int, Field(ge=8)] = 512
    """Longest sample in tokens, [CLS] and [SEP] included; what is longer is cut."""
    alpha: Share = 0.7
    """p(language) is proportional to (its number of samples) ** alpha; 1 is the corpus as it is, 0 all alike."""
    mlm_weight: NonNegativeFloat = 0.5
    """lambda_MLM of equation 5."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """Probability that the target spreads over the whole vocabulary (section 3 of the paper uses 0.7)."""
    masking: Masking = Masking()
    adversary: Adversary = Adversary()
    distillation: Distillation = Distillation()
    learning_rate: PositiveFloat = 5e-4
    """AdamW's, at the end of the warm-up."""
    warmup_steps: NonNegativeInt = 50_000
    """Steps in which the learning rate grows linearly from 0; afterwards it falls linearly to 0 at the last step."""
    weight_decay: NonNegativeFloat = 0.01
    """AdamW's decay of the matrices; biases and normalisation weights are not decayed."""
    clip_norm: PositiveFloat = 5.0
    """The student's gradient is scaled down to this norm; the discriminator's, apart from it, likewise."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability, for hidden states and attention alike."""
    micro_batch_tokens: PositiveInt = 8192
    """A batch is cut, by length, into micro-batches of at most this many tokens. Decides memory and speed; changes the
    result only by rounding (and by which dropout numbers a sample meets)."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the vocabulary losses (torch.compile; half a minute, once per machine). `auto`: in runs of 500 steps
    or more, where a compiler is found. Changes the result only by rounding."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the hardware computes in it (CUDA; AMX or AVX512-BF16 on a CPU)."""
    evaluate_every: PositiveInt = 5_000
    """Steps between held-out losses; also after the last step."""
    save_every: PositiveInt = 5_000
    """Steps between checkpoints; also when the run is told to stop."""
    keep_checkpoints: PositiveInt = 2
    """The newest ones that stay on the disk."""
    log_every: PositiveInt = 50
    """Steps between lines of `log.jsonl`; a line holds the means since the one before."""
    tensorboard: bool = True
    """Also write TensorBoard events when the package is installed."""
    tracker: Literal["wandb", "trackio"] | None = None
    """Also send the log to this tracker; its package has to be installed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        for name, shape in self.members.items():
            positions = shape.max_positions if isinstance(shape, Architecture) else 512
            if self.context > positions:
                raise ValueError(f"context ({self.context}) is longer than the {positions} positions of {name!r}")
        # Names with another meaning: in benchmark.models, and in the run's folder.
        taken = {"student", "teacher", "checkpoints"} & set(self.students or ())
        if taken:
            raise ValueError(f"students: no member may be called {', '.join(sorted(taken))}")
        if isinstance(self.students, list) and len(set(self.students)) < len(self.students):
            raise ValueError(f"students names a size twice: {', '.join(self.students)}")
        adversary = self.adversary
        if adversary.mode != "none" and adversary.weight > 0 and adversary.ramp(self.steps)[0] >= self.steps:
            raise ValueError(
                f"adversary.start ({adversary.start:g}) must be less than steps ({self.steps}): the adversary would "
                "never act"
            )
        if self.mlm_weight == 0 and not self.distillation.needs_teacher:
            raise ValueError("mlm_weight and distillation.weight are both 0: nothing would be learned")
        return self

    @property
    def needs_teacher(self) -> str:
        """Which setting asks for a teacher, in words; empty when none does."""
        weights = {
            "distillation.weight": self.distillation.weight,
            "distillation.hidden.weight": self.distillation.hidden.weight,
            "distillation.relations.weight": self.distillation.relations.weight,
        }
        asking = [f"{key} is above 0" for key, weight in weights.items() if weight > 0]
        asking += ["initialise is 'teacher'"] if self.initialise == "teacher" else []
        return asking[0] if asking else ""

    @property
    def members(self) -> dict[str, SizeName | Architecture]:
        """The students that are trained, by name; a single one is called `student`."""
        if self.students is None:
            return {"student": self.student}
        if isinstance(self.students, dict):
            return dict(self.students)
        return {size: size for size in self.students}

    def alone(self, member: str) -> Pretrain:
        """The settings that train this one member of the family by itself."""
        return self.model_copy(update={"student": self.members[member], "students": None})

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result; those for logging, saving and speed are left out."""
        silent = {"evaluate_every", "save_every", "keep_checkpoints", "log_every", "tensorboard", "tracker", "compile"}
        settings = self.model_dump(mode="json", exclude=silent)
        del settings["adversary"]["bound"]  # it only warns
        return settings
