"""Damaged suites, also ones whose hashes were made to agree: only `BundleError` may come out, in bounded memory.

The suites are loaded in a process of their own, as the images are in `tests/imaging/test_fuzz_read.py`: `python -m
tests.runtime.test_fuzz_bundle SUITE SEED COUNT`. Its network is a few nodes, so that damage meets the structure of the
file and not its weights, and a load takes milliseconds.
"""

import contextlib
import copy
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from glioscope.core import BundleError
from glioscope.runtime import load_bundle, load_suite_info

from ..suites import change_bundle, copy_suite, lock_again, replace, set_suite

NAME = "tumor-fl"
COUNT = 200
ROOM_MB = 700
HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        "",
        "x",
        "../../x",
        [],
        {},
        [[]],
        {"a": 1},
        0,
        -1,
        1,
        3,
        0.5,
        -0.5,
        1e-300,
        1e308,
        2**31,
        2**63,
        10**30,
    ),
    *(float("nan"), float("inf"), "9" * 5000, [0.0] * 100, "fl", "wl", "ordinal"),
)


def small_network(size: int) -> bytes:
    """FL (N, 3, size, size) to logit, cam and features, in a few nodes."""
    onnx = pytest.importorskip("onnx", reason="needs glioscope[train]")
    from onnx import helper, numpy_helper

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape])

    nodes = [
        helper.make_node("GlobalAveragePool", ["fl"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "w", "b"], ["logit"], transB=1),
        helper.make_node("ReduceMean", ["fl"], ["cam_fl"], axes=[1], keepdims=0),
    ]
    weights = {"w": np.array([[1.0, -2.0, 3.0]], np.float32), "b": np.array([0.5], np.float32)}
    graph = helper.make_graph(
        nodes,
        "small",
        [value("fl", 3, size, size)],
        [value("logit", 1), value("cam_fl", size, size), value("features", 3)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture
def suite(tiny_suite, tmp_path):
    """A whole suite of one bundle with the small network."""
    folder = copy_suite(tiny_suite, tmp_path / "suite", tumor=NAME)
    bundle = folder / NAME
    for other in folder.iterdir():
        if other.is_dir() and other != bundle:
            shutil.rmtree(other)
    info = json.loads((bundle / "bundle.json").read_text())
    replace(bundle / "model.onnx", small_network(info["fl_plan"]["canvas"]["size_px"]))
    replace(bundle / "model.safetensors", b"read by explain only")
    change_bundle(folder, NAME, n_features=3, **({"envelope": None} if "envelope" in info else {}))
    set_suite(folder, bundles=[NAME], sha256={NAME: json.loads((folder / "suite.json").read_text())["sha256"][NAME]})
    with pytest.raises(BundleError, match="answers its probe image") as caught:
        load_bundle(bundle)
    assert str(folder) in str(caught.value)
    replace(bundle / "probe.json", json.dumps({"logit": probe_logits(bundle, info)}).encode())
    lock_again(folder, NAME)
    load_bundle(bundle)
    return folder


def probe_logits(bundle: Path, info: dict[str, Any]) -> list[float]:
    import cv2

    from glioscope.core import FLPlan
    from glioscope.imaging import network_input

    picture = cv2.imread(str(bundle / "probe_fl_prepared.png"), cv2.IMREAD_UNCHANGED)
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    image = network_input(picture[None], FLPlan.model_validate(info["fl_plan"]))
    return session.run(["logit"], {"fl": image})[0][0].tolist()


def damaged_bytes(whole: bytes, rng: np.random.Generator) -> bytes:
    content = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(content)))
        kind = int(rng.integers(5))
        if kind == 0:
            content[at] = int(rng.integers(256))
        elif kind == 1:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 3:
            del content[at : at + int(rng.integers(1, 9))]
        else:
            content[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x80\x80\x7f", b"9999"])
    return bytes(content) or b"\0"


def damaged_json(whole: bytes, rng: np.random.Generator) -> bytes:
    """One value somewhere in the record is replaced by one of another type or far out of range, or is left out."""
    record = json.loads(whole)
    place, key = record, None
    while isinstance(place, dict | list) and len(place) and (key is None or rng.random() < 0.8):
        holder = place
        key = (
            list(holder)[int(rng.integers(len(holder)))] if isinstance(holder, dict) else int(rng.integers(len(holder)))
        )
        place = holder[key]
    if rng.random() < 0.1:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])
    return json.dumps(record).encode()


