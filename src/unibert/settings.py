"""What every node of the settings tree is made of."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{1,19}$")]


class Settings(BaseModel):
    """A node of the settings tree: frozen, and no key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class ClusterSettings(Settings):
    """Where tasks run: on this machine, on a Ray cluster, or as a Slurm array. Does not change the result."""

    table: ClassVar[str]
    """Where these settings stand in a recipe, for messages."""

    kind: Literal["local", "ray", "slurm"] = "local"
    """For `ray` and `slurm` all machines must share the folders."""
    address: str | None = None
    """Of the Ray cluster, such as `auto` or `ray://host:10001`; a cluster on this machine is started when unset."""
    partition: str | None = None
    """Slurm's partition; needed for `slurm`."""
    time: str = "24:00:00"
    """Slurm's time limit for a task."""
    setup: str = ""
    """Shell command that a Slurm task runs first, such as `source /shared/venv/bin/activate`."""
    sbatch: dict[str, str] = {}
    """More options for `sbatch`, such as `{account = "nlp"}`."""

    @model_validator(mode="after")
    def _slurm_needs_a_partition(self) -> Self:
        if self.kind == "slurm" and not self.partition:
            raise ValueError(f"kind 'slurm' needs a partition: set {self.table}.partition")
        return self
