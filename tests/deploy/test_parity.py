"""Parity can fail: graphs that were tampered with, masks that are not heeded, numbers that are none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from deploy_support import TEXTS
from ner_support import tiny_tokenizer
from unibert.deploy.parity import (
    Parity,
    ParityFailed,
    check_parity,
    format_parity,
    measure_parity,
    texts_of_pieces,
)
from unibert.deploy.session import by_length, load_model, open_session
from unibert.deploy.source import Deployable, load_deployable


@pytest.fixture(scope="module")
def model(mlm: Path) -> Deployable:
    return load_deployable(mlm / "model")


def tampered(export: Path, act: Callable[[onnx.GraphProto], object]) -> Any:
    changed = load_model(export / "onnx" / "model.onnx")
    act(changed.graph)
    return open_session(changed.SerializeToString())


def change_tensor(graph: onnx.GraphProto, ending: str, act: Callable[[Any], Any]) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name.endswith(ending))
    tensor.CopyFrom(numpy_helper.from_array(act(numpy_helper.to_array(tensor).copy()), tensor.name))


def without_mask(graph: onnx.GraphProto) -> None:
    """Attention sees the padding: what is added to its scores is 0."""
    [added] = [t for t in graph.initializer if t.dims == [] and numpy_helper.to_array(t) == -1e4]
    added.CopyFrom(numpy_helper.from_array(np.float32(0).reshape(()), added.name))


def test_what_was_exported_is_the_same(model: Deployable, mlm: Path) -> None:
    found = measure_parity(model, tampered(mlm / "export", lambda graph: None), TEXTS)
    assert {language: parity.texts for language, parity in found.items()} == {"one piece": 1, "de": 4, "fr": 4}
    assert all(parity.agreement == 1.0 and parity.difference < 1e-4 for parity in found.values())
    check_parity("m", found, 1e-4)


CASES: dict[str, Callable[[onnx.GraphProto], object]] = {
    "a bias": lambda graph: change_tensor(
        graph, "layer.1.output.dense.bias", lambda bias: bias + 0.01 * np.arange(32, dtype=np.float32)
    ),
    "a norm": lambda graph: change_tensor(graph, "layer.0.output.LayerNorm.weight", lambda weight: weight * 1.01),
    "no mask": without_mask,
    "token types": lambda graph: change_tensor(graph, "token_type_embeddings.weight", lambda table: table[[0, 0]]),
    "the last positions": lambda graph: change_tensor(
        graph, "position_embeddings.weight", lambda table: np.concatenate([table[:6], table[:58]])
    ),
    "not a number": lambda graph: change_tensor(graph, "layer.0.output.dense.bias", lambda bias: bias * np.nan),
}


@pytest.mark.parametrize("case", CASES)
def test_a_graph_that_says_something_else_is_refused(model: Deployable, mlm: Path, case: str) -> None:
    found = measure_parity(model, tampered(mlm / "export", CASES[case]), TEXTS)
    with pytest.raises(ParityFailed, match="more than the tolerance") as caught:
        check_parity("m", found, 1e-4)
    assert caught.value.found == found


def test_the_worst_language_is_named() -> None:
    found = {"de": Parity(4, 1e-6, 1.0, None), "fr": Parity(4, 3e-4, 2.0, 1.0), "es": Parity(4, 5e-4, 10.0, 1.0)}
    with pytest.raises(ParityFailed, match=r"differ by 0.0003 at numbers up to 2 \(fr\)"):
        check_parity("m", found, 1e-4)
    # The difference is judged by how large the numbers are.
    check_parity("m", found, 1.6e-4)
    lines = format_parity(found).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["de", "fr", "es"]
    assert "100.00 %" in lines[2]
    assert "%" not in lines[1]


def test_texts_of_pieces() -> None:
    tokenizer = tiny_tokenizer()
    [texts] = texts_of_pieces(tokenizer, 40).values()
    assert [len(text.split()) for text in texts] == [1, 40, 2, 20, 3, 10, 5, 5]
    ids = [number for row in tokenizer(texts, add_special_tokens=False).input_ids for number in row]
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert texts_of_pieces(tokenizer, 40) == {"pieces": texts} != texts_of_pieces(tokenizer, 40, seed=1)


@given(st.lists(st.integers(1, 30)), st.integers(1, 100))
def test_batches_hold_every_place_once_and_no_more_than_the_budget(lengths: list[int], budget: int) -> None:
    batches = by_length(lengths, budget)
    assert [place for batch in batches for place in batch] == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= budget