def load(suite: Path) -> None:
    info = load_suite_info(suite)
    for name in info.answers.values():
        load_bundle(suite / name, sums_sha256=info.sha256[name])


def main(suite: Path, seed: int, count: int) -> dict[str, Any]:
    names = [path.relative_to(suite) for path in sorted(suite.rglob("*")) if path.is_file()]
    whole = {name: (suite / name).read_bytes() for name in names}
    load(suite)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    loaded = 0
    for number in range(count):
        name = names[number % len(names)]
        change = damaged_json if name.suffix == ".json" and rng.random() < 0.7 else damaged_bytes
        content = change(whole[name], rng)
        (suite.parent / "damaged").write_bytes(content)
        (suite.parent / "name").write_text(str(name))
        (suite / name).write_bytes(content)
        if name.parent == Path(NAME) and name.name != "SHA256SUMS" and rng.random() < 0.9:
            lock_again(suite, NAME)
        try:
            load(suite)
            loaded += 1
        except BundleError as error:
            if "\n" in str(error):
                found.setdefault(f"{name}: a sentence of several lines", content.hex())
        except BaseException as error:
            found.setdefault(f"{name}: {type(error).__name__}: {str(error)[:200]}", content.hex())
        for restored, bytes_ in whole.items():
            (suite / restored).write_bytes(bytes_)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"found": found, "grown_mb": grown, "count": count, "loaded": loaded}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
def test_a_damaged_suite_loads_or_gives_a_bundle_error(suite):
    command = [sys.executable, "-W", "ignore", "-m", "tests.runtime.test_fuzz_bundle", str(suite), "0", str(COUNT)]
    root = Path(__file__).parents[2]
    for path in suite.rglob("*"):  # what is linked to the suite of the other tests must not be written into
        if path.is_file():
            replace(path, path.read_bytes())
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=250, check=False)
    last = (suite.parent / "damaged").read_bytes().hex() if (suite.parent / "damaged").exists() else ""
    assert ran.returncode == 0, (ran.returncode, last, ran.stderr[-2000:])
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["count"] == COUNT
    assert not result["found"]
    assert result["grown_mb"] < ROOM_MB
    assert 0 < result["loaded"] < COUNT / 2


def test_onnx_runtime_is_not_reached_by_a_network_with_external_data(suite, monkeypatch):
    onnx = pytest.importorskip("onnx", reason="needs glioscope[train]")
    from onnx.external_data_helper import set_external_data

    path = suite / NAME / "model.onnx"
    model = onnx.load_from_string(path.read_bytes())
    set_external_data(model.graph.initializer[0], "../../secret.bin")
    replace(path, model.SerializeToString())
    lock_again(suite, NAME)
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    with pytest.raises(BundleError, match=r"model\.onnx: has a tensor with external data"):
        load_bundle(suite / NAME)


def test_nothing_is_ever_unpickled():
    """No pickle, no `torch.load` of anything but weights, no NumPy or joblib file that may hold objects."""
    sources = Path(__file__).parents[2] / "src"
    unsafe = {
        "pickle": lambda line: True,
        "torch.load(": lambda line: "weights_only=True" not in line,
        "np.load(": lambda line: "allow_pickle=False" not in line,
        "numpy.load(": lambda line: "allow_pickle=False" not in line,
        "joblib.load(": lambda line: True,
        "read_pickle(": lambda line: True,
        "yaml.load(": lambda line: True,
        "marshal.load": lambda line: True,
        "shelve.open(": lambda line: True,
    }
    files = sorted(sources.rglob("*.py"))
    assert len(files) > 50
    found = [
        f"{path.relative_to(sources)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word, is_unsafe in unsafe.items()
        if word in line and is_unsafe(line) and "allow_pickle=False" not in line
    ]
    assert not found


if __name__ == "__main__":
    suite_, seed_, count_ = sys.argv[1:]
    with contextlib.suppress(ValueError):  # where a stricter limit is set already
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    os.environ["OMP_NUM_THREADS"] = "1"
    print(json.dumps(main(Path(suite_), int(seed_), int(count_))))  # noqa: T201
