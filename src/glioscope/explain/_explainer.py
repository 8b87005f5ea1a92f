"""A locked bundle with its torch network, and what it explains of a specimen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from glioscope.core import BundleError, BundleInfo, Canvas, FLPlan, ImageError, TaskDiagnosis, WLPlan, sha256_of
from glioscope.imaging import (
    Prepared,
    SpecimenImages,
    SpecimenSource,
    cut,
    find_specimens,
    network_input,
    open_specimen,
    prepare,
)
from glioscope.models import SpecimenNet, load_network
from glioscope.runtime import Bundle, Cascade, RuntimeSettings, load_bundle, load_suite_info

from ._colours import luminance
from ._maps import EXPECTED_LEVEL, Images, Maps, Target, class_target, explain_maps
from ._rules import guided_copy
from ._views import Scale, Views, make_views

AGREEMENT = 1e-3
"""Largest difference of the logits of `model.safetensors` and `model.onnx` of one bundle."""
_USUAL_WIDTH_MM = 16.0
"""Taken for the longer side of a cut image without mm_per_px; it only sets how fine its outline is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedImage:
    """One image of a specimen with its views.

    `image`: uint8 (H, W) FL, or (H, W, 3) WL, normalised as the network sees it, in the specimen's own pixels. `mask`:
    bool (H, W), the specimen. `cam`: float32 (h, w), the signed map of the whole canvas, as the network has it.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    cam: NDArray[np.float32]
    views: Views


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What one network says of one specimen, and why: `images` by input ("fl", "wl")."""

    specimen_id: str
    info: BundleInfo
    answer: TaskDiagnosis
    target: Target
    images: dict[str, ExplainedImage]
    mm_per_px: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Explainer:
    """A bundle that can explain itself. It answers by ONNX as in theatre; torch only explains."""

    bundle: Bundle
    network: SpecimenNet
    guided: SpecimenNet

    @classmethod
    def load(cls, suite: Path, name: str) -> Self:
        """Verify a bundle of a suite, and load its network from the verified `model.safetensors`.

        Raises
        ------
        BundleError : no such bundle, or one that is missing, changed, or whose `model.safetensors` is not there, does
            not fit, or answers otherwise than `model.onnx`.
        InputError : the network has no activation that guided back-propagation knows.
        """
        info = load_suite_info(suite)
        if name not in info.bundles or name not in info.sha256:
            raise BundleError(f"{suite}: has no bundle {name!r}; it has {', '.join(info.bundles)}")
        bundle = load_bundle(suite / name, sums_sha256=info.sha256[name])
        _check_weights(suite / name)
        try:
            network = load_network(suite / name, bundle.info)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0]
            raise BundleError(f"{suite / name / 'model.safetensors'}: does not fit the network: {reason}") from error
        _check_agreement(bundle, network, suite / name)
        return cls(bundle, network, guided_copy(network))

    def target(self, answer: TaskDiagnosis, name: str | None = None) -> Target:
        """The class `name`; by default the one that was answered.

        Of an ordinal task that is the expected level; where there is no answer (indeterminate, not assessable) it is
        the positive class.

        Raises
        ------
        InputError : the task has no such class.
        """
        task = self.bundle.info.task
        if name is not None:
            return class_target(task, name)
        if task.ordinal:
            return class_target(task, EXPECTED_LEVEL)
        return class_target(task, answer.answer if answer.answer in task.class_names else None)

    def maps(self, images: Images, target: Target) -> dict[str, Maps]:
        """Maps of N images for each input; see `explain_maps`."""
        return explain_maps(self.network, self.guided, images, target)

    def answer(self, source: SpecimenSource) -> TaskDiagnosis:
        """What this bundle says in theatre, quality gate, envelope and abstention included.

        Raises
        ------
        ImageError : an image of the source cannot be used.
        """
        info = self.bundle.info
        alone = Cascade({info.task.name: self.bundle}, info.provenance.data_kind, RuntimeSettings())
        diagnosis = alone.diagnose_files(source)
        if diagnosis.error is not None:
            raise ImageError(None, diagnosis.error)
        return diagnosis.tasks[0]

    def explain(self, source: SpecimenSource, class_name: str | None = None) -> Explanation:
        """Read, answer and explain one image set; a specimen that gets no answer is explained all the same.

        Raises
        ------
        ImageError : an image that the network needs is missing or cannot be used.
        InputError : the task has no class `class_name`.
        """
        info = self.bundle.info
        specimen = open_specimen(source)
        lacking = [name.upper() for name in info.modality.inputs if name not in specimen.has]
        if lacking:
            reason = f"no {' and '.join(lacking)} image of {specimen.specimen_id}, which bundle {info.name} needs"
            raise ImageError(None, reason)
        answer = self.answer(source)
        target = self.target(answer, class_name)
        maps = self.maps(_network_inputs(specimen, self.bundle), target)
        shown = {name: _explained(specimen, self.bundle.plan(name), maps[name]) for name in maps}
        return Explanation(specimen.specimen_id, info, answer, target, shown, specimen.mm_per_px)

    def scale(self, views: Scale, target: Target, name: str) -> Scale:
        """`views` with the heatmap's range of this bundle's training images, where the bundle has one for the target.

        The range is of the logit itself (two classes) or of the mean logit (ordinal), so single levels have none.
        """
        reference = self.bundle.info.cam_range.get(name)
        if reference is None or (self.bundle.info.task.ordinal and target.name != EXPECTED_LEVEL):
            return views
        return views.with_reference(*reference)


