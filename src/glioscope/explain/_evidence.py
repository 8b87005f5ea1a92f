"""What the maps of a network mean: do they follow its weights, mark what it uses, and lie on the tumour?

Answers per view, beside other maps of the same network, as a record that `report` prints. Theatre shows one view only
(`THEATRE_VIEW`, from the bundle's `cam`); decision 0014 says why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Canvas, InputError
from glioscope.models import SpecimenNet

from ._deletion import Deletion, deletion
from ._maps import Images, Maps, Target, explain_maps, grad_cam, input_gradients
from ._pointing import Pointing, pointing
from ._randomise import cascade, independent, randomised, stages
from ._rules import guided_copy
from ._similarity import Masks, Similarity, Stack, pearson, similarity
from ._views import VIEWS, make_views

KIND: Final = "glioscope evidence on maps"
THEATRE_VIEW: Final = "gcam_heatmap"
LIMIT: Final = 0.5
"""A view reacts to its network if SSIM and rank correlation with the maps of randomised weights are both below."""
OWN: Final = "glioscope"
REFERENCE: Final = "reference"

_BATCH: Final = 16
"""Images whose maps are made at once: gradients of 60 images of 224 px would fill the memory."""

Progress = Callable[[str], None]
_Key = tuple[str, str]
"""Source and name of a map."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedImages:
    """Images on the network's canvas, on which maps are judged.

    Attributes
    ----------
    inputs : input -> float32 (N, 3, S, S), as `imaging.network_input` gives them.
    name : the input whose maps are judged, "fl" or "wl".
    brightness : float32 (N, S, S) in [0, 1].
    specimen : bool (N, S, S). tumor : likewise, where the tumour is; None where that is not known.
    """

    inputs: Images
    name: str
    brightness: NDArray[np.float32]
    specimen: Masks
    tumor: Masks | None = None

    def part(self, start: int, stop: int) -> "JudgedImages":
        """Images `start` to `stop` (not included), as a slice takes them."""
        rows = slice(start, stop)
        inputs = {name: images[rows] for name, images in self.inputs.items()}
        tumor = None if self.tumor is None else self.tumor[rows]
        return replace(self, inputs=inputs, brightness=self.brightness[rows], specimen=self.specimen[rows], tumor=tumor)


MapMaker = Callable[[SpecimenNet, JudgedImages, Target], Mapping[str, Stack]]
"""Maps of `JudgedImages.name` by name, each (N, S, S) or (N, S, S, 3), at least 0."""


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """What was found of one map.

    `randomised`: likeness to the maps of networks with all weights drawn anew; `cascade` and `independent`: stage by
    stage, as `Evidence.stages`; `permuted`: to a network trained on permuted labels. None for references, which have no
    network. `reacts`: see `LIMIT`.
    """

    name: str
    source: str
    randomised: Similarity | None
    cascade: tuple[Similarity, ...]
    independent: tuple[Similarity, ...]
    permuted: Similarity | None
    deletion: Deletion
    pointing: Pointing | None
    reacts: bool | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence on one network's maps; `to_json` is what `report` reads.

    `guided_plain_correlation`: Pearson's r of the guided and the plain gradients, mean over images; 1 would mean that
    guided back-propagation did nothing.
    """

    network: str
    image: str
    target: str
    images_kind: str
    n_images: int
    n_checked: int
    n_draws: int
    stages: tuple[str, ...]
    guided_plain_correlation: float
    views: tuple[ViewEvidence, ...]
    schema_version: int = field(default=1)

    @property
    def unreactive(self) -> tuple[str, ...]:
        """The paper's views that did not react to randomised weights, in its order."""
        return tuple(v.name for v in self.views if v.source == OWN and v.name in VIEWS and v.reacts is False)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, numbers to four digits."""
        return {
            "kind": KIND,
            "limit": LIMIT,
            "theatre_view": THEATRE_VIEW,
            "unreactive": list(self.unreactive),
            **_rounded(asdict(self)),
        }


def evidence(
    network: SpecimenNet,
    images: JudgedImages,
    target: Target,
    *,
    name: str,
    images_kind: str,
    rng: np.random.Generator,
    permuted: SpecimenNet | None = None,
    peers: Mapping[str, MapMaker] | None = None,
    n_checked: int = 16,
    n_draws: int = 5,
    say: Progress = lambda text: None,
) -> Evidence:
    """Judge the five views, the gradients they are made of, and the maps of others.

    Parameters
    ----------
    target : the class explained, as `class_target` gives it.
    name, images_kind : for the record: the network, and "simulated", "real" or "unspecified".
    permuted : a network trained the same way on permuted labels.
    peers : source -> maker of maps to be judged beside ours.
    n_checked : images for randomisation and deletion, which take many passes; the pointing game takes all.
    n_draws : networks with all weights drawn anew.
    say : told what is being done.

    Raises
    ------
    InputError : shapes that do not fit, or a network that cannot be explained.
    """
    makers: dict[str, MapMaker] = {OWN: own_maps, **(peers or {})}
    few = images.part(0, n_checked)
    say("maps")
    maps = _made(network, images, target, makers)
    references = _references(network, images, target, rng)
    likeness = _Likeness(makers, few, target, {key: values[:n_checked] for key, values in maps.items()})
    say("randomised weights")
    names = stages(network)
    found = _Randomisation(
        [likeness.to(randomised(network, names, few.inputs, rng)) for _ in range(n_draws)],
        [likeness.to(other) for _, other in cascade(network, few.inputs, rng)],
        [likeness.to(other) for _, other in independent(network, few.inputs, rng)],
        likeness.to(permuted) if permuted is not None else {},
    )
    say("deletion and pointing game")
    views = []
    for key, values in {**maps, **references}.items():
        removed = deletion(network, few.inputs, few.name, values[:n_checked], few.specimen, target, rng)
        hit = None if images.tumor is None else pointing(values, images.tumor, images.specimen)
        views.append(found.view(key, removed, hit))
    return Evidence(
        name,
        images.name,
        target.name,
        images_kind,
        len(images.specimen),
        len(few.specimen),
        n_draws,
        names,
        guided_plain_correlation(network, few, target),
        tuple(views),
    )


def own_maps(network: SpecimenNet, images: JudgedImages, target: Target) -> dict[str, Stack]:
    """The paper's five views on the canvas, and the guided and the plain gradient (absolute values, summed).

    Of the coloured view that is what is drawn: its positive part.
    """
    guided = guided_copy(network)
    maps = explain_maps(network, guided, images.inputs, target)[images.name]
    plain = input_gradients(network, images.inputs, target)[images.name]
    made: dict[str, list[NDArray[np.float32]]] = {view: [] for view in VIEWS}
    canvas = Canvas(size_px=images.specimen.shape[1])
    for index, (brightness, mask) in enumerate(zip(images.brightness, images.specimen, strict=True)):
        views = make_views(Maps(maps.cam, maps.guided), index, canvas, brightness, mask)
        for view, stack in made.items():
            stack.append(np.maximum(getattr(views, view), 0))
    lines = {"guided_gradient": maps.guided, "plain_gradient": plain}
    gradients = {key: np.abs(g).sum(axis=1) * images.specimen for key, g in lines.items()}
    return {**{view: np.stack(stack) for view, stack in made.items()}, **gradients}


def guided_plain_correlation(network: SpecimenNet, images: JudgedImages, target: Target) -> float:
    """Pearson's r of guided and plain gradients over pixels and colours, mean over images."""
    guided = input_gradients(guided_copy(network), images.inputs, target)[images.name]
    plain = input_gradients(network, images.inputs, target)[images.name]
    return float(np.mean([pearson(a.ravel(), b.ravel()) for a, b in zip(guided, plain, strict=True)]))


