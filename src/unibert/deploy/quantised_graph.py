"""An ONNX graph with its weights in fewer bits: int8 with a scale per row or column, or float16.

Of int8, weights are symmetric: w = scale * q with q in -127..127, and the scale is that of an output (a column of a
matrix, a row of a table of embeddings), so that a single large weight costs the others of its own output only. What a
matrix is multiplied with is made to uint8 while the model runs, with one scale and zero point for a whole batch
(dynamic quantisation), and the product is summed up in int32: `DynamicQuantizeLinear` and `MatMulInteger` of the
standard, which onnxruntime fuses. Embeddings are looked up in int8 and scaled after that. Products of two activations,
as in attention, norms and biases stay in float32.

onnxruntime's own `quantize_dynamic` leaves a table in float32, or stores one twice that embeddings and output share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unibert.errors import DataError

_LEAST_WIDTH = 16
"""Matrices with fewer rows or columns stay as they are: a classifier of some classes saves nothing."""
_LEAST_ROWS = 64
"""Tables with fewer rows stay as they are, such as that of the token types."""


def quantise_to_int8(model: Any, reduce_range: bool = False) -> Any:
    """Give a graph's matrices and tables of embeddings in int8; a table that two operators share stays shared.

    Args:
        model: onnx's `ModelProto`, in float32; is changed.
        reduce_range: use 7 of the 8 bits. x86 processors without VNNI (before about 2019) add up two products of uint8
            and int8 in 16 bits, which 8 bits may overflow.

    Returns:
        The model.

    Raises:
        DataError: there is nothing in it to quantise.
    """
    rewriting = _Rewriting(model, 63 if reduce_range else 127)
    rewriting.run()
    if not rewriting.scales:
        raise DataError("the ONNX file has no weights in float32 to quantise", "Export the model again, in float32.")
    return model


def has_float_matrices(model: Any) -> bool:
    """Whether a graph holds any matrix in float32; else there is nothing in it to be put in fewer bits."""
    import onnx

    return any(each.data_type == onnx.TensorProto.FLOAT and len(each.dims) == 2 for each in model.graph.initializer)


def convert_to_float16(model: Any) -> Any:
    """Give a graph's weights and activations in float16, its inputs and outputs as before: for WebGPU and its like.

    Args:
        model: onnx's `ModelProto`, in float32; is changed.

    Returns:
        The model.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=False)