def specimen_mask(specimen: SpecimenImages, name: str) -> NDArray[np.bool_]:
    """Where the specimen is in its image `name` ("fl", "wl"), bool (H, W): as found in its frame, else looked for.

    An image in which no specimen stands out of a background is taken to be specimen throughout.
    """
    pixels = {key: image.pixels for key, image in (("fl", specimen.fl), ("wl", specimen.wl)) if image is not None}
    shape = pixels[name].shape[:2]
    if specimen.mask is not None:
        return specimen.mask
    # Images of two sizes are not registered to each other: the outline of one would not fit the other.
    usable = {key: array for key, array in pixels.items() if array.shape[:2] == shape}
    mm_per_px = specimen.mm_per_px or _USUAL_WIDTH_MM / max(shape)
    regions = find_specimens(usable.get("fl"), usable.get("wl"), mm_per_px=mm_per_px)
    mask = np.zeros(shape, bool)
    for region in regions:
        x, y, width, height = region.box
        mask[y : y + height, x : x + width] |= region.mask
    return mask if regions else np.ones(shape, bool)


def _explained(specimen: SpecimenImages, plan: FLPlan | WLPlan, maps: Maps) -> ExplainedImage:
    mask = specimen_mask(specimen, plan.kind)
    image = _in_own_pixels(specimen, plan, mask.shape)
    views = make_views(maps, 0, plan.canvas, luminance(image), mask)
    return ExplainedImage(image, mask, maps.cam[0], views)


def _in_own_pixels(specimen: SpecimenImages, plan: FLPlan | WLPlan, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image as the plan normalises it, uint8 (H, W) or (H, W, 3), at its own resolution up to 1024 px."""
    height, width = shape
    side = max(height, width)
    whole = plan.model_copy(update={"canvas": Canvas(kind="square", size_px=min(max(side, 32), 1024))})
    square = _prepared(specimen, whole).image
    if square.shape[0] != side:
        square = np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    return cut(square, (-((width - side) // 2), -((height - side) // 2), width, height))


def _network_inputs(specimen: SpecimenImages, bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """What the network reads of the specimen, (1, 3, S, S) an input: the bytes that theatre would give it."""
    plans = {name: bundle.plan(name) for name in bundle.info.modality.inputs}
    return {name: network_input(_prepared(specimen, plan).image[None], plan) for name, plan in plans.items()}


def _prepared(specimen: SpecimenImages, plan: FLPlan | WLPlan) -> Prepared:
    """The one image that the plan is for."""
    made = prepare(specimen, fl_plan=plan).fl if isinstance(plan, FLPlan) else prepare(specimen, wl_plan=plan).wl
    if made is None:
        raise ImageError(None, f"no {plan.kind.upper()} image of {specimen.specimen_id} to explain")
    return made


def _check_weights(bundle: Path) -> None:
    """`model.safetensors` must be what the bundle was locked with; `load_bundle` has checked the list itself."""
    path = bundle / "model.safetensors"
    lines = (bundle / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if path.name not in listed:
        raise BundleError(f"{bundle / 'SHA256SUMS'}: does not list {path.name}, which the explanation reads")
    if sha256_of(path) != listed[path.name]:
        raise BundleError(f"{path}: was changed after the bundle was locked (its SHA-256 differs)")


def _check_agreement(bundle: Bundle, network: SpecimenNet, folder: Path) -> None:
    """Torch explains what ONNX answers only if both are one network: compare them on an image of noise."""
    rng = np.random.default_rng(0)
    sizes = {name: bundle.plan(name).canvas.size_px for name in bundle.info.modality.inputs}
    noise = {name: rng.standard_normal((1, 3, size, size), np.float32) for name, size in sizes.items()}
    with torch.no_grad():
        own = network(*(torch.from_numpy(image) for image in noise.values())).numpy()
    difference = float(np.abs(own - bundle.run(noise).logit).max())
    if not difference <= AGREEMENT:
        raise BundleError(
            f"{folder / 'model.safetensors'}: answers {difference:.2g} off model.onnx (limit {AGREEMENT:g}), "
            "so its maps would explain another network"
        )
