"""Frame sources for simulated cameras: one plate seen by an FL and a WL camera, fast enough for live streams.

The plate is painted and scattered once; a frame is that plate seen from where the unit stands, turned into electrons,
with noise. The physics is that of `_cameras`, to which exposure, irradiance, gain, distance and room light are added.

Noise is normal (shot noise of hundreds of electrons is so to a few parts in a hundred) and comes from two banks, each
seen through a window at a new random place for every frame: none repeats, and none costs new random numbers. All of it
is SIMULATED.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from glioscope.core import CameraInfo, Exposure, InputError

from ._cameras import Window, draw_pattern, vignette
from ._live_plate import Ambient, LiveScene, Plate, lay_plate, plate_mapping, seen_labels
from ._settings import SimSettings

_FL_MM_PER_PX, _WL_MM_PER_PX = 0.1, 0.08
_FOCUS_MM = 300.0
_FL_DEFOCUS, _WL_DEFOCUS = 1.2, 0.8
"""Radius in px of the disc that a point becomes, for each mm out of focus; benchmarks/faults.py says where from."""
_WL_SIZE = (720, 1280)
_WL_EXPOSURE_MS = 20.0
"""Exposure at which the colour camera is lit as in `_cameras`."""
_FL_EXPOSURE_MS, _FL_IRRADIANCE = 100.0, 50.0
"""Exposure and irradiance at which `photons_per_unit` is stated."""
_BANK = 256
_WL_STEP_MM, _WL_STEP_DEG = 0.1, 0.02
"""The WL picture is turned and scaled anew after such a change: 0.2 px at the rim."""
_FIXED = 128
_MARGIN = 8.0
"""Stabilised WL values are stored as 1/128, and noise that far below them stays positive."""

_F32 = npt.NDArray[np.float32]


class FLSource:
    """What the InGaAs camera sees: uint16 (512, 640). `core.FrameSource`; `render` is for one thread."""

    def __init__(self, scene: LiveScene, settings: SimSettings, ambient: Ambient, rng: np.random.Generator) -> None:
        camera, shape = settings.infrared, (settings.infrared.rows, settings.infrared.columns)
        self.scene, self.ambient = scene, ambient
        self._camera, self._plate_emission = camera, settings.optics.plate_emission
        self._lens_blur = settings.optics.lens_blur_px
        self._rng = rng
        pattern = draw_pattern(shape, settings, rng)
        window = Window(0, 0, shape, _FL_MM_PER_PX, shape)
        self._transmission = np.asarray(vignette(window, settings.optics.vignetting) * pattern.column_gain)
        self._ambient_shape = _tilted(self._transmission, ambient.gradient)
        self._hot = np.flatnonzero(pattern.hot_adu)
        # A hot pixel is one with a large dark current, so that it grows with the exposure.
        self._hot_rate = pattern.hot_adu.flat[self._hot] * np.float32(camera.electrons_per_adu / camera.exposure_ms)
        banks = rng.standard_normal((2, shape[0] + _BANK, shape[1] + _BANK), dtype=np.float32)
        self._banks = banks * np.float32(np.sqrt(0.5))
        self._signal, self._electrons, self._spread, self._noise = (np.empty(shape, np.float32) for _ in range(4))
        self._seen: tuple[Plate, float, float] | None = None

    @property
    def info(self) -> CameraInfo:
        """A cooled InGaAs camera."""
        camera = self._camera
        return CameraInfo(
            "simulated InGaAs", "SIM-FL", camera.rows, camera.columns, False, 2**camera.bits - 1, (0.1, 1000.0), (1, 4)
        )

    def mm_per_px(self, distance_mm: float) -> float:
        """Size of a pixel at the tissue: 0.1 mm at 300 mm."""
        return _FL_MM_PER_PX * distance_mm / _FOCUS_MM

    def truth(self, distance_mm: float = _FOCUS_MM, rotation_deg: float = 0.0) -> npt.NDArray[np.uint16]:
        """Labels of the plate as this camera sees them, (512, 640)."""
        shape = (self._camera.rows, self._camera.columns)
        return seen_labels(self.scene.plate, self.mm_per_px(distance_mm), rotation_deg, shape)

    def prepare(self, exposure: Exposure) -> None:
        """The plate as the unit stands at this exposure."""
        _check(exposure)
        self._see(exposure)

    def render(self, exposure: Exposure) -> npt.NDArray[np.uint16]:
        """Counts of one exposure, uint16 (512, 640). Raises InputError for an exposure that cannot be."""
        _check(exposure)
        camera, electrons, spread, noise = self._camera, self._electrons, self._spread, self._noise
        self._see(exposure)
        full = camera.photons_per_unit * camera.quantum_efficiency * exposure.exposure_ms / _FL_EXPOSURE_MS
        excited = full * exposure.irradiance_mw_cm2 / _FL_IRRADIANCE
        room = full * self.ambient.mean(exposure.end_s, exposure.exposure_ms)
        dark = camera.dark_current * exposure.exposure_ms / 1000
        cv2.addWeighted(self._signal, excited, self._ambient_shape, room, dark, dst=electrons)
        electrons.reshape(-1)[self._hot] += self._hot_rate * np.float32(exposure.exposure_ms)
        cv2.sqrt(np.add(electrons, np.float32(camera.read_noise**2), out=spread), dst=spread)
        first, second = (_window(bank, electrons.shape, self._rng) for bank in self._banks)
        cv2.multiply(cv2.add(first, second, dst=noise), spread, dst=noise)
        per_electron = exposure.gain / camera.electrons_per_adu
        counts = cv2.addWeighted(electrons, per_electron, noise, per_electron, camera.offset_adu, dtype=cv2.CV_16U)
        if camera.bits < 16:
            np.minimum(counts, 2**camera.bits - 1, out=counts)
        return np.asarray(counts, np.uint16)

    def _see(self, exposure: Exposure) -> None:
        pose = (self.scene.plate, exposure.distance_mm, exposure.rotation_deg)
        if self._seen is not None and self._seen[0] is pose[0] and self._seen[1:] == pose[1:]:
            return
        mapping = plate_mapping(
            self.mm_per_px(exposure.distance_mm), exposure.rotation_deg, self._signal.shape, pose[0].mm_per_px
        )
        size = self._signal.shape[::-1]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(pose[0].emission, mapping, size, dst=self._signal, flags=flags, borderValue=self._plate_emission)
        # A disc of radius r spreads a point as far as a normal of r / 2 does.
        blur = np.hypot(self._lens_blur, _FL_DEFOCUS * abs(exposure.distance_mm - _FOCUS_MM) / 2)
        cv2.GaussianBlur(self._signal, (0, 0), float(blur), dst=self._signal)
        cv2.multiply(self._signal, self._transmission, dst=self._signal)
        self._seen = pose


class WLSource:
    """What the colour camera sees: uint8 RGB (720, 1280, 3), sRGB. `core.FrameSource`; `render` is for one thread.

    The laser does not show: its filter cuts 808 nm. Noise is added to 2 sqrt(electrons + read noise squared), where
    its size is 1 whatever the signal (Anscombe 1948), so that one addition does for a frame.
    """

    def __init__(self, scene: LiveScene, settings: SimSettings, rng: np.random.Generator) -> None:
        self.scene, self._settings, self._rng = scene, settings, rng
        shape = (*_WL_SIZE, 3)
        window = Window(0, 0, _WL_SIZE, _WL_MM_PER_PX, _WL_SIZE)
        falloff = np.sqrt(vignette(window, 0.5 * settings.optics.vignetting))
        self._falloff = np.asarray(np.rint(np.repeat(falloff[..., None], 3, axis=2) * 65535), np.uint16)
        self._floor = 2 * np.sqrt(settings.colour_camera.read_noise**2)
        banks = rng.standard_normal((2, shape[0] + _BANK, shape[1] + _BANK, 3), dtype=np.float32)
        level = _FIXED * (self._floor + _MARGIN) / 2
        self._banks = np.asarray(np.rint(banks * (_FIXED * np.sqrt(0.5)) + level), np.uint16)
        self._seen: tuple[Plate, int, int] | None = None
        self._taken: tuple[float, float] | None = None
        self._roots: npt.NDArray[np.uint8] = np.empty(shape, np.uint8)
        self._clean, self._noisy = (np.empty(shape, np.uint16) for _ in range(2))
        self._coded = np.empty(shape, np.uint8)
        self._laid: tuple[Plate, npt.NDArray[np.uint8]] | None = None

    @property
    def info(self) -> CameraInfo:
        """A colour camera behind a filter that cuts the laser."""
        return CameraInfo("simulated colour", "SIM-WL", *_WL_SIZE, True, 255, (0.1, 100.0), (1, 8))

    def mm_per_px(self, distance_mm: float) -> float:
        """Size of a pixel at the tissue: 0.08 mm at 300 mm."""
        return _WL_MM_PER_PX * distance_mm / _FOCUS_MM

    def truth(self, distance_mm: float = _FOCUS_MM, rotation_deg: float = 0.0) -> npt.NDArray[np.uint16]:
        """Labels of the plate as this camera sees them, (720, 1280)."""
        return seen_labels(self.scene.plate, self.mm_per_px(distance_mm), rotation_deg, _WL_SIZE)

    def prepare(self, exposure: Exposure) -> None:
        """Nothing: `render` may be called before the exposure ends, for the laser does not show."""

    def render(self, exposure: Exposure) -> npt.NDArray[np.uint8]:
        """Picture of one exposure, uint8 sRGB (720, 1280, 3). Raises InputError for an exposure that cannot be."""
        _check(exposure)
        camera = self._settings.colour_camera
        self._see(exposure)
        first, second = (_window(bank, self._clean.shape, self._rng) for bank in self._banks)
        cv2.add(self._clean, first, dst=self._noisy)
        cv2.add(self._noisy, second, dst=self._noisy)
        full = camera.full_scale_electrons / exposure.gain
        top = 2 * np.sqrt(full + camera.read_noise**2)
        step = 255 / top
        cv2.convertScaleAbs(self._noisy, dst=self._coded, alpha=step / _FIXED, beta=-_MARGIN * step)
        electrons = (np.arange(256) / step) ** 2 / 4 - camera.read_noise**2 - 0.25
        linear = np.clip(electrons / full, 0, 1)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return np.asarray(cv2.LUT(self._coded, np.asarray(np.rint(255 * encoded), np.uint8)), np.uint8)

    def _see(self, exposure: Exposure) -> None:
        plate = self.scene.plate
        pose = (plate, round(exposure.distance_mm / _WL_STEP_MM), round(exposure.rotation_deg / _WL_STEP_DEG))
        taken = (exposure.exposure_ms, exposure.gain)
        moved = self._seen is None or self._seen[0] is not plate or self._seen[1:] != pose[1:]
        if moved:
            self._look(plate, pose[1] * _WL_STEP_MM, pose[2] * _WL_STEP_DEG)
        if moved or taken != self._taken:
            camera = self._settings.colour_camera
            electrons = camera.full_scale_electrons * camera.exposure * exposure.exposure_ms / _WL_EXPOSURE_MS
            reflected = np.minimum((np.arange(256) / 255) ** 2 * electrons, 5 * camera.full_scale_electrons)
            root = 2 * np.sqrt(reflected + camera.read_noise**2) - self._floor
            cv2.LUT(self._roots, np.asarray(np.rint(root * _FIXED), np.uint16), dst=self._clean)
            cv2.multiply(self._clean, self._falloff, dst=self._clean, scale=1 / 65535)
        self._seen, self._taken = pose, taken

    def _look(self, plate: Plate, distance_mm: float, rotation_deg: float) -> None:
        """The plate as it falls on the sensor: the root of its reflectance in 1/255."""
        if self._laid is None or self._laid[0] is not plate:
            sharp = cv2.GaussianBlur(plate.reflectance, (0, 0), self._settings.colour_camera.blur_px)
            # Four channels, of which one is empty: turned twice as fast as three.
            roots = np.zeros((*plate.labels.shape, 4), np.uint8)
            roots[..., :3] = np.rint(255 * np.sqrt(np.clip(sharp, 0, 1)))
            self._laid = plate, roots
        mapping = plate_mapping(self.mm_per_px(distance_mm), rotation_deg, _WL_SIZE, plate.mm_per_px)
        beyond = [255 * float(np.sqrt(r)) for r in self._settings.colour.plate]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        turned = cv2.warpAffine(self._laid[1], mapping, _WL_SIZE[::-1], flags=flags, borderValue=beyond)
        cv2.cvtColor(turned, cv2.COLOR_RGBA2RGB, dst=self._roots)
        blur = _WL_DEFOCUS * abs(distance_mm - _FOCUS_MM) / 2
        if blur > 0.3:
            cv2.GaussianBlur(self._roots, (0, 0), float(blur), dst=self._roots)


def make_sources(
    seed: int, settings: SimSettings | None = None, *, n_specimens: int = 8, ambient: Ambient | None = None
) -> tuple[FLSource, WLSource]:
    """Sources of both cameras over one plate, on one axis: the FL and WL frames are concentric, and only scale differs.

    Truth is in `source.scene.plate` and, as the camera sees it, in `source.truth()`.
    """
    settings = settings or SimSettings()
    laying, fl, wl = np.random.default_rng(seed).spawn(3)
    scene = LiveScene(lay_plate(n_specimens, settings, laying))
    return FLSource(scene, settings, ambient or Ambient(), fl), WLSource(scene, settings, wl)


def _check(exposure: Exposure) -> None:
    above = (exposure.exposure_ms, exposure.gain, exposure.distance_mm)
    finite = np.isfinite([*above, exposure.irradiance_mw_cm2, exposure.end_s, exposure.rotation_deg]).all()
    if not (finite and min(above) > 0 and exposure.irradiance_mw_cm2 >= 0):
        raise InputError(f"no camera can take {exposure}: exposure, gain and distance must be above 0")


def _tilted(transmission: _F32, gradient: float) -> _F32:
    columns = transmission.shape[1]
    across = np.linspace(-1, 1, columns, dtype=np.float32)
    return np.asarray(transmission * (1 + np.float32(gradient) * across), np.float32)


def _window(bank: npt.NDArray[Any], shape: Sequence[int], rng: np.random.Generator) -> npt.NDArray[Any]:
    row, column = (int(n) for n in rng.integers(0, _BANK, 2))
    return bank[row : row + shape[0], column : column + shape[1]]
