"""bench-ambient: CNN 1 (tumour, fluorescence) under ambient light: plain frames, strobed frames, and the best possible.

Everything is SIMULATED. A probe on frozen features is trained once on ordinary images of cohort seed 810; how to strobe
is chosen on its tuning patients, and results are of cohorts 831 and 832, whose patients the network never saw. (The
registration was made while looking at seeds 5, 811 to 813 and 820.) Every frame is photographed by the simulator's own
camera (shot noise of signal and ambient light, read noise, offset, column gains, hot pixels) in full exposures: dark,
lit, dark. Ambient light comes from lamps: it has a spatial gradient, half of it is reflected by plate and tissue, it
drifts, and it flickers at 100 Hz; the unit moves by up to 2 px between frames. Every frame passes through a calibration
(`devices`) that was measured on simulated dark and flat frames of that camera; `auc_strobed_uncalibrated` is of frames
as the sensor gives them.

Levels are multiples of the median specimen's signal. `auc_shot_noise_bound` is of the lit frame minus the true mean of
its ambient light: the noise of that light stays, which no subtraction can take off. `interval` is of the difference
between bound and strobed, over whole patients drawn again.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from common import finish, parser
from glioscope.core import CameraInfo, Canvas, FLPlan, Frame, Modality
from glioscope.devices._calibration import Calibration, measure_calibration
from glioscope.devices._flicker import flicker_free_exposure_ms
from glioscope.devices._strobe import Strobe, StrobedFrame, StrobeSettings
from glioscope.imaging import RawImage, SpecimenImages, fl_signal, prepare, white_of_signals
from glioscope.models import LITE0, FrozenFeatures, PreparedImages, ProbeSettings, SpecimenNet, fit_probe
from glioscope.sim import Appearance, SimSettings, draw_appearance, draw_design, draw_tissue
from glioscope.sim._cameras import CameraPattern, Scene, Window, compose, draw_pattern, photograph_fl
from glioscope.sim._render import paint
from glioscope.sim._trays import plain_light
from glioscope.sim._write import appearances_of
from glioscope.stats import auc, auc_ci

TRAIN_SEED, REPORT_SEEDS = 810, (831, 832)
LEVELS = (0.25, 1.0, 4.0, 10.0)
PATCH, MM_PER_PX = (128, 160), 0.1
SPREAD_GRADIENT = 0.5
"""The lamp's light differs by up to this share between two opposite corners of a cut."""
REFLECTED = 0.5
"""Share of the ambient light in the picture that depends on what reflects it; the rest is haze and stray light."""
DRIFT_PER_S, FLICKER, MAINS_HZ = 0.05, 0.3, 49.95
FRAME_PERIOD_S = 0.12
MOVED_PX = 2.0
MARGIN = 0.02
Counts = NDArray[np.uint16]
Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Specimen:
    """One simulated specimen before the camera; the same seed gives the same specimen and the same noise."""

    patient: int
    tumor: bool
    appearance: Appearance
    scene: Scene
    window: Window
    pattern: CameraPattern
    settings: SimSettings
    seed: int
    calibration: Calibration

    @property
    def signal(self) -> float:
        """Mean emission in uptake units."""
        return float(self.scene.emission[self.scene.coverage > 0.5].mean())


@dataclass(frozen=True, slots=True)
class Taken:
    """Three frames of one specimen in order of time, as the sensor gives them and calibrated.

    `ambient_counts`: what the ambient light alone would give in the calibrated lit one, without noise.
    """

    raw: tuple[Frame, ...]
    frames: tuple[Frame, ...]
    ambient_counts: Image


