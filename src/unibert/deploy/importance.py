"""How much a model's loss depends on each head, each feed-forward column and each hidden unit, to first order.

What a unit does is multiplied by a gate that stands at 1; taking the unit away sets the gate to 0. To first order that
changes the loss of a sample x by -dL(x)/dg, and a unit's importance is the mean of its size,

    I = mean over x of |dL(x) / dg|,

for heads as in Michel et al. (arXiv 1905.10650, equation 2), for anything else as in Molchanov et al. (arXiv
1906.10771, equation 8 for the gate, here with the absolute value in place of the square). Since the gate multiplies
what a weight matrix reads or a normalisation puts out, dL/dg is also the sum of w dL/dw over that matrix's columns, or
over scale and shift: the two are equal (tested), but the gates give it for every sample by itself, in one backward
pass and without any gradient of a weight. The size is taken within each sample, since over many samples the gradient of
a trained model is near 0 whatever the unit does.

The hidden width is read and written in many places. A unit's importance there is the sum over all normalisations, whose
output all readers share, and over the projection onto the vocabulary where it is tied to the embeddings. That bounds
what is lost by all of these gates together, but does not know that a normalisation's mean and variance change.

All of it is in units of the loss (nats), so what is lost with a head and with a column can be compared and added.

Shape suffixes: B samples, L positions, M masked rows, U units, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unibert.deploy.structure import Site, Structure
from unibert.errors import DataError

Importance = Mapping[str, NDArray[np.float64]]
"""By space, of every unit, [U]."""


class Measurable(Protocol):
    """A batch of samples, and what a model's loss on each of them is."""

    @property
    def samples(self) -> int:
        """How many."""

    @property
    def source(self) -> str:
        """Where they are from, for messages."""

    def losses(self, model: Any, gates: Gates | None = None) -> Tensor:
        """The loss of every sample, losses_B, with gradient. Whoever calls the model on chosen rows tells the gates."""


class Gates:
    """Factors of one on what every unit does, for each sample apart.

    Args:
        model: whose modules are hooked while `attached`.
        structure: of this model.
    """

    def __init__(self, model: Any, structure: Structure) -> None:
        self._model, self._structure = model, structure
        self._gates: dict[Site, Tensor] = {}
        self._sample_of: Tensor | None = None

    @contextmanager
    def attached(self, samples: int) -> Iterator[None]:
        """Multiply by the gates what goes through the model in this block: `samples` samples, in every call."""
        modules = dict(self._model.named_modules())
        handles = []
        self._gates = {}
        self._sample_of = None
        for site in self._structure.sites:
            units = self._structure.units(site.space)
            self._gates[site] = torch.ones((samples, units), device=self._model.device, dtype=self._model.dtype)
            self._gates[site].requires_grad_(True)
            module = modules[site.module]
            if site.at_input:
                handles.append(module.register_forward_pre_hook(self._before(site)))
            else:
                handles.append(module.register_forward_hook(self._after(site)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def rows(self, sample_of_M: Tensor) -> Iterator[None]:
        """What goes through the model in this block are rows, [1, M, D], of these samples."""
        self._sample_of = sample_of_M
        try:
            yield
        finally:
            self._sample_of = None

    def gradients(self, losses_B: Tensor) -> dict[Site, Tensor]:
        """The gradient of every sample's own loss by its own gates, [B, U]; 0 for what had no part in it."""
        sites = list(self._gates)
        found = torch.autograd.grad(losses_B.sum(), [self._gates[site] for site in sites], allow_unused=True)
        return {
            site: torch.zeros_like(self._gates[site]) if gradient is None else gradient
            for site, gradient in zip(sites, found, strict=True)
        }

    def _before(self, site: Site) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
        return lambda module, given: (self._gated(site, given[0]), *given[1:])

    def _after(self, site: Site) -> Callable[[Any, Any, Tensor], Tensor]:
        return lambda module, given, output: self._gated(site, output)

    def _gated(self, site: Site, values: Tensor) -> Tensor:
        """`values` are [B, L, ...], [B, ...] or the rows [1, M, ...] of `rows`; the last axis runs over the units."""
        gate = self._gates[site]
        if site.space.startswith("heads."):
            gate = gate.repeat_interleave(self._structure.head_width, dim=-1)
        if self._sample_of is not None:
            return values * gate[self._sample_of].unsqueeze(0)
        return values * (gate.unsqueeze(1) if values.dim() == 3 else gate)


def measure_importance(
    model: Any,
    structure: Structure,
    batches: Iterable[Measurable],
    advance: Callable[[int], object] = lambda samples: None,
) -> Importance:
    """The importance of every unit of every space, as a mean over samples.

    Args:
        model: its weights are left as they are; it is run without dropout.
        structure: of this model.
        batches: samples with their losses; no gradient is kept for more than one.
        advance: called with the number of samples after each batch.

    Raises:
        DataError: no samples, or a loss or gradient that is not a number.
    """
    totals = {space: np.zeros(structure.units(space)) for space in structure.spaces}
    gates, count = Gates(model, structure), 0
    was_training = model.training
    learned = {weight: weight.requires_grad for weight in model.parameters()}
    model.eval().requires_grad_(False)
    try:
        for batch in batches:
            with gates.attached(batch.samples):
                losses_B = batch.losses(model, gates)
                if not bool(losses_B.isfinite().all()):
                    raise _not_a_number(batch.source)
                gradients = gates.gradients(losses_B)
            for site, gradient_BU in gradients.items():
                totals[site.space] += gradient_BU.abs().sum(dim=0).double().cpu().numpy()
            count += batch.samples
            advance(batch.samples)
            if not all(np.isfinite(total).all() for total in totals.values()):
                raise _not_a_number(batch.source)
    finally:
        model.train(was_training)
        for weight, needs in learned.items():
            weight.requires_grad_(needs)
    if not count:
        raise DataError("nothing to measure importance on", "Give more text, or more labelled data.")
    return {space: total / count for space, total in totals.items()}


def _not_a_number(source: str) -> DataError:
    return DataError(
        f"{source}: the model's loss on it, or its gradient, is not a number",
        "Check the model: its weights may have grown too large in training; train it with a lower learning rate.",
    )
