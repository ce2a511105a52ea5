"""An ONNX file as export-model writes them, of a model without weights: the brighter an image, the higher its score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: The box that it finds in every image, in pixels of its input of 32 x 40, and the stored operating point.
BOX, SIZE, THRESHOLD = (4.0, 8.0, 20.0, 24.0), (32, 40), 0.5


def write_tiny_onnx(file: Path, *, pair: bool = False) -> Path:
    """Write the file; the score is the mean of all pixels / 255, and for pairs that of the difference."""
    constants = {
        "white": np.array(255, np.float32),
        "one_each": np.array([-1, 1], np.int64),
        "box": np.array([[BOX]], np.float32),
        "no_box": np.zeros((1, 1, 4), np.float32),
        "nothing": np.array(0, np.float32),
        "last": np.array([2], np.int64),
        "axes": np.array([1, 2, 3], np.int64),
    }
    node: Any = helper.make_node
    nodes = [node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT)]
    if pair:
        nodes += [
            node("Cast", ["references"], ["template"], to=TensorProto.FLOAT),
            node("Sub", ["pixels", "template"], ["signed"]),
            node("Abs", ["signed"], ["shown"]),
        ]
    nodes += [
        node("ReduceMean", ["shown" if pair else "pixels", "axes"], ["mean"]),
        node("Div", ["mean", "white"], ["share"]),
        node("Reshape", ["share", "one_each"], ["scores"]),
        node("Mul", ["scores", "nothing"], ["zeros"]),
        node("Cast", ["zeros"], ["labels"], to=TensorProto.INT64),
        node("Unsqueeze", ["zeros", "last"], ["deep"]),
        node("Mul", ["deep", "no_box"], ["flat"]),
        node("Add", ["flat", "box"], ["boxes"]),
    ]
    info = helper.make_tensor_value_info
    names = ["images", "references"] if pair else ["images"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [info(name, TensorProto.UINT8, ["n", *SIZE, 3]) for name in names],
        [
            info("boxes", TensorProto.FLOAT, ["n", 1, 4]),
            info("scores", TensorProto.FLOAT, ["n", 1]),
            info("labels", TensorProto.INT64, ["n", 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    facts = {"classes": json.dumps(["dent"]), "image_size": json.dumps(SIZE), "threshold": str(THRESHOLD)}
    helper.set_model_props(model, {**facts, "channels": "pair" if pair else "rgb", "resize": "exact"})
    onnx.save(model, file)
    return file
