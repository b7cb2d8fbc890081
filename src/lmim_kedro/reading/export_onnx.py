"""A recognizer as ONNX: `lmim-kedro export-onnx RECOGNIZER TARGET [--float16 | --int8]`.

An autoregressive recognizer becomes two graphs: the encoder, up to the features that the decoder looks at, and one
decoding step with a cache. A CTC recognizer is one graph. The number of crops is free in all of them.
`lmim_kedro.reading.onnx_reader` reads with what is written here; docs/export.md describes inputs and outputs.
"""

import copy
import json
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.stream import crops_of_source
from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS, sha256, whole, write_json, write_sums
from lmim_kedro.models.folder import CONFIG
from lmim_kedro.models.heads import Graph
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import origin_of
from lmim_kedro.reading.about import trained_in_words
from lmim_kedro.reading.onnx_reader import KIND, OnnxReader
from lmim_kedro.reading.reader import Reader
from lmim_kedro.scoring.compare import compare

OPSET = 20
HALVED = 256  # numbers in the smallest tensor that is worth storing as 16-bit floats
Weights = Literal["float32", "float16", "int8"]
TOLERANCE = 1e-4  # largest difference of confidences between torch and the graphs before quantization


@torch.no_grad()
def export_recognizer(recognizer: Recognizer, target: Path, weights: Weights = "float32") -> list[Path]:
    """Write the graphs, config.json, their checksums and read.py, which reads with them; returns the graphs' paths.

    The metadata of each graph hold config.json too, under `lmim_kedro`, so that a graph is enough to read with.

    Args:
        recognizer: the recognizer; it is left in evaluation mode, on the CPU, its weights as they were.
        target: folder to write to; it is made.
        weights: how the graphs store them. float16: rounded to 16 bits, for half the size; the graphs compute in
            float32. int8: the matrices of linear maps as 8-bit integers (onnxruntime's dynamic quantization).

    Errors: InputError if an exporting package is missing, the head has no export, or the graphs read otherwise.
    """
    recognizer = recognizer.cpu().eval()
    (target / SUMS).unlink(missing_ok=True)  # of an earlier export
    if weights == "float16":
        recognizer = copy.deepcopy(recognizer).half().float()
    target.mkdir(parents=True, exist_ok=True)
    made = recognizer.head.graphs(recognizer.encoder)
    graphs = {name: f"{name}.onnx" for name in made}
    for name, graph in made.items():
        _export(graph, target / graphs[name])
    _write_config(recognizer, target, graphs, "float32")
    _check(recognizer, target)
    if weights != "float32":
        for file in graphs.values():
            (_quantize if weights == "int8" else _halve)(target / file)
        _write_config(recognizer, target, graphs, weights)
    write_sums(target, {name: sha256(target / name) for name in (CONFIG, *graphs.values())})
    shutil.copyfile(Path(__file__).with_name("standalone.py"), target / "read.py")
    return [target / file for file in graphs.values()]


def measure_cost(recognizer: Recognizer, exported: OnnxReader, path: str, metric: str = "waics") -> str:
    """Read labeled crops with both and compare: A is torch, B the export.

    Args:
        recognizer: the recognizer that the graphs were made from.
        exported: the graphs.
        path: path of labeled crops: an LMDB, or a folder with a list of labels.
        metric: metric that says what is right.

    Errors: InputError for crops without labels.
    """
    source = open_source("crops", {"path": path})
    if not source.labeled:
        raise InputError(f"{source.description}: labels are needed to say what reading wrongly costs")
    labels, ours, theirs, largest = [], [], [], 0.0
    readings = (each.read_named(crops_of_source(source), 64) for each in (Reader(recognizer), exported))
    for crop, before, after in zip(source.read(0, len(source)), *readings, strict=True):
        if crop.label is None or before.error or after.error:
            continue
        labels.append(crop.label)
        ours.append(before.text)
        theirs.append(after.text)
        largest = max(largest, abs(before.confidence - after.confidence))
    if not labels:
        raise InputError(f"{source.description}: none of its crops can be read; give others")
    left_out = len(source) - len(labels)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    table = compare(labels, ours, theirs, metric).table(metric)
    without = f"; {left_out:,} crops without an image or a label that can be read are left out" if left_out else ""
    return (
        f"A: torch\nB: ONNX, {exported.config['weights']} weights\n{table}\n"
        f"same text for {same:,} of {len(labels):,} crops; confidences differ by at most {largest:.2g}{without}"
    )