def caption_note(unreactive: Sequence[str], titles: Mapping[str, str]) -> str:
    """One sentence for a figure's caption on the views that do not react to the network; "" where all do.

    Parameters
    ----------
    unreactive : names of `VIEWS`, as in `Evidence.unreactive` or the "unreactive" of its JSON.
    titles : name -> how the figure calls it.

    Raises
    ------
    InputError : no such view.
    """
    unknown = [name for name in unreactive if name not in VIEWS]
    if unknown:
        raise InputError(f"there is no view {unknown[0]!r}; there are {', '.join(VIEWS)}")
    if not unreactive:
        return ""
    named = ", ".join(titles.get(name, name) for name in unreactive)
    return f"Hardly changed with randomised weights, so not evidence of what the network learnt: {named}."


@dataclass(frozen=True, slots=True)
class _Likeness:
    """Likeness of the network's maps to those of another network."""

    makers: Mapping[str, MapMaker]
    images: JudgedImages
    target: Target
    maps: Mapping[_Key, Stack]

    def to(self, other: SpecimenNet) -> dict[_Key, Similarity]:
        theirs = _made(other, self.images, self.target, self.makers)
        return {key: similarity(self.maps[key], theirs[key], self.images.specimen) for key in self.maps}


@dataclass(frozen=True, slots=True)
class _Randomisation:
    """Likeness of every map to those of other networks, in the order in which these were made."""

    drawn: Sequence[Mapping[_Key, Similarity]]
    cascade: Sequence[Mapping[_Key, Similarity]]
    independent: Sequence[Mapping[_Key, Similarity]]
    permuted: Mapping[_Key, Similarity]

    def view(self, key: _Key, removed: Deletion, hit: Pointing | None) -> ViewEvidence:
        source, name = key
        if source == REFERENCE:
            return ViewEvidence(name, source, None, (), (), None, removed, hit, None)
        mean = Similarity.mean([one[key] for one in self.drawn])
        steps, single = (tuple(one[key] for one in networks) for networks in (self.cascade, self.independent))
        reacts = max(mean.ssim, mean.spearman) < LIMIT
        return ViewEvidence(name, source, mean, steps, single, self.permuted.get(key), removed, hit, reacts)


def _made(
    network: SpecimenNet, images: JudgedImages, target: Target, makers: Mapping[str, MapMaker]
) -> dict[_Key, Stack]:
    """(source, map) -> maps, in the order in which they are printed."""
    parts = [images.part(start, start + _BATCH) for start in range(0, len(images.specimen), _BATCH)]
    found = {}
    for source, maker in makers.items():
        made = [maker(network, part, target) for part in parts]
        for name in made[0]:
            values = np.concatenate([one[name] for one in made])
            if values.shape[:3] != images.specimen.shape:
                raise InputError(f"map {name} of {source} is {values.shape}; {images.specimen.shape} is needed")
            found[(source, name)] = np.asarray(values, np.float32)
    return found


def _references(
    network: SpecimenNet, images: JudgedImages, target: Target, rng: np.random.Generator
) -> dict[_Key, Stack]:
    """Maps that know nothing of the network: brightness, also as coarse as the heatmap, and noise."""
    shown = images.brightness * images.specimen
    cells = grad_cam(network, images.part(0, 1).inputs, target)[images.name].shape[1:]
    size = shown.shape[2], shown.shape[1]
    coarse = [cv2.resize(cv2.resize(one, cells[::-1], interpolation=cv2.INTER_AREA), size) for one in shown]
    made = {
        "brightness": shown,
        "coarse_brightness": np.stack(coarse) * images.specimen,
        "noise": rng.random(shown.shape, np.float32) * images.specimen,
    }
    return {(REFERENCE, name): np.asarray(values, np.float32) for name, values in made.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
