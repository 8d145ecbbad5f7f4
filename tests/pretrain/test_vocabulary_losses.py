"""The fused losses equal the plain ones (objectives.py) in value and in gradient, however many rows there are."""

import shutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unibert.errors import DataError
from unibert.pretrain import vocabulary_losses as module
from unibert.pretrain.objectives import distillation_loss, mlm_loss
from unibert.pretrain.top_k import top_k, truncated_divergence
from unibert.pretrain.vocabulary_losses import (
    VocabularyObjective,
    check_compilation,
    vocabulary_losses,
    wants_compilation,
)

WIDTH, TEACHER_WIDTH = 6, 9
CPU = torch.device("cpu")


def make(rows: int, vocabulary: int, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {
        "features": torch.randn(rows, WIDTH, requires_grad=True),
        "weight": torch.randn(vocabulary, WIDTH, requires_grad=True),
        "bias": torch.randn(vocabulary, requires_grad=True),
        "labels": torch.randint(0, vocabulary, (rows,)),
        "mlm_scale": torch.rand(rows),
        "kd_scale": torch.rand(rows),
        "teacher": torch.randn(rows, vocabulary) * 2,
    }


def check(given: dict[str, Tensor], objective: VocabularyObjective, teacher: str, bias: bool = True) -> None:
    leaves = [given[name] for name in ("features", "weight", *(["bias"] if bias else []))]
    logits_MV = torch.nn.functional.linear(given["features"], given["weight"], given["bias"] if bias else None)
    mlm_M = mlm_loss(logits_MV, given["labels"], objective.label_smoothing)
    top = top_k(given["teacher"], 4, objective.temperature)
    kd_M = {
        "none": lambda: torch.zeros_like(mlm_M),
        "logits": lambda: distillation_loss(logits_MV, given["teacher"], objective.temperature),
        "top": lambda: truncated_divergence(logits_MV, top, objective.temperature),
    }[teacher]()
    naive = (given["mlm_scale"] * mlm_M).sum() + (given["kd_scale"] * kd_M).sum()
    expected = torch.autograd.grad(3.0 * naive, leaves)

    answer: Any = {"none": None, "logits": lambda rows: given["teacher"][rows], "top": top}[teacher]
    total, losses = vocabulary_losses(
        given["features"],
        given["weight"],
        given["bias"] if bias else None,
        given["labels"],
        given["mlm_scale"],
        answer,
        given["kd_scale"],
        objective,
    )
    torch.testing.assert_close(total, naive, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.mlm_M, mlm_M, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.distillation_M, kd_M, rtol=1e-3, atol=1e-5)
    for actual, wanted in zip(torch.autograd.grad(3.0 * total, leaves), expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-3, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 300),
    vocabulary=st.integers(5, 40),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    teacher=st.sampled_from(["none", "logits", "top"]),
    bias=st.booleans(),
)
def test_fused_equals_plain(
    rows: int, vocabulary: int, smoothing: float, temperature: float, teacher: str, bias: bool
) -> None:
    check(make(rows, vocabulary), VocabularyObjective(smoothing, temperature), teacher, bias)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize("teacher", ["none", "logits", "top"])
def test_compiled_equals_plain_and_is_compiled_once(teacher: str) -> None:
    torch._dynamo.reset()
    module._tile_function.cache_clear()
    for rows in (1, 31, 32, 33, 150):
        with torch._dynamo.config.patch(error_on_recompile=rows > 1):
            check(make(rows, 37, seed=rows), VocabularyObjective(0.7, 2.0, compiled=True), teacher)


def test_bfloat16_is_close() -> None:
    given = make(40, 200)
    arguments = [given[key] for key in ("features", "weight", "bias", "labels", "mlm_scale")]
    rest = (lambda rows: given["teacher"][rows], given["kd_scale"], VocabularyObjective(0.1, 2.0))
    exact, _ = vocabulary_losses(*arguments, *rest)
    rough, _ = vocabulary_losses(*arguments, *rest, dtype=torch.bfloat16)
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=2e-2)
    leaves = arguments[:3]
    for one, other in zip(torch.autograd.grad(rough, leaves), torch.autograd.grad(exact, leaves), strict=True):
        assert one.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_no_rows_are_no_loss() -> None:
    given = make(0, 11)
    total, losses = vocabulary_losses(
        *(given[key] for key in ("features", "weight", "bias", "labels", "mlm_scale")),
        None,
        given["kd_scale"],
        VocabularyObjective(),
    )
    total.backward()
    assert float(total.detach()) == 0
    assert losses.mlm_M.shape == (0,)
    assert given["weight"].grad is not None
    assert not given["weight"].grad.any()


def test_large_logits_do_not_overflow() -> None:
    given = make(3, 11)
    with torch.no_grad():
        given["features"] *= 1e3
    check(given, VocabularyObjective(0.0, 1.0), "none")


def test_only_one_block_of_logits_lives_without_gradients() -> None:
    given = make(500, 64)
    asked = []

    def teacher(rows: slice) -> Tensor:
        asked.append(rows.stop - rows.start)
        return given["teacher"][rows]

    with torch.no_grad():
        vocabulary_losses(
            *(given[key] for key in ("features", "weight", "bias", "labels", "mlm_scale")),
            teacher,
            given["kd_scale"],
            VocabularyObjective(),
        )
    assert max(asked) <= 128
    assert sum(asked) == 500


def test_when_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_compiler", lambda device: True)
    assert wants_compilation("auto", 500, CPU)
    assert not wants_compilation("auto", 499, CPU)
    assert wants_compilation("on", 1, CPU)
    assert not wants_compilation("off", 10**6, CPU)
    monkeypatch.setattr(module, "_has_compiler", lambda device: False)
    assert not wants_compilation("auto", 10**6, CPU)


def test_a_broken_compiler_is_found_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(compiled: bool) -> Any:
        raise RuntimeError("g++: fatal error: no input files\nmore")

    monkeypatch.setattr(module, "_tile_function", broken)
    with pytest.raises(DataError, match=r"cannot be compiled here \(g\+\+: fatal error: no input files\)"):
        check_compilation(50, torch.float32, CPU, True, VocabularyObjective())


def test_what_is_compiled_before_the_first_step_is_what_the_steps_need(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    function = torch.compile(module._tile, dynamic=False, backend=count)
    monkeypatch.setattr(module, "_tile_function", lambda compiled: function)
    objective = VocabularyObjective(0.7, 3.0, compiled=True)
    check_compilation(50, torch.bfloat16, CPU, True, objective)
    before = len(graphs)
    teacher, scale_M = torch.randn(40, 50).bfloat16(), torch.full((40,), 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vocabulary_losses(
            torch.randn(40, 8, requires_grad=True),
            torch.randn(50, 8, requires_grad=True),
            None,
            torch.zeros(40, dtype=torch.int64),
            scale_M,
            lambda part: teacher[part],
            scale_M,
            objective,
            torch.bfloat16,
        )[0].backward()
    assert (before, len(graphs)) == (1, 1)