def draw_specimens(count: int, seed: int, *, n_patients: int = 23) -> Iterator[Specimen]:
    """`count` specimens at random of a full cohort of 1874, at 160 x 128 px."""
    settings = SimSettings()
    rng = np.random.default_rng(seed)
    design = draw_design(n_patients, 1874, settings, rng)
    appearances = appearances_of(draw_appearance(design, draw_tissue(design, settings, rng), settings, rng))
    frame = (settings.infrared.rows, settings.infrared.columns)
    pattern = draw_pattern(frame, settings, rng)
    calibration = calibrate(frame, pattern, settings, rng)
    for i in sorted(rng.permutation(len(appearances))[:count]):
        own = np.random.default_rng([seed, int(i)])
        row, column = (int(own.integers(0, frame[k] - PATCH[k] + 1)) for k in (0, 1))
        window = Window(row, column, PATCH, MM_PER_PX, frame)
        jitter = own.uniform(-3.0, 3.0, 2)
        centre = (PATCH[0] / 2 + float(jitter[0]), PATCH[1] / 2 + float(jitter[1]))
        painted = paint(appearances[i], PATCH, centre, MM_PER_PX, settings, own)
        scene = compose(window, [(painted, (0, 0))], settings, own)
        label = bool(design.label_tumor[i])
        number = int(own.integers(2**31))
        yield Specimen(
            int(design.patient[i]),
            label,
            appearances[i],
            scene,
            window,
            pattern,
            settings,
            number,
            cut_calibration(calibration, window),
        )


def calibrate(
    frame: tuple[int, int], pattern: CameraPattern, settings: SimSettings, rng: np.random.Generator, n: int = 24
) -> Calibration:
    """Dark and flat frames of the whole sensor; the flat keeps the vignetting that the network knows."""
    window = Window(0, 0, frame, MM_PER_PX, frame)
    camera = settings.infrared
    info = CameraInfo("simulated", "0", *frame, False, 2**camera.bits - 1, (1.0, 1000.0), (1.0, 1.0))

    def frames(level: float) -> list[Frame]:
        scene = Scene(np.full(frame, level, np.float32), np.zeros((*frame, 3), np.float32), np.zeros(frame, np.float32))
        light = replace(plain_light(), ambient=0.0)
        pictures = (photograph_fl(scene, window, light, pattern, settings, rng) for _ in range(n))
        return [Frame(each, "fl", k, exposure_ms=camera.exposure_ms, gain=1.0) for k, each in enumerate(pictures)]

    return measure_calibration(frames(0.0), frames(25.0), info=info, flat_kind="pixels")


def cut_calibration(whole: Calibration, window: Window) -> Calibration:
    """The part of a calibration that belongs to a cut of the sensor."""
    (rows, columns), top, left = window.shape, window.row, window.column
    inside = (slice(top, top + rows), slice(left, left + columns))
    info = whole.info.model_copy(update={"rows": rows, "columns": columns})
    return Calibration(info, whole.dark[inside], whole.flat[inside], whole.bad[inside])


def photograph(specimen: Specimen, ambient: Image | float, rng: np.random.Generator, *, scene: Scene) -> Counts:
    """One exposure under an ambient light given in uptake units at the sensor."""
    appearance = replace(specimen.appearance, ambient=ambient)  # type: ignore[arg-type]  # a field of light, not a level
    return photograph_fl(scene, specimen.window, appearance, specimen.pattern, specimen.settings, rng)


def plain_shot(specimen: Specimen) -> Counts:
    """An ordinary cohort image: only the room's usual light."""
    rng = np.random.default_rng(specimen.seed)
    return photograph(specimen, specimen.appearance.ambient, rng, scene=specimen.scene)