def _write_config(recognizer: Recognizer, target: Path, graphs: dict[str, str], weights: Weights) -> None:
    """What a runner needs beside the graphs: charset, sizes, how crops are prepared."""
    model, size, charset = recognizer.model, recognizer.model.recognizer, recognizer.charset
    config: dict[str, Any] = {
        "kind": KIND,
        "decoder": recognizer.decoder_name,
        "max_length": recognizer.max_length,
        "charset": {"characters": charset.characters, "fold_case": charset.fold_case},
        "image": {"height": model.image_height, "width": model.image_width}
        | {"channels": "RGB", "range": [-1, 1], "aspect": "kept" if model.keep_ratio else "ignored"}
        | {"rotate_tall": recognizer.rotate_tall},
        "looks": recognizer.looks,
        "language": recognizer.language,
        "graphs": graphs,
        "weights": weights,
        "model": model.model_dump(),
    }
    if (recipe := origin_of(recognizer).recipe) is not None:
        config["trained"] = trained_in_words({"recipe": recipe, "labels": recognizer.labels})
    if "step" in graphs:
        config["cache"] = {"layers": size.depth, "heads": size.heads, "features": size.width // size.heads}
    write_json(target / CONFIG, config)
    for file in graphs.values():
        _describe(target / file, config)


def _describe(path: Path, config: dict[str, Any]) -> None:
    """Put the configuration into the metadata of a graph."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"lmim_kedro": json.dumps(config, ensure_ascii=False)})
    with whole(path) as file:
        onnx.save(model, file)


def _export(graph: Graph, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it, and says so at length)
    except ImportError:
        raise InputError(
            "onnxscript, which torch exports with, is missing: install the extra with `pip install -e '.[onnx]'`"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own use of what it deprecates
        torch.onnx.export(
            graph.module.eval(),
            graph.inputs,
            str(path),
            input_names=graph.input_names,
            output_names=graph.output_names,
            dynamic_shapes=graph.dynamic_shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Remove the exporter's notes, a tenth of a graph; among them are the paths of source files on this machine."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    with whole(path) as file:
        onnx.save(model, file)


def _halve(path: Path) -> None:
    """Store as 16-bit floats what loses nothing by it; onnxruntime casts it back once, when it loads the graph.

    What the exporter computed from rounded weights is no such tensor, and stays.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALVED:
            continue
        rounded = values.astype(np.float16)
        if not np.array_equal(rounded, values):
            continue
        stored = f"{tensor.name}_float16"
        graph.node.insert(0, helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
        graph.initializer.append(numpy_helper.from_array(rounded, stored))
        graph.initializer.remove(tensor)
    with whole(path) as part:
        onnx.save(model, part)


def _quantize(path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    graph = onnx.load(path)
    del graph.graph.value_info[:]  # the exporter's constants keep the shapes from before they were folded
    add_pre_process_metadata(graph)  # the exporter has simplified the graph already
    with whole(path) as part:
        quantize_dynamic(graph, part, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8, per_channel=True)


def _check(recognizer: Recognizer, target: Path) -> None:
    """Refuse graphs that do not read a few noisy crops as torch does."""
    model = recognizer.model
    images = np.random.default_rng(0).integers(0, 256, (3, 3, model.image_height, model.image_width), np.uint8)
    ours, theirs = OnnxReader(target, threads=1).read_batch(images), Reader(recognizer).read_batch(images)
    for one, other in zip(ours, theirs, strict=True):
        if one.text != other.text or abs(one.confidence - other.confidence) > TOLERANCE:
            raise InputError(
                f"the graphs in {target} read {one.text!r} ({one.confidence:.6f}) where torch reads {other.text!r} "
                f"({other.confidence:.6f}): do not use them; this version of torch or onnxruntime does not fit"
            )