def quantised(weights: NDArray[np.float32], axis: int, largest: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a matrix to whole numbers from `-largest` to `largest`, with a scale for each place along an axis.

    Args:
        weights: [R, C].
        axis: 0 for a scale per row, 1 for one per column.
        largest: whole number.

    Returns:
        The whole numbers [R, C], and the scales [R] or [C]: of zeros alone it is 1.
    """
    scales = np.abs(weights).max(1 - axis) / np.float32(largest)
    scales[scales == 0] = 1
    whole = np.rint(weights / np.expand_dims(scales, 1 - axis))
    return np.clip(whole, -largest, largest).astype(np.int8), scales.astype(np.float32)


class _Rewriting:
    """The nodes of a graph, one after the other, with those that replace them."""

    def __init__(self, model: Any, largest: int) -> None:
        from onnx import numpy_helper

        self.graph = model.graph
        self.largest = largest
        self.to_array = numpy_helper.to_array
        self.from_array = numpy_helper.from_array
        self.floats = {
            tensor.name: tensor
            for tensor in self.graph.initializer
            if tensor.data_type == 1 and len(tensor.dims) == 2  # FLOAT
        }
        self.maker = {output: node for node in self.graph.node for output in node.output}
        self.scales: dict[str, str] = {}
        """By the name of a float32 matrix, that of its scales: it has been quantised."""
        self.activations: set[str] = set()
        """Those that are made to uint8 already: what queries, keys and values are made of is so once."""
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def run(self) -> None:
        """Rewrite the graph; matrices that nothing reads any more leave it."""
        for node in self.graph.node:
            if not (self._gather(node) or self._product(node)):
                self.nodes.append(node)
        read = {name for node in self.nodes for name in node.input} | {value.name for value in self.graph.output}
        # What only fed a rewritten node, such as the transposed float32 table, goes with it.
        while True:
            kept = [node for node in self.nodes if any(output in read for output in node.output)]
            if len(kept) == len(self.nodes):
                break
            self.nodes = kept
            read = {name for node in kept for name in node.input} | {value.name for value in self.graph.output}
        tensors = [tensor for tensor in (*self.graph.initializer, *self.tensors) if tensor.name in read]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(tensors)

    def _gather(self, node: Any) -> bool:
        """Rows of a table, looked up in int8 and scaled."""
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        table = self.floats.get(node.input[0]) if node.op_type == "Gather" and axis == 0 else None
        if table is None or table.dims[0] < _LEAST_ROWS:
            return False
        scale = self._quantise(table.name, 0)
        if scale is None:
            return False
        out, rows = node.output[0], node.input[1]
        self._add("Gather", [f"{table.name}_int8", rows], f"{out}_row_int8")
        self._add("Gather", [scale, rows], f"{out}_row_scale")
        self._add("Cast", [f"{out}_row_int8"], f"{out}_row", to=1)
        self._constant("last_axis", np.array([-1], np.int64))
        self._add("Unsqueeze", [f"{out}_row_scale", "last_axis"], f"{out}_row_scales")
        self._add("Mul", [f"{out}_row", f"{out}_row_scales"], out)
        return True

    def _product(self, node: Any) -> bool:
        """Activations times a matrix, in whole numbers."""
        if node.op_type not in ("MatMul", "Gemm"):
            return False
        attributes = {attribute.name: attribute for attribute in node.attribute}
        turned = "transB" in attributes and attributes["transB"].i == 1
        plain = all(attributes[name].f == 1 for name in ("alpha", "beta") if name in attributes)
        if not plain or ("transA" in attributes and attributes["transA"].i):
            return False
        name = node.input[1]
        made = self.maker.get(name)
        if made is not None and made.op_type == "Transpose" and made.input[0] in self.floats:
            name, turned = made.input[0], not turned  # the table of embeddings, which is the output's too
        matrix = self.floats.get(name)
        if matrix is None or min(matrix.dims) < _LEAST_WIDTH:
            return False
        scale = self._quantise(name, 0 if turned else 1)
        if scale is None:
            return False
        whole = f"{name}_int8"
        if turned:
            # It stays as it is in the file; onnxruntime turns it around once, when it opens it.
            self._add("Transpose", [whole], f"{whole}_turned", perm=[1, 0])
            whole = f"{whole}_turned"
        given, out = node.input[0], node.output[0]
        if given not in self.activations:
            self.activations.add(given)
            self._add(
                "DynamicQuantizeLinear", [given], f"{given}_input_uint8", f"{given}_input_scale", f"{given}_input_zero"
            )
        self._constant("zero_int8", np.array(0, np.int8))
        self._add(
            "MatMulInteger", [f"{given}_input_uint8", whole, f"{given}_input_zero", "zero_int8"], f"{out}_product_int32"
        )
        self._add("Cast", [f"{out}_product_int32"], f"{out}_product_whole", to=1)
        self._add("Mul", [f"{given}_input_scale", scale], f"{out}_product_scale")
        biased = node.op_type == "Gemm" and len(node.input) > 2
        product = f"{out}_product" if biased else out
        self._add("Mul", [f"{out}_product_whole", f"{out}_product_scale"], product)
        if biased:
            self._add("Add", [product, node.input[2]], out)
        return True

    def _quantise(self, name: str, axis: int) -> str | None:
        """The scales of a matrix; when it is met first, it is quantised along this axis.

        None where it has been quantised along the other one: for this use it stays in float32.
        """
        scales = f"{name}_scale_{axis}"
        if name not in self.scales:
            whole, factors = quantised(self.to_array(self.floats[name]), axis, self.largest)
            self.tensors += [self.from_array(whole, f"{name}_int8"), self.from_array(factors, scales)]
            self.scales[name] = scales
        return scales if self.scales[name] == scales else None

    def _constant(self, name: str, value: NDArray[Any]) -> None:
        if all(tensor.name != name for tensor in self.tensors):
            self.tensors.append(self.from_array(value, name))

    def _add(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, list(outputs), f"{outputs[0]}_{kind}", **attributes))