def take(specimen: Specimen, level: float) -> Taken:
    """Dark, lit, dark, under ambient light of mean `level` uptake units."""
    rng = np.random.default_rng([specimen.seed, round(100 * level)])
    lamp, motion, noise = rng.spawn(3)
    light = _lamp(specimen, level, lamp)
    exposure_s = flicker_free_exposure_ms(specimen.settings.infrared.exposure_ms, 50.0, 1000 * FRAME_PERIOD_S) / 1000
    trend, phase = lamp.uniform(-DRIFT_PER_S, DRIFT_PER_S), lamp.uniform(0, 2 * np.pi)
    black = replace(specimen.scene, emission=np.zeros_like(specimen.scene.emission))
    frames = []
    for number, lit in enumerate((False, True, False)):
        end = (number + 1) * FRAME_PERIOD_S
        strength = 1 + trend * (end - 1.5 * FRAME_PERIOD_S) + _flicker(end, exposure_s, phase)
        by = (0.0, 0.0) if lit else tuple(motion.uniform(-1, 1, 2) * MOVED_PX / np.sqrt(2))
        scene = specimen.scene if lit else black
        field = np.asarray(moved(light, by) * np.float32(strength), np.float32)
        pixels = photograph(specimen, field, noise, scene=scene)
        if lit:
            ambient = field
        frames.append(
            Frame(pixels, "fl", number, end, white_level=65535, exposure_ms=1000 * exposure_s, gain=1.0, laser_on=lit)
        )
    counts = np.asarray(_mean_counts(specimen, ambient) / specimen.calibration.flat, np.float32)
    return Taken(tuple(frames), tuple(map(specimen.calibration.apply, frames)), counts)


def _lamp(specimen: Specimen, level: float, rng: np.random.Generator) -> Image:
    """Ambient light at the sensor: a gradient in a random direction, reflected by what is there, through the lens."""
    turn = rng.uniform(0, 2 * np.pi)
    rows, columns = specimen.window.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    gradient = 1 + SPREAD_GRADIENT / 2 * (np.cos(turn) * x + np.sin(turn) * y) / np.sqrt(2)
    reflecting = specimen.scene.reflectance[..., 0] / float(
        specimen.scene.reflectance[..., 0][specimen.scene.coverage > 0.5].mean()
    )
    field = level * gradient * (1 - REFLECTED + REFLECTED * reflecting) + specimen.appearance.ambient
    return np.asarray(cv2.GaussianBlur(field.astype(np.float32), (0, 0), specimen.settings.optics.lens_blur_px))


def _flicker(end_s: float, exposure_s: float, phase: float) -> float:
    """Mean over the exposure of a sine at twice the mains frequency (which is never exactly 50 Hz)."""
    omega = 2 * np.pi * 2 * MAINS_HZ
    turned = np.cos(omega * (end_s - exposure_s) + phase) - np.cos(omega * end_s + phase)
    return FLICKER * float(turned) / (omega * exposure_s)


def moved(image: Image, by: tuple[float, ...]) -> Image:
    """The scene shifted by x, y in px."""
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    return np.asarray(
        cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    )


def _mean_counts(specimen: Specimen, ambient: Image) -> Image:
    """Counts that this light gives without noise: two exposures without noise, with and without it."""
    silent = _Silent()
    black = replace(specimen.scene, emission=np.zeros_like(specimen.scene.emission))
    camera = specimen.settings.infrared.model_copy(update={"offset_adu": 600.0, "bits": 16})
    quiet = replace(specimen, settings=specimen.settings.model_copy(update={"infrared": camera}))
    with_light, without = (
        photograph(quiet, each, silent, scene=black).astype(np.float32)  # type: ignore[arg-type]
        for each in (ambient, 0.0)
    )
    return np.asarray(with_light - without)


class _Silent:
    """Stands in for a generator and draws zeros."""

    def standard_normal(self, size: tuple[int, int], dtype: type = np.float64) -> NDArray[np.floating]:
        return np.zeros(size, dtype)


def strobe(frames: Sequence[Frame], settings: StrobeSettings) -> StrobedFrame:
    """Three frames through `Strobe`; one pair comes out."""
    machine = Strobe(settings)
    found = [strobed for strobed in map(machine.add, frames) if strobed is not None]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} pairs of three frames: {machine.unpaired}")
    return found[0]


