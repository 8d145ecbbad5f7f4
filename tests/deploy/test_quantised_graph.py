"""Weights in int8 and float16: rounding, and graphs built by hand in which every case is met."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from unibert.deploy.quantised_graph import convert_to_float16, quantise_to_int8, quantised
from unibert.deploy.session import open_session
from unibert.errors import DataError

Array = np.ndarray


@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-1e3, 1e3, width=32)),
    st.integers(0, 1),
    st.sampled_from([63, 127]),
)
def test_rounding_is_off_by_half_a_step_at_most(weights: Array, axis: int, largest: int) -> None:
    whole, scales = quantised(weights, axis, largest)
    assert whole.dtype == np.int8
    assert np.abs(whole.astype(int)).max() <= largest
    step = np.expand_dims(scales, 1 - axis)
    assert (np.abs(whole * step - weights) <= 0.501 * step + 1e-37).all()
    # The largest of each row or column is kept, but for float32's own rounding.
    largest_of_each = np.abs(weights).max(1 - axis)
    assert np.allclose(np.abs(whole * step).max(1 - axis), largest_of_each, rtol=1e-5, atol=1e-37)


def test_a_large_weight_costs_only_its_own_output() -> None:
    weights = np.full((4, 3), 0.01, np.float32)
    weights[0, 1] = 100
    whole, scales = quantised(weights, 1, 127)
    assert np.allclose((whole * scales)[:, [0, 2]], 0.01, rtol=1e-6)


def graph_of(nodes: list[onnx.NodeProto], tensors: dict[str, Array], inputs: dict[str, int]) -> onnx.ModelProto:
    """A model that puts out `out`; its inputs are float32 [*, width], or int64 [*] of width 0."""
    given_ = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT if width else TensorProto.INT64, ["n", width][: 1 + (width > 0)]
        )
        for name, width in inputs.items()
    ]
    out = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "m"])]
    weights = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", given_, out, weights), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    return model


def run(model: onnx.ModelProto, **inputs: Array) -> Array:
    [out] = open_session(model.SerializeToString(), threads=1).run(None, inputs)
    return out


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 32)).astype(np.float32)
W = RANDOM.normal(size=(32, 48)).astype(np.float32)
B = RANDOM.normal(size=48).astype(np.float32)

PRODUCTS = {
    "MatMul": ([helper.make_node("MatMul", ["x", "w"], ["out"])], {"w": W}),
    "MatMul of a matrix turned around": (
        [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["out"])],
        {"w": np.ascontiguousarray(W.T)},
    ),
    "Gemm": ([helper.make_node("Gemm", ["x", "w"], ["out"])], {"w": W}),
    "Gemm with a bias": ([helper.make_node("Gemm", ["x", "w", "b"], ["out"])], {"w": W, "b": B}),
    "Gemm turned around": (
        [helper.make_node("Gemm", ["x", "w", "b"], ["out"], transB=1)],
        {"w": np.ascontiguousarray(W.T), "b": B},
    ),
}


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("case", PRODUCTS)
def test_products(case: str, reduce_range: bool) -> None:
    nodes, tensors = PRODUCTS[case]
    expected = X @ W + (B if "b" in tensors else 0)
    model = quantise_to_int8(graph_of(nodes, tensors, {"x": 32}), reduce_range)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored["w_int8"].dtype == np.int8
    assert np.abs(stored["w_int8"].astype(int)).max() == (63 if reduce_range else 127)
    assert "w" not in stored
    found = run(model, x=X)
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).max() < (0.4 if reduce_range else 0.3)  # of numbers up to 20
    onnx.checker.check_model(model)


def test_a_table_that_is_the_output_too_is_stored_once() -> None:
    table = RANDOM.normal(size=(200, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["hidden"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["hidden", "turned"], ["out"]),
    ]
    model = quantise_to_int8(graph_of(nodes, {"table": table}, {"ids": 0}))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert [name for name, value in stored.items() if value.size >= table.size] == ["table_int8"]
    assert len(model.SerializeToString()) < 200 * 32 + 4 * 200 + 3000
    ids = np.array([3, 199, 3])
    expected = table[ids] @ table.T
    assert np.abs(run(model, ids=ids) - expected).max() < 0.02 * np.abs(expected).max()


def test_embeddings_are_those_of_the_table_rounded() -> None:
    table = RANDOM.normal(size=(100, 16)).astype(np.float32) * np.linspace(0.01, 10, 100)[:, None].astype(np.float32)
    model = quantise_to_int8(
        graph_of([helper.make_node("Gather", ["table", "ids"], ["out"])], {"table": table}, {"ids": 0})
    )
    whole, scales = quantised(table, 0, 127)
    ids = np.array([0, 50, 99])
    assert np.array_equal(run(model, ids=ids), (whole * scales[:, None])[ids])


def test_two_uses_along_different_axes() -> None:
    """A matrix that is looked up by rows and multiplied by columns is only quantised for the first use."""
    square = RANDOM.normal(size=(64, 64)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w"], ["out"]),
    ]
    model = quantise_to_int8(graph_of(nodes, {"w": square}, {"ids": 0}))
    assert {"w", "w_int8"} <= {tensor.name for tensor in model.graph.initializer}
    expected = square[[1, 2]] @ square
    assert np.abs(run(model, ids=np.array([1, 2])) - expected).max() < 0.02 * np.abs(expected).max()


def test_activations_are_rounded_once_for_all_that_read_them() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"]),
        helper.make_node("MatMul", ["x", "v"], ["two"]),
        helper.make_node("Add", ["one", "two"], ["out"]),
    ]
    model = quantise_to_int8(graph_of(nodes, {"w": W, "v": -W}, {"x": 32}))
    assert [node.op_type for node in model.graph.node].count("DynamicQuantizeLinear") == 1
    assert np.abs(run(model, x=X)).max() < 1e-4


def test_what_stays_as_it_is() -> None:
    narrow, small = W[:, :3].copy(), RANDOM.normal(size=(2, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["types", "ids"], ["of_type"]),
        helper.make_node("Add", ["of_type", "x"], ["sum"]),
        helper.make_node("MatMul", ["sum", "narrow"], ["few"]),
        helper.make_node("Gemm", ["sum", "w"], ["scaled"], alpha=0.5),
        helper.make_node("ReduceSum", ["few"], ["total"], keepdims=0),
        helper.make_node("Add", ["scaled", "total"], ["out"]),
    ]
    model = graph_of(nodes, {"types": small, "narrow": narrow, "w": W}, {"ids": 0, "x": 32})
    with pytest.raises(DataError, match="no weights in float32 to quantise"):
        quantise_to_int8(model)


def test_a_graph_that_is_quantised_already() -> None:
    nodes, tensors = PRODUCTS["MatMul"]
    model = quantise_to_int8(graph_of(nodes, tensors, {"x": 32}))
    with pytest.raises(DataError, match="no weights in float32"):
        quantise_to_int8(model)


def test_float16_reads_and_puts_out_float32() -> None:
    nodes, tensors = PRODUCTS["Gemm with a bias"]
    model = convert_to_float16(graph_of(nodes, tensors, {"x": 32}))
    assert {numpy_helper.to_array(tensor).dtype for tensor in model.graph.initializer} == {np.dtype(np.float16)}
    found = run(model, x=X)
    assert found.dtype == np.float32
    assert np.abs(found - (X @ W + B)).max() < 0.03
