"""Load a model bundle and refuse one that is incomplete, changed or of another version."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from glioscope.core import BundleError, BundleInfo, FLPlan, InputError, WLPlan

from ._files import parse_record, require_listed, verified_files
from ._onnx_file import check_onnx
from ._probe import compare_probe, probe_answer, probe_inputs
from ._settings import PROVIDERS, RuntimeSettings

_NEEDED = ("model.onnx", "bundle.json", "probe.json")
_VECTORS = "envelope.npy"
SPIN_US = "20"
"""Microseconds that a thread looks out for its next piece of work before it sleeps (`make bench-latency`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network says of N images: logit (N, K), one signed cam (N, h, w) an input, features (N, d)."""

    logit: NDArray[np.float32]
    cams: dict[str, NDArray[np.float32]]
    features: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified model, ready to answer. `vectors`: of its envelope, float32 (rank + 1, d); None where it has none."""

    info: BundleInfo
    session: Any
    vectors: NDArray[np.float32] | None = None

    def plan(self, name: str) -> FLPlan | WLPlan:
        """The preprocessing plan of input "fl" or "wl".

        Raises
        ------
        BundleError : the bundle has none.
        """
        plan = self.info.fl_plan if name == "fl" else self.info.wl_plan
        if plan is None:
            raise BundleError(f"bundle {self.info.name}: input {name} has no preprocessing plan")
        return plan

    def run(self, images: dict[str, NDArray[np.float32]]) -> Answer:
        """Answer for float32 (N, 3, H, W) per input, as `imaging.network_input` gives them."""
        inputs = self.info.modality.inputs
        names = ["logit", *(f"cam_{name}" for name in inputs), "features"]
        logit, *cams, features = self.session.run(names, {name: images[name] for name in inputs})
        return Answer(logit, dict(zip(inputs, cams, strict=True)), features)


def load_bundle(folder: Path, settings: RuntimeSettings | None = None, *, sums_sha256: str | None = None) -> Bundle:
    """Check every file against `SHA256SUMS`, open the network, and let it answer its probe image.

    Parameters
    ----------
    folder : the bundle.
    settings : threads and provider.
    sums_sha256 : what the suite says of this bundle's SHA256SUMS.

    Raises
    ------
    BundleError : one sentence with the file and what is wrong with it.
    InputError : the provider of the settings is not in this machine's ONNX Runtime.
    """
    contents = verified_files(folder, sums_sha256, _NEEDED)
    info = parse_record(contents["bundle.json"], folder / "bundle.json", BundleInfo)
    _check_numbers(info, folder)
    check_onnx(contents["model.onnx"], folder / "model.onnx")
    session = _open_session(contents["model.onnx"], folder / "model.onnx", settings or RuntimeSettings())
    bundle = Bundle(info, session, _envelope_vectors(contents, info, folder))
    _check_interface(bundle, folder)
    expected = probe_answer(contents, info, folder)
    images = probe_inputs(contents, info, folder)
    try:
        answer = bundle.run(images)
    except Exception as error:  # ONNX Runtime's own untyped kinds; all mean that the graph does not take the image
        raise BundleError(f"{folder / 'model.onnx'}: cannot read the probe image: {_first_line(error)}") from error
    compare_probe(answer.logit, expected, folder)
    if answer.features.shape != (1, info.n_features):
        found = answer.features.shape
        raise BundleError(f"{folder / 'model.onnx'}: gives features {found}; {(1, info.n_features)} are needed")
    return bundle


def _open_session(content: bytes, path: Path, settings: RuntimeSettings) -> Any:
    provider = PROVIDERS[settings.provider]
    if provider not in onnxruntime.get_available_providers():
        raise InputError(
            f"provider {settings.provider!r} is not in this ONNX Runtime, which has "
            f"{', '.join(name for name, known in PROVIDERS.items() if known in onnxruntime.get_available_providers())}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = 3
    # Between two nodes a thread that sleeps wakes up too late; one that spins on after the last node takes the cores
    # from the next network of the suite, and from everybody else on a busy machine.
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        # From bytes: what was hashed is what runs.
        return onnxruntime.InferenceSession(content, sess_options=options, providers=[provider])
    except Exception as error:  # the library raises its own untyped kinds; all mean that the graph is unusable
        raise BundleError(f"{path}: not a usable network: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _check_numbers(info: BundleInfo, folder: Path) -> None:
    """Thresholds and calibrations must be one an output of the task."""
    path, outputs = folder / "bundle.json", info.task.n_outputs
    if len(info.threshold.logit) != outputs:
        found = len(info.threshold.logit)
        raise BundleError(f"{path}: has {found} thresholds; task {info.task.name} needs {outputs}")
    if len(info.calibration) not in (0, outputs):
        raise BundleError(f"{path}: has {len(info.calibration)} calibrations; task {info.task.name} needs {outputs}")


def _envelope_vectors(contents: dict[str, bytes], info: BundleInfo, folder: Path) -> NDArray[np.float32] | None:
    if info.envelope is None:
        return None
    require_listed(contents, (_VECTORS,), folder)
    try:
        vectors: NDArray[Any] = np.load(io.BytesIO(contents[_VECTORS]), allow_pickle=False)
        info.envelope.check(vectors, info.n_features)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error
    except Exception as error:  # damaged in any way: the header is a Python literal, read by NumPy
        raise BundleError(f"{folder / _VECTORS}: is not an array: {_first_line(error)}") from error
    return vectors


def _check_interface(bundle: Bundle, folder: Path) -> None:
    wanted = set(bundle.info.modality.inputs)
    found = {i.name for i in bundle.session.get_inputs()}
    outputs = {o.name for o in bundle.session.get_outputs()}
    needed = {"logit", "features", *(f"cam_{name}" for name in wanted)}
    if found != wanted or not needed <= outputs:
        raise BundleError(
            f"{folder / 'model.onnx'}: has inputs {sorted(found)} and outputs {sorted(outputs)}; "
            f"inputs {sorted(wanted)} and outputs {sorted(needed)} are needed"
        )