def bound(taken: Taken) -> Counts:
    """The lit frame minus the true mean of the ambient light."""
    return np.asarray(np.clip(np.rint(taken.frames[1].pixels - taken.ambient_counts), 0, 65535), np.uint16)


class Network:
    """The probe: features of a frozen backbone and logistic regression, trained once."""

    def __init__(self, specimens: Sequence[Specimen], size_px: int) -> None:
        self._frozen = FrozenFeatures(LITE0, "auto")
        images = [RawImage(plain_shot(specimen), 65535, white_stated=True) for specimen in specimens]
        plan = FLPlan(canvas=Canvas(size_px=size_px))
        white = float(white_of_signals(fl_signal(plan, image)[0] for image in images[:200]))
        normalisation = plan.normalisation.model_copy(update={"white": white})
        self.plan = plan.model_copy(update={"normalisation": normalisation})
        features = self._features([image.pixels for image in images])
        y = np.array([[specimen.tumor] for specimen in specimens], float)
        patients = np.array([str(specimen.patient) for specimen in specimens], object)
        network = SpecimenNet(Modality.FL, self._frozen.backbones(Modality.FL))
        fitted, self.inverse_l2 = fit_probe(network, features, y, patients, ProbeSettings())
        self._weight = fitted.head.weight.detach().numpy()[0].astype(float)

    def scores(self, images: Sequence[Counts]) -> NDArray[np.float64]:
        """Logits without the bias, (N,)."""
        return np.asarray(self._features(images).astype(float) @ self._weight)

    def _features(self, images: Sequence[Counts]) -> NDArray[np.float32]:
        rows = []
        for pixels in images:
            made = prepare(SpecimenImages("bench", RawImage(pixels, 65535, white_stated=True)), fl_plan=self.plan)
            if made.fl is None:
                raise RuntimeError("no fluorescence image was prepared")
            rows.append(made.fl.image[None])
        stack = torch.from_numpy(np.stack(rows))
        present = {"fl": np.ones(len(rows), bool)}
        return self._frozen.of(PreparedImages({"fl": stack}, present, {"fl": self.plan}), Modality.FL)


def choose(network: Network, specimens: Sequence[Specimen], unit: float) -> tuple[StrobeSettings, dict[str, float]]:
    """The settings with the highest mean AUC over the levels, on tuning patients; ties within 0.001: the first."""
    y = np.array([specimen.tumor for specimen in specimens])
    taken = {level: [take(specimen, level * unit) for specimen in specimens] for level in LEVELS}
    found = {}
    for register, neighbours in product((True, False), (2, 1)):
        settings = StrobeSettings(neighbours=neighbours, register_dark=register)
        values = [
            float(auc(y, network.scores([strobe(each.frames, settings).frame.pixels for each in taken[level]])))
            for level in LEVELS
        ]
        name = f"neighbours {neighbours}, register {register}"
        found[name] = (float(np.mean(values)), settings)
        print(name, [round(value, 4) for value in values], flush=True)
    best = max(round(value, 3) for value, _ in found.values())
    chosen = next(settings for value, settings in found.values() if round(value, 3) >= best - 0.001)
    return chosen, {name: round(value, 4) for name, (value, _) in found.items()}


