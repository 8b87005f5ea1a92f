"""bench-peak: how much of the machine's float32 peak a network uses, and where the rest goes.

The peak is the best float32 matrix product measured here, a thread a core. The network's work is counted in its ONNX
graph: 2 x the multiply-accumulates of every Conv, Gemm and MatMul. ONNX Runtime's profiler says how long each kind of
operator takes on one thread; bytes are those of its inputs and outputs. Wall times need a quiet machine; fractions by
CPU time, where both sides are one thread, hold on a busy one as well.
"""

import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import shape_inference
from threadpoolctl import threadpool_limits

from common import finish, parser
from suites import B0, LITE0, speed_suite

SIZES = (1024, 2048)
BATCH = 8
OUTPUTS = ["logit", "cam_fl", "features"]
BYTES = {"float": 4, "int64": 8, "int32": 4, "uint8": 1, "int8": 1, "bool": 1}


def best_seconds(run: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Shortest of several runs."""
    found = []
    for _ in range(repeats):
        started = clock()
        run()
        found.append(clock() - started)
    return min(found)


def peak_gflops(threads: int, repeats: int = 6, clock: Callable[[], float] = time.perf_counter) -> float:
    """Best float32 matrix product, one BLAS thread on each of `threads` threads, in GFLOP/s of `clock`."""
    best = 0.0
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for n in SIZES:
            squares = [np.random.default_rng(i).normal(size=(n, n)).astype(np.float32) for i in range(threads)]
            seconds = best_seconds(lambda squares=squares: list(pool.map(lambda a: a @ a, squares)), repeats, clock)
            best = max(best, threads * 2 * n**3 / seconds / 1e9)
    return best


def copy_gb_s(repeats: int = 6) -> float:
    """Bytes read and written a second by one thread that copies 64 MB."""
    source = np.ones(1 << 24, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source), repeats) / 1e9


def network_flops(path: Path) -> dict[str, float]:
    """Floating-point operations of one image by kind: "pointwise", "depthwise", "dense" (other Convs), "se", "gemm".

    Elementwise operations are left out, as is usual; they are a hundredth.
    """
    inferred = shape_inference.infer_shapes(folded(path), strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes |= {w.name: list(w.dims) for w in inferred.initializer}
    flops: dict[str, float] = defaultdict(float)
    for node in inferred.node:
        if node.op_type == "Conv":
            out, weight = shapes[node.output[0]], shapes[node.input[1]]
            if not all(out[1:]):
                raise SystemExit(f"{path}: the size of {node.output[0]} is not known, so its work cannot be counted")
            flops[conv_kind(weight, out)] += 2.0 * math.prod(out[1:]) * math.prod(weight[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            flops["gemm"] += 2.0 * math.prod(shapes[node.input[1]])
    return dict(flops)


def folded(path: Path) -> onnx.ModelProto:
    """The graph with its constants worked out, so that shapes can be inferred."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def conv_kind(weight: list[int], out: list[int]) -> str:
    """What a Conv is, by the shapes of its weight (O, I / groups, k, k) and output (N, O, h, w)."""
    if list(out[2:]) == [1, 1]:
        return "se"
    if list(weight[2:]) == [1, 1]:
        return "pointwise"
    return "depthwise" if weight[1] == 1 else "dense"


def open_session(path: Path, *, profile: str | None = None) -> onnxruntime.InferenceSession:
    """A session of one thread, as the archive runs them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def operators(path: Path, batch: int, runs: int = 12) -> list[dict[str, object]]:
    """Time on one thread by kind of operator: share, ms an image, GFLOP/s and GB/s."""
    images = np.random.default_rng(0).normal(size=(batch, *input_shape(path))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(path, profile=str(Path(folder) / "profile"))
        for _ in range(runs):
            session.run(OUTPUTS, {"fl": images})
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            nodes[event["name"]].append(event)
    table: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for found in nodes.values():
        kind, flops, size = describe(found[0]["args"])
        seconds = min(event["dur"] for event in found) / 1e6  # what a busy machine adds is not the operator's
        for column, value in enumerate((seconds, flops, size, 1)):
            table[kind][column] += value
    total = sum(row[0] for row in table.values())
    return [
        {
            "kind": kind,
            "nodes": int(count),
            "share": round(seconds / total, 3),
            "ms_an_image": round(seconds * 1000 / batch, 3),
            "gflop_s": round(flops / seconds / 1e9, 1),
            "gb_s": round(size / seconds / 1e9, 1),
        }
        for kind, (seconds, flops, size, count) in sorted(table.items(), key=lambda item: -item[1][0])
    ]


def describe(arguments: dict) -> tuple[str, float, float]:
    """Kind, floating-point operations and bytes of one profiled operator."""
    inputs = [next(iter(entry.items())) for entry in arguments["input_type_shape"]]
    outputs = [next(iter(entry.items())) for entry in arguments["output_type_shape"]]
    size = sum(BYTES.get(dtype, 4) * math.prod(shape) for dtype, shape in (*inputs, *outputs))
    name = arguments["op_name"]
    if name == "Conv":
        weight, out = inputs[1][1], outputs[0][1]
        return conv_kind(weight, out), 2.0 * math.prod(out) * math.prod(weight[1:]), size
    if name in ("Gemm", "MatMul"):
        return "gemm", 2.0 * inputs[0][1][0] * math.prod(inputs[1][1]), size
    kinds = {"QuickGelu": "activation", "Clip": "activation", "Sigmoid": "activation", "Mul": "multiply"}
    kinds |= {"ReorderInput": "layout", "ReorderOutput": "layout", "Pad": "layout", "Transpose": "layout"}
    kinds |= {"GlobalAveragePool": "pooling", "ReduceMean": "pooling", "ReduceSum": "pooling"}
    return kinds.get(name, "other"), 0.0, size


def input_shape(path: Path) -> list[int]:
    """(3, S, S) of the graph's input."""
    return [d.dim_value for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim][1:]


def fractions(path: Path, batch: int, rounds: int) -> dict[str, float]:
    """Share of the peak that a network reaches on one thread, by CPU time, in turn with the matrix product."""
    flops = sum(network_flops(path).values())
    session = open_session(path)
    images = np.random.default_rng(0).normal(size=(batch, *input_shape(path))).astype(np.float32)
    session.run(OUTPUTS, {"fl": images})
    peaks, reached = [], []
    for _ in range(rounds):
        peaks.append(peak_gflops(1, 3, time.process_time))
        seconds = best_seconds(lambda: session.run(OUTPUTS, {"fl": images}), 5, time.process_time)
        reached.append(batch * flops / seconds / 1e9)
    return {
        "gflop_an_image": round(flops / 1e9, 3),
        "gflop_s": round(float(np.median(reached)), 1),
        "peak_gflop_s": round(float(np.median(peaks)), 1),
        "peak_fraction": round(float(np.median(np.array(reached) / np.array(peaks))), 3),
    }


def first_network(backbone: str) -> Path:
    """The ONNX file that answers the first task of the speed suite."""
    suite = speed_suite(backbone)
    answers = json.loads((suite / "suite.json").read_text())["answers"]
    return suite / answers["tumor"] / "model.onnx"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    result: dict[str, object] = {
        "peak_gflop_s_by_threads": {str(t): round(peak_gflops(t), 1) for t in (1, 2)},
        "copy_gb_s": round(copy_gb_s(), 1),
    }
    for name, backbone in (("b0", B0), ("lite0", LITE0)):
        path = first_network(backbone)
        kinds = {kind: round(value / 1e9, 4) for kind, value in network_flops(path).items()}
        found: dict[str, object] = {"gflop_by_kind": kinds}
        for batch in (1, BATCH):
            found[f"batch_{batch}"] = {
                **fractions(path, batch, options.rounds),
                "operators": operators(path, batch),
            }
            print(name, batch, json.dumps(found[f"batch_{batch}"]), flush=True)
        result[name] = found
    finish("bench-peak", {**result, "size_px": 224, "threads_of_a_network": 1}, record=options.record)


if __name__ == "__main__":
    main()
