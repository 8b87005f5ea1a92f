"""Load a model bundle and refuse one that is incomplete, changed or of another version."""

import hashlib
import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import ValidationError

from glioscope.core import BUNDLE_SCHEMA, BundleError, BundleInfo, ImageError, SuiteInfo
from glioscope.imaging import RawImage, apply_fl_plan, apply_wl_plan, infer_white_level, network_input

Record = TypeVar("Record", BundleInfo, SuiteInfo)

PROBE_GREY_LEVELS = 1
PROBE_LOGIT = 1e-3
_MAX_FILE_BYTES = 1 << 30
_MAX_LIST_BYTES = 1_000_000
_MAX_LIST_LINES = 1000
"""Of `suite.json` and `SHA256SUMS`, which are read before any hash is known."""
_MAX_PROBE_SIDE_PX = 1024
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of bundles and of their files: nothing that leads to another folder."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network says of N specimens: logit (N, K), one signed cam (N, h, w) an input, features (N, d)."""

    logit: NDArray[np.float32]
    cams: dict[str, NDArray[np.float32]]
    features: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model, ready to answer."""

    info: BundleInfo
    session: Any

    def run(self, images: dict[str, NDArray[np.float32]]) -> Answer:
        """Answer for float32 (N, 3, H, W) per input, as `imaging.network_input` gives them."""
        inputs = self.info.modality.inputs
        names = ["logit", *(f"cam_{name}" for name in inputs), "features"]
        logit, *cams, features = self.session.run(names, {name: images[name] for name in inputs})
        return Answer(logit, dict(zip(inputs, cams, strict=True)), features)


def load_suite_info(folder: Path) -> SuiteInfo:
    """Read `suite.json`.

    Raises
    ------
    BundleError : no such file, not a suite, a newer schema, a bundle outside the folder or without its hash.
    """
    path = folder / "suite.json"
    if not path.is_file():
        inside = folder / "suite"
        hint = f"; did you mean {inside}?" if (inside / "suite.json").is_file() else ""
        raise BundleError(f"{folder}: no suite here (suite.json is missing){hint}")
    info = _parse(_read_list(path), path, SuiteInfo)
    if not info.answers:
        raise BundleError(f"{path}: names no bundle that answers a task")
    for name in info.answers.values():
        if not is_plain_name(name):
            raise BundleError(f"{path}: {name!r} is not a folder of the suite")
        if name not in info.sha256:
            raise BundleError(f"{path}: names bundle {name!r} without its hash")
    return info


def is_plain_name(name: str) -> bool:
    """Whether `name` is that of an entry of the folder itself: no separator, no "..", not hidden."""
    return _PLAIN_NAME.fullmatch(name) is not None


def load_bundle(folder: Path, *, threads: int = 2, sums_sha256: str | None = None) -> Bundle:
    """Check every file against `SHA256SUMS`, open the network, and let it answer its probe image.

    Parameters
    ----------
    folder : the bundle.
    threads : of the inference session.
    sums_sha256 : what the suite says of this bundle's SHA256SUMS.

    Raises
    ------
    BundleError : one sentence with the file and what is wrong with it.
    """
    contents = _verified(folder, sums_sha256)
    info = _parse(contents["bundle.json"], folder / "bundle.json", BundleInfo)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A suite has several sessions: threads of one that spin while waiting would take the cores from the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # From bytes: what was hashed is what runs, and no external data can be pulled in from beside it.
        session = onnxruntime.InferenceSession(
            contents["model.onnx"], sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the library raises its own untyped kinds; all mean that the graph is unusable
        raise BundleError(f"{folder / 'model.onnx'}: not a usable network: {_first_line(error)}") from error
    bundle = Bundle(info, session)
    _check_signature(bundle, folder)
    _check_probe(bundle, folder, contents, _probe_answer(contents, info, folder))
    return bundle


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _verified(folder: Path, sums_sha256: str | None) -> dict[str, bytes]:
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise BundleError(f"{folder}: no bundle here (SHA256SUMS is missing)")
    text = _read_list(sums)
    if sums_sha256 is not None and hashlib.sha256(text).hexdigest() != sums_sha256:
        raise BundleError(f"{sums}: is not the file that the suite was locked with")
    contents = {}
    for line in text.decode("utf-8", "replace").splitlines():
        expected, _, name = line.partition("  ")
        if not is_plain_name(name):
            raise BundleError(f"{sums}: line {line!r} does not name a file of the bundle")
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: is missing from the bundle")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BundleError(f"{path}: {path.stat().st_size} bytes are over the limit of {_MAX_FILE_BYTES}")
        contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise BundleError(f"{path}: was changed after the bundle was locked (its SHA-256 differs)")
    _require_listed(contents, ("model.onnx", "bundle.json", "probe.json"), folder)
    return contents


def _read_list(path: Path) -> bytes:
    """Content of a file that is short unless something is wrong with it."""
    with path.open("rb") as stream:
        content = stream.read(_MAX_LIST_BYTES + 1)
    if len(content) > _MAX_LIST_BYTES:
        raise BundleError(f"{path}: is over the limit of {_MAX_LIST_BYTES} bytes")
    lines = content.count(b"\n")
    if lines > _MAX_LIST_LINES:
        raise BundleError(f"{path}: has {lines} lines, over the limit of {_MAX_LIST_LINES}")
    return content


def _require_listed(contents: dict[str, bytes], names: Iterable[str], folder: Path) -> None:
    for name in names:
        if name not in contents:
            raise BundleError(f"{folder / 'SHA256SUMS'}: does not list {name}")


def _parse(content: bytes, path: Path, kind: type[Record]) -> Record:
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != BUNDLE_SCHEMA:
        raise BundleError(f"{path}: has schema version {found}; this glioscope reads version {BUNDLE_SCHEMA}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{path}: {where}: {first['msg']} ({error.error_count()} problems)") from error


def _check_signature(bundle: Bundle, folder: Path) -> None:
    wanted = set(bundle.info.modality.inputs)
    found = {i.name for i in bundle.session.get_inputs()}
    outputs = {o.name for o in bundle.session.get_outputs()}
    needed = {"logit", "features", *(f"cam_{name}" for name in wanted)}
    if found != wanted or not needed <= outputs:
        raise BundleError(
            f"{folder / 'model.onnx'}: has inputs {sorted(found)} and outputs {sorted(outputs)}; "
            f"inputs {sorted(wanted)} and outputs {sorted(needed)} are needed"
        )


def _probe_answer(contents: dict[str, bytes], info: BundleInfo, folder: Path) -> NDArray[np.float64]:
    """The logits (K,) that `probe.json` promises; K must also fit the task and its threshold."""
    for name in info.modality.inputs:
        _require_listed(contents, (f"probe_{name}.png", f"probe_{name}_prepared.png"), folder)
    outputs = info.task.n_outputs
    if len(info.threshold.logit) != outputs:
        found = len(info.threshold.logit)
        raise BundleError(f"{folder / 'bundle.json'}: has {found} thresholds; task {info.task.name} needs {outputs}")
    try:
        logit = np.array(json.loads(contents["probe.json"])["logit"], np.float64)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(f"{folder / 'probe.json'}: does not hold the logits of the probe image") from error
    if logit.shape != (outputs,):
        raise BundleError(f"{folder / 'probe.json'}: has logits of shape {logit.shape}; {(outputs,)} is needed")
    return logit


def _check_probe(bundle: Bundle, folder: Path, contents: dict[str, bytes], expected: NDArray[np.float64]) -> None:
    """The stored picture must come out of the plan, and out of the network, as it did at export."""
    images = {}
    try:
        for name in bundle.info.modality.inputs:
            made = _prepare_probe(bundle.info, name, contents, folder)
            stored = _probe_pixels(contents, f"probe_{name}_prepared.png", folder).astype(np.int32)
            if stored.shape != made.shape:
                raise BundleError(f"{folder}: its probe image is {stored.shape}; its plan makes {made.shape}")
            worst = int(np.abs(made.astype(np.int32) - stored).max())
            if worst > PROBE_GREY_LEVELS:
                raise BundleError(f"{folder}: its probe image comes out of the plan {worst} grey levels off (limit 1)")
            plan = bundle.info.fl_plan if name == "fl" else bundle.info.wl_plan
            if plan is None:
                raise BundleError(f"{folder / 'bundle.json'}: input {name} has no preprocessing plan")
            images[name] = network_input(stored.astype(np.uint8)[None], plan)
    except ImageError as error:
        raise BundleError(f"{folder}: its probe image cannot be used: {error}") from error
    try:
        logit = bundle.run(images).logit
    except Exception as error:  # ONNX Runtime's own untyped kinds; all mean that the graph does not take the image
        raise BundleError(f"{folder / 'model.onnx'}: cannot read the probe image: {_first_line(error)}") from error
    if logit.shape != (1, len(expected)):
        raise BundleError(f"{folder / 'model.onnx'}: gives logits {logit.shape}; {(1, len(expected))} are needed")
    difference = float(np.abs(logit[0] - expected).max())
    if not difference <= PROBE_LOGIT:
        raise BundleError(f"{folder}: answers its probe image {difference:.2g} off (limit {PROBE_LOGIT:g})")


def _prepare_probe(info: BundleInfo, name: str, contents: dict[str, bytes], folder: Path) -> NDArray[np.uint8]:
    pixels = _probe_pixels(contents, f"probe_{name}.png", folder)
    counts = pixels.astype(np.uint16) if name == "fl" else pixels
    image = RawImage(counts, infer_white_level(pixels), folder / f"probe_{name}.png")
    if name == "fl" and info.fl_plan is not None:
        return apply_fl_plan(info.fl_plan, image, exposure_ms=100.0, irradiance_mw_cm2=50.0).image
    if name == "wl" and info.wl_plan is not None:
        return apply_wl_plan(info.wl_plan, image).image
    raise BundleError(f"{folder / 'bundle.json'}: input {name} has no preprocessing plan")


def _probe_pixels(contents: dict[str, bytes], name: str, folder: Path) -> NDArray[Any]:
    """A probe picture from the bytes that were hashed: uint16 or uint8 (H, W) of FL, uint8 (H, W, 3) RGB of WL."""
    content = contents[name]
    # The size stands in the header: a small file can announce pixels that fill the memory.
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise BundleError(f"{folder}: its probe image cannot be used: {name} is no PNG image")
    width, height = struct.unpack(">II", content[16:24])
    if max(width, height) > _MAX_PROBE_SIDE_PX:
        raise BundleError(f"{folder}: its probe image {name} is over the limit of {_MAX_PROBE_SIDE_PX} px a side")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    colour = name.startswith("probe_wl")
    if pixels is None or pixels.shape[2:] != ((3,) if colour else ()) or (colour and pixels.dtype != np.uint8):
        raise BundleError(f"{folder}: its probe image cannot be used: {name} is damaged or of another kind")
    return np.ascontiguousarray(pixels[..., ::-1]) if colour else pixels
