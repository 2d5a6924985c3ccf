"""A BERT sentence transformer as an ONNX graph: token ids in, the mean of the last layer out.

Built from the weights themselves (`model.safetensors`), without torch. The graph takes one text,
not a padded batch: on a CPU that is no slower, and a text's vector does not depend on the texts
beside it, which 8-bit arithmetic with ranges of the whole batch would make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 20, 9


def bert_graph(config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """Build the graph: inputs `ids` and `places`, int64[n]; output `vector`, float32[d].

    Args:
        config: `config.json` of a BERT model.
        weights: Its tensors by name.

    Raises:
        KeyError: A weight or a size is missing.
        ValueError: It is not a BERT with absolute positions and GELU.
    """
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ValueError("not a BERT model with GELU")
    graph = _Graph(weights, float(config["layer_norm_eps"]))
    graph.embed()
    for layer in range(config["num_hidden_layers"]):
        graph.layer(f"encoder.layer.{layer}.", config["num_attention_heads"])
    return graph.model(config["hidden_size"])


class _Graph:
    """Nodes and constants under way. `state` names the tensor that the next node reads."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], epsilon: float) -> None:
        self._weights = weights
        self._epsilon = epsilon
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._state = ""

    def embed(self) -> None:
        """Add word and position embeddings."""
        key = "embeddings.{}_embeddings.weight"
        words = self._constant("words", self._weights[key.format("word")])
        kind = self._weights[key.format("token_type")][0]
        positions = self._constant("positions", self._weights[key.format("position")] + kind)
        parts = [self._node("Gather", [words, "ids"]), self._node("Gather", [positions, "places"])]
        self._state = self._norm(self._node("Add", parts), "embeddings.LayerNorm")

    def layer(self, key: str, heads: int) -> None:
        """Add one layer of attention and its feed-forward network."""
        state, attention = self._state, f"{key}attention."
        mixed = self._attention(state, attention, heads)
        mixed = self._node("Add", [self._linear(mixed, f"{attention}output.dense"), state])
        mixed = self._norm(mixed, f"{attention}output.LayerNorm")
        wide = self._node("Gelu", [self._linear(mixed, f"{key}intermediate.dense")])
        narrow = self._node("Add", [self._linear(wide, f"{key}output.dense"), mixed])
        self._state = self._norm(narrow, f"{key}output.LayerNorm")

    def model(self, size: int) -> onnx.ModelProto:
        """Return the checked graph with the mean over tokens as its output."""
        axes = self._constant("axes", np.array([0], dtype=np.int64))
        self._nodes.append(
            helper.make_node("ReduceMean", [self._state, axes], ["vector"], keepdims=0)
        )
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["n"])
            for name in ("ids", "places")
        ]
        output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [size])
        graph = helper.make_graph(
            self._nodes, "bert", inputs, [output], list(self._constants.values())
        )
        opset = helper.make_opsetid("", OPSET)
        made = helper.make_model(graph, opset_imports=[opset], ir_version=IR)
        onnx.checker.check_model(made)
        return made

    def _attention(self, state: str, key: str, heads: int) -> str:
        size = self._weights[f"{key}self.query.bias"].shape[0]
        split = self._constant("split", np.array([-1, heads, size // heads], dtype=np.int64))
        joined = self._constant("joined", np.array([-1, size], dtype=np.int64))
        scale = self._constant("scale", np.array((size // heads) ** -0.5, dtype=np.float32))
        turned = {}
        for name, order in (("query", [1, 0, 2]), ("key", [1, 2, 0]), ("value", [1, 0, 2])):
            part = self._node("Reshape", [self._linear(state, f"{key}self.{name}"), split])
            turned[name] = self._node("Transpose", [part], perm=order)
        query = self._node("Mul", [turned["query"], scale])
        weight = self._node("Softmax", [self._node("MatMul", [query, turned["key"]])], axis=-1)
        mixed = self._node("MatMul", [weight, turned["value"]])
        return self._node("Reshape", [self._node("Transpose", [mixed], perm=[1, 0, 2]), joined])

    def _linear(self, state: str, key: str) -> str:
        weight = self._constant(f"{key}.weight", self._weights[f"{key}.weight"].T)
        bias = self._constant(f"{key}.bias", self._weights[f"{key}.bias"])
        return self._node("Add", [self._node("MatMul", [state, weight]), bias])

    def _norm(self, state: str, key: str) -> str:
        scale, bias = (
            self._constant(f"{key}.{name}", self._weights[f"{key}.{name}"])
            for name in ("weight", "bias")
        )
        ins = [state, scale, bias]
        return self._node("LayerNormalization", ins, axis=-1, epsilon=self._epsilon)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        if name not in self._constants:
            kept = values if values.dtype == np.int64 else values.astype(np.float32)
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(kept), name)
        return name

    def _node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