def measure(
    network: Network, specimens: Sequence[Specimen], patients: Sequence[str], level: float, settings: StrobeSettings
) -> dict[str, object]:
    """AUCs of the three kinds of frames at one level (uptake units), and what the strobing said of itself."""
    plain, strobed, raw, best, notes = [], [], [], [], []
    for specimen in specimens:
        taken = take(specimen, level)
        result = strobe(taken.frames, settings)
        plain.append(taken.frames[1].pixels)
        strobed.append(result.frame.pixels)
        raw.append(strobe(taken.raw, settings).frame.pixels)
        best.append(bound(taken))
        saturated = float(np.mean(taken.raw[1].pixels >= 65535))
        notes.append((result.noise_counts, result.noise_ratio, bool(result.unregistered), saturated))
    y = np.array([specimen.tumor for specimen in specimens])
    kinds = {"plain": plain, "strobed": strobed, "strobed_uncalibrated": raw, "shot_noise_bound": best}
    logits = {name: network.scores(images) for name, images in kinds.items()}
    noise, ratio, unregistered, saturated_share = np.array(notes, float).T
    low, high = interval(y, logits["shot_noise_bound"], logits["strobed"], patients)
    return {
        **{f"auc_{name}": round(float(auc(y, values)), 4) for name, values in logits.items()},
        "bound_minus_strobed_interval": [round(low, 4), round(high, 4)],
        "noise_counts": round(float(np.median(noise)), 1),
        "noise_ratio": round(float(np.median(ratio)), 3),
        "unregistered_share": round(float(unregistered.mean()), 3),
        "saturated_share": round(float(saturated_share.mean()), 5),
    }


def interval(
    y: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], patients: Sequence[str], n: int = 500
) -> tuple[float, float]:
    """95 % percentile interval of AUC(a) - AUC(b) over patients drawn with replacement."""
    rng, groups = np.random.default_rng(0), np.asarray(patients)
    rows = {patient: np.flatnonzero(groups == patient) for patient in np.unique(groups)}
    differences = []
    for _ in range(n):
        drawn = np.concatenate([rows[patient] for patient in rng.choice(list(rows), len(rows))])
        if 0 < y[drawn].sum() < len(drawn):
            differences.append(float(auc(y[drawn], a[drawn]) - auc(y[drawn], b[drawn])))
    low, high = np.percentile(differences, (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument(
        "--specimens", type=int, default=800, help="for training; tuning and test follow in proportion"
    )
    arguments.add_argument("--size", type=int, default=128, help="side of the network's input in px")
    options = arguments.parse_args()
    cv2.setNumThreads(2)
    started = time.perf_counter()
    drawn = list(draw_specimens(options.specimens, TRAIN_SEED))
    tuning_patients = set(np.random.default_rng(TRAIN_SEED).permutation(23)[:6].tolist())
    training = [specimen for specimen in drawn if specimen.patient not in tuning_patients]
    tuning = [specimen for specimen in drawn if specimen.patient in tuning_patients]
    unit = float(np.median([specimen.signal for specimen in training]))
    network = Network(training, options.size)
    print(f"trained on {len(training)} specimens, C {network.inverse_l2}, unit {unit:.2f}", flush=True)
    settings, tuned = choose(network, tuning, unit)
    test, patients = [], []
    for seed in REPORT_SEEDS:
        for specimen in draw_specimens(options.specimens // 2, seed):
            test.append(specimen)
            patients.append(f"{seed}-{specimen.patient}")
    y = np.array([specimen.tumor for specimen in test])
    usual = network.scores([plain_shot(specimen) for specimen in test])
    estimate = auc_ci(y, usual)
    levels = {}
    for level in LEVELS:
        levels[f"{level:g}"] = measure(network, test, patients, level * unit, settings)
        print(level, levels[f"{level:g}"], f"{time.perf_counter() - started:.0f} s", flush=True)
    worst = max(float(each["auc_shot_noise_bound"]) - float(each["auc_strobed"]) for each in levels.values())
    result = {
        "data": "simulated",
        "n_train": len(training),
        "n_tune": len(tuning),
        "n_test": len(test),
        "n_test_patients": len(set(patients)),
        "auc_usual_light": round(float(estimate.value), 4),
        "auc_standard_error": round((estimate.high - estimate.low) / 2 / 1.96, 4),
        "levels": levels,
        "largest_bound_minus_strobed": round(worst, 4),
        "settings": settings.model_dump(),
        "auc_mean_when_tuned": tuned,
        "signal_unit_uptake": round(unit, 3),
        "seconds": round(time.perf_counter() - started),
        "ok": worst <= MARGIN,
    }
    finish("bench-ambient", result, record=options.record)


if __name__ == "__main__":
    main()
