"""The paper's cascade on a locked suite: tumour first; grade, Ki-67 and the rest only of what is called tumour."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glioscope.core import (
    BundleError,
    Decision,
    Diagnosis,
    Frame,
    GlioscopeError,
    ImageError,
    Reason,
    SuiteInfo,
    TaskDiagnosis,
)
from glioscope.imaging import (
    Pixels,
    SpecimenImages,
    SpecimenSource,
    network_input,
    open_specimen,
    specimens_in_frames,
)

from ._bundle import Answer, Bundle, load_bundle
from ._case import Case
from ._decide import decide, not_asked, not_assessable
from ._files import load_suite_info, read_suite_file
from ._settings import RuntimeSettings

FIRST_TASK = "tumor"
Specimen = Sequence[SpecimenSource]
"""The image sets of one specimen."""


@dataclass(frozen=True, slots=True, eq=False)
class Cascade:
    """A loaded suite. Its methods may be called from several threads; identical pixels get the identical answer."""

    bundles: dict[str, Bundle]
    """Task -> the bundle that answers it; the first task first."""
    data_kind: str
    settings: RuntimeSettings
    signed_by: str | None = None
    """Identifier of the trusted key that signed the suite; None where no signature was asked for."""
    pool: ThreadPoolExecutor | None = None
    """Threads for the tasks after the first, where they are asked side by side."""

    @classmethod
    def load(cls, suite: Path, settings: RuntimeSettings | None = None) -> Self:
        """Verify and load the answering bundles of a suite, and warm them up (each answers its probe image).

        Raises
        ------
        BundleError : the suite or one of its bundles is missing, changed, of another version, or not signed by whom
            the settings trust.
        InputError : the settings ask for a provider or a key that is not there.
        """
        chosen = settings or RuntimeSettings()
        content = read_suite_file(suite)
        signed_by = _signer(suite, chosen, content)
        info = load_suite_info(suite, content)
        order = sorted(info.answers, key=lambda task: task != FIRST_TASK)
        later = max(1, len(order) - 1)
        share = chosen.model_copy(update={"threads": max(1, chosen.threads // later)})
        bundles = {}
        for task in order:
            alone = task == FIRST_TASK or later == 1 or not chosen.parallel
            name = info.answers[task]
            bundles[task] = load_bundle(suite / name, chosen if alone else share, sums_sha256=info.sha256[name])
            _check_agrees(suite, info, task, bundles[task])
        side_by_side = chosen.parallel and len(order) > 2
        pool = ThreadPoolExecutor(len(order) - 2, "cascade") if side_by_side else None
        return cls(bundles, info.data_kind, chosen, signed_by, pool)

    def diagnose(
        self,
        fl: Frame | None,
        wl: Frame | None = None,
        *,
        dark: Pixels | None = None,
        flat: Pixels | None = None,
        specimen_id: str = "specimen",
    ) -> Diagnosis:
        """Find the one specimen of a frame pair, and diagnose it.

        Parameters
        ----------
        fl : uint16 (H, W) with `mm_per_px`, or None where the suite reads white light only.
        wl : uint8 (H, W, 3) RGB, registered to `fl`.
        dark, flat : of the fluorescence camera, uint16 (H, W).

        Returns
        -------
        The answers; not assessable where there is no specimen, or more than one; with `error` where a frame is of the
        wrong type or size. Never raises for an image.
        """
        started = perf_counter()
        try:
            found = specimens_in_frames(fl, wl, dark=dark, flat=flat, field_mm=self.settings.field_mm)
        except ImageError as error:
            return Diagnosis(specimen_id, error=str(error))
        if len(found) != 1:
            return self._refused(specimen_id, _count_reason(len(found)), started)
        case = Case(specimen_id, [replace(found[0], specimen_id=specimen_id)])
        case.spent("find", started)
        return self._answered([case], started)[0]

    def diagnose_tray(
        self,
        fl: Frame | None,
        wl: Frame | None = None,
        *,
        dark: Pixels | None = None,
        flat: Pixels | None = None,
        tray_id: str = "tray",
    ) -> list[Diagnosis]:
        """Find every specimen of a frame pair, and diagnose them together, in reading order.

        Parameters are those of `diagnose`. The diagnoses are named TRAY-1, TRAY-2 ..., and carry box and outline in
        px of the frame. Empty for an empty plate.

        Raises
        ------
        ImageError : a frame is of the wrong type or size.
        """
        started = perf_counter()
        field = self.settings.field_mm
        found = specimens_in_frames(fl, wl, dark=dark, flat=flat, name=tray_id, field_mm=field)
        return self._answered([Case(images.specimen_id, [images]) for images in found], started)

    def diagnose_images(self, images: SpecimenImages) -> Diagnosis:
        """Diagnose one specimen that is cut already, or found again in its frame. Never raises for an image."""
        return self._answered([Case(images.specimen_id, [images])], perf_counter())[0]

    def diagnose_files(self, sources: SpecimenSource | Sequence[SpecimenSource]) -> Diagnosis:
        """Diagnose one specimen from files: one image set, or several.

        Logits are averaged over the image sets that a bundle can use, as they are in training. A task whose image was
        not given is not assessable; the other answers stand.

        Returns
        -------
        The answers, or a `Diagnosis` whose `error` says why a file cannot be used. Never raises for an image.
        """
        started = perf_counter()
        sets = [sources] if isinstance(sources, SpecimenSource) else list(sources)
        return self._answered([_opened(sets)], started)[0]

    def diagnose_many(self, specimens: Iterable[Specimen]) -> Iterator[Diagnosis]:
        """Diagnose specimens in their order, in batches, with `settings.workers` batches under way.

        Reads no further ahead than that, whatever the number of specimens. An unusable specimen gets its error and
        the others go on.
        """
        ahead: deque[Future[list[Diagnosis]]] = deque()
        with ThreadPoolExecutor(self.settings.workers) as pool:
            for batch in _batches(specimens, self.settings.batch):
                ahead.append(pool.submit(self._diagnose_batch, batch))
                if len(ahead) > self.settings.workers:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()

    def _diagnose_batch(self, batch: Sequence[Specimen]) -> list[Diagnosis]:
        started = perf_counter()
        return self._answered([_opened(sets) for sets in batch], started)

    def _answered(self, cases: Sequence[Case], started: float) -> list[Diagnosis]:
        """Answer all cases together; if that fails for a reason that nobody foresaw, one by one."""
        try:
            self._ask_everything([case for case in cases if case.error is None])
        except Exception as error:
            if len(cases) > 1:
                return [d for case in cases for d in self._answered([_again(case)], perf_counter())]
            cases[0].error = str(error) if isinstance(error, GlioscopeError) else f"{type(error).__name__}: {error}"
        each = (perf_counter() - started) * 1000 / max(1, len(cases))
        for case in cases:
            case.timings_ms["total"] = each
        return [case.diagnosis(list(self.bundles)) for case in cases]

    def _ask_everything(self, cases: Sequence[Case]) -> None:
        for case in cases:
            case.measure()
        later = {task: bundle for task, bundle in self.bundles.items() if task != FIRST_TASK}
        tumours = list(cases)
        if FIRST_TASK in self.bundles:
            self._ask({FIRST_TASK: self.bundles[FIRST_TASK]}, cases)
            tumours = [case for case in cases if case.answers[FIRST_TASK].decision is Decision.POSITIVE]
            for case in cases:
                why = _why_not(case.answers[FIRST_TASK])
                case.answers |= {task: not_asked(bundle.info, why) for task, bundle in later.items()}
        self._ask(later, tumours)

    def _ask(self, bundles: Mapping[str, Bundle], cases: Sequence[Case]) -> None:
        """Let each bundle answer its task for all cases."""
        work = []
        for task, bundle in bundles.items():
            chosen = []
            for case in cases:
                usable, reasons = case.usable(bundle.info)
                if usable:
                    chosen.append((case, usable))
                else:
                    case.answers[task] = not_assessable(bundle.info, reasons)
            if chosen:
                work.append((task, bundle, chosen, _inputs(bundle, chosen)))
        started = perf_counter()
        # The last one runs here; the pool has the others under way meanwhile.
        ahead = [self.pool.submit(_run, bundle, inputs) for _, bundle, _, inputs in work[:-1]] if self.pool else []
        answers = [_run(bundle, inputs) for _, bundle, _, inputs in work[len(ahead) :]]
        answers = [future.result() for future in ahead] + answers
        for (task, bundle, chosen, _), answer in zip(work, answers, strict=True):
            _distribute(task, bundle, chosen, answer)
        for case in {id(case): case for _, _, chosen, _ in work for case, _ in chosen}.values():
            case.spent("network", started)

    def _refused(self, specimen_id: str, reason: Reason, started: float) -> Diagnosis:
        """No task is assessable, for one reason."""
        tasks = tuple(not_assessable(bundle.info, (reason,)) for bundle in self.bundles.values())
        spent = {"total": (perf_counter() - started) * 1000}
        return Diagnosis(specimen_id, tasks, reasons=(reason,), timings_ms=spent)


def _batches(specimens: Iterable[Specimen], size: int) -> Iterator[tuple[Specimen, ...]]:
    iterator = iter(specimens)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _signer(suite: Path, settings: RuntimeSettings, content: bytes) -> str | None:
    """Who signed exactly this `content` of suite.json, which is also what is loaded."""
    if settings.trusted_keys is None:
        return None
    # Imported here: a suite that needs no signature starts faster without the library.
    from ._signature import trusted_keys, verify_suite

    return verify_suite(suite, trusted_keys(settings.trusted_keys), content=content)


def _check_agrees(suite: Path, info: SuiteInfo, task: str, bundle: Bundle) -> None:
    """suite.json itself is under no hash: what it says must agree with the bundles, which are."""
    name = info.answers[task]
    if bundle.info.task.name != task:
        found = f"bundle {name} answers task {bundle.info.task.name!r}, not {task!r}"
        raise BundleError(f"{suite / 'suite.json'}: {found}")
    kind = bundle.info.provenance.data_kind
    if kind != info.data_kind:
        found = f"says {info.data_kind} images; bundle {name} was trained on {kind} ones"
        raise BundleError(f"{suite / 'suite.json'}: {found}")


def _opened(sets: Sequence[SpecimenSource]) -> Case:
    """A case from files; an image that cannot be read is its error."""
    images: list[SpecimenImages] = []
    files = [
        {name: path.name for name, path in (("fl", s.fl_image), ("wl", s.wl_image)) if path is not None} for s in sets
    ]
    case = Case(sets[0].specimen_id, images, files)
    started = perf_counter()
    try:
        images += [open_specimen(source) for source in sets]
    except (GlioscopeError, OSError) as error:
        case.error = str(error)
    case.spent("open", started)
    return case


def _again(case: Case) -> Case:
    return Case(case.specimen_id, case.sets, case.files, case.error)


def _inputs(bundle: Bundle, chosen: Sequence[tuple[Case, list[int]]]) -> dict[str, NDArray[np.float32]]:
    """Network inputs (N, 3, H, W) of all usable image sets, case by case."""
    return {
        name: network_input(
            np.stack([case.image(bundle.plan(name), index) for case, usable in chosen for index in usable]),
            bundle.plan(name),
        )
        for name in bundle.info.modality.inputs
    }


def _run(bundle: Bundle, inputs: dict[str, NDArray[np.float32]]) -> Answer:
    """The network's answer on all N images, one at a time.

    A batch changes the last bits of every logit in it: alone, an image gets the same answer in every company. On a CPU
    a batch would not be faster.
    """
    n = len(next(iter(inputs.values())))
    parts = [bundle.run({k: v[i : i + 1] for k, v in inputs.items()}) for i in range(n)]
    return Answer(
        np.concatenate([part.logit for part in parts]),
        {name: np.concatenate([part.cams[name] for part in parts]) for name in inputs},
        np.concatenate([part.features for part in parts]),
    )


def _distribute(task: str, bundle: Bundle, chosen: Sequence[tuple[Case, list[int]]], answer: Answer) -> None:
    """Give each case its part of a network's answer: mean logit over its image sets, the largest distance."""
    info, start = bundle.info, 0
    envelope = info.envelope
    distance = (
        None if envelope is None or bundle.vectors is None else envelope.distance(answer.features, bundle.vectors)
    )
    for case, usable in chosen:
        part = slice(start, start + len(usable))
        start += len(usable)
        logit = answer.logit[part].astype(np.float64).mean(0)
        if not np.isfinite(logit).all():
            reason = Reason("no_finite_answer", f"bundle {info.name} gave no finite answer")
            case.answers[task] = not_assessable(info, (reason,))
            continue
        far = None if distance is None else round(float(distance[part].max()), 9)
        found: TaskDiagnosis = decide(info, logit, far)
        # Of several image sets, the map of the first is shown: maps of different pictures cannot be averaged.
        cams = {name: cam[part][0] for name, cam in answer.cams.items()}
        case.answers[task] = replace(found, cams=cams)


def _why_not(first: TaskDiagnosis) -> str:
    return "not tumour" if first.decision is Decision.NEGATIVE else f"tumour is {first.answer}"


def _count_reason(count: int) -> Reason:
    if count == 0:
        return Reason("no_specimen", "no specimen in the frame: put one under the cameras", "", 0.0, 1.0)
    sentence = f"{count} specimens in the frame, 1 is needed: leave one, or use the tray"
    return Reason("several_specimens", sentence, "", float(count), 1.0)
