"""A fluorescence target under the unit, photographed by both cameras, with faults of the unit that can be dialled."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from ..devices._phantom_target import PhantomTarget, Points, edge_corners, rectangle_corners
from ._cameras import CameraPattern, Scene, Window, draw_pattern, photograph_fl, photograph_wl, vignette
from ._settings import SimSettings
from ._target import FL_LENS, WL_LENS, Lens
from ._trays import plain_light

Image = npt.NDArray[np.float32]
UNITS_PER_NM = 0.03
"""Uptake units of 1 nM, assumed: 1000 nM fill two thirds of 16 bits at 100 ms."""
BODY_EMISSION = 0.02
_PX_PER_MM = 50
_STEP = 4
_OVERSAMPLING = 2
_BLUR_PER_MM = 0.15
"""Sigma of the blur in mm for each mm of scattering layer: assumed."""
_BODY, _FILLING, _FULL = 0.03, 0.72, 65535.0


@dataclass(frozen=True, slots=True)
class PhantomFaults:
    """What is wrong with the unit; the defaults are a unit as it should be.

    Attributes
    ----------
    blur_px : sigma of a smear on the FL lens. wl_blur_px : of one on the WL lens.
    uneven : loss of excitation from the middle to the right edge of the frame (gain to the left), as a share.
    dead_pixels, hot_pixels : more of each, over the full FL frame.
    leak : light from elsewhere on the whole FL frame, in uptake units.
    laser : power, as a factor.
    moved_px : how far the white-light camera has moved, in its pixels.
    compression : share of the counts that is missing at full scale; the loss grows with the square of the counts.
    clipped_at : counts over this are lost.
    noise : factor on the camera's read noise.
    """

    blur_px: float = 0.0
    wl_blur_px: float = 0.0
    uneven: float = 0.0
    dead_pixels: int = 0
    hot_pixels: int = 0
    leak: float = 0.0
    laser: float = 1.0
    moved_px: float = 0.0
    compression: float = 0.0
    clipped_at: int = 65535
    noise: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class PhantomTruth:
    """What a perfect check would find.

    Attributes
    ----------
    slope : counts/nM/ms at the middle of the target.
    illumination : float32 (H, W), FL frame: excitation and lens, 1 at the middle of the target.
    bad : bool (H, W): hot and dead pixels of the FL camera.
    dark_counts : mean count where nothing shines, ambient light and leak not included.
    mtf50_lp_mm : of lens and pixel as they are drawn.
    depth_1e_mm : depth at which a layer lets 1/e through.
    """

    slope: float
    illumination: Image
    bad: npt.NDArray[np.bool_]
    dark_counts: float
    mtf50_lp_mm: float
    depth_1e_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class PhantomPair:
    """Both pictures, a dark frame, the lenses and the truth. SIMULATED."""

    fl: npt.NDArray[np.uint16]
    wl: npt.NDArray[np.uint8]
    dark: npt.NDArray[np.uint16]
    fl_lens: Lens
    wl_lens: Lens
    exposure_ms: float
    truth: PhantomTruth


def render_phantom(
    target: PhantomTarget,
    rng: np.random.Generator,
    *,
    faults: PhantomFaults | None = None,
    exposure_ms: float = 100.0,
    shift_mm: tuple[float, float] = (0.0, 0.0),
    turned_deg: float = 0.0,
    fl_lens: Lens = FL_LENS,
    wl_lens: Lens = WL_LENS,
    unit: int = 0,
    settings: SimSettings | None = None,
) -> PhantomPair:
    """Photograph a target that lies on the plate.

    Cavities have opaque walls, so light does not spread within the target but under the scattering layers.

    Parameters
    ----------
    target : what lies there.
    rng : noise of these pictures, and places of the faults' pixels.
    shift_mm, turned_deg : the target's middle from the middle of the plate, and its turn.
    unit : which camera: two pictures of one unit have the same hot pixels and column gains.
    """
    faults, settings = faults or PhantomFaults(), settings or SimSettings()
    settings = _camera_settings(settings, exposure_ms, faults, fl_lens)
    if faults.moved_px:
        off = wl_lens.centre_off_px
        wl_lens = replace(wl_lens, centre_off_px=(off[0] + faults.moved_px, off[1]))
    emission, filled = _painted(target, settings.optics.depth_mm)
    in_fl = _seen(emission, target, fl_lens, shift_mm, turned_deg)
    in_wl = _seen(filled, target, wl_lens, shift_mm, turned_deg)
    fl_rng, wl_rng, dark_rng, place_rng = rng.spawn(4)
    width, height = fl_lens.size
    pattern = draw_pattern((height, width), settings, np.random.default_rng([77, unit]))
    pattern, dead = _spoiled(pattern, faults, place_rng)
    spread = 1 - faults.uneven * np.linspace(-1, 1, width, dtype=np.float32)
    emission_fl = np.where(np.isnan(in_fl), settings.optics.plate_emission, in_fl) * (faults.laser * spread)
    fl = _fl_counts(
        np.asarray(emission_fl, np.float32), settings.optics.ambient + faults.leak, pattern, settings, fl_rng
    )
    dark = _fl_counts(np.zeros((height, width), np.float32), 0.0, pattern, settings, dark_rng)
    fl, dark = (_read_out(each, dead, faults, settings) for each in (fl, dark))
    wl = _wl_picture(in_wl, wl_lens, settings, faults, wl_rng)
    truth = _truth(settings, fl_lens, shift_mm, spread, pattern, dead, faults)
    return PhantomPair(fl, wl, dark, fl_lens, wl_lens, exposure_ms, truth)


def _camera_settings(settings: SimSettings, exposure_ms: float, faults: PhantomFaults, lens: Lens) -> SimSettings:
    noise = faults.noise * settings.infrared.read_noise
    infrared = settings.infrared.model_copy(update={"exposure_ms": exposure_ms, "read_noise": noise})
    blur = float(np.hypot(lens.blur_px, faults.blur_px))
    optics = settings.optics.model_copy(update={"lens_blur_px": blur, "far_share": 0.0, "near_blur_mm": 0.001})
    return settings.model_copy(update={"infrared": infrared, "optics": optics})


@lru_cache(maxsize=4)
def _painted(target: PhantomTarget, depth_1e_mm: float) -> tuple[Image, Image]:
    """The plate at 0.02 mm/px: emission in uptake units, and the share of each place that is a filled cavity."""
    width, height = (round(side * _PX_PER_MM) for side in target.size_mm)
    emission = np.full((height, width), BODY_EMISSION, np.float32)
    filled = np.zeros((height, width), np.float32)
    level = np.float32(target.field_concentration_nm * UNITS_PER_NM)
    for outline in [*map(rectangle_corners, target.fields), edge_corners(target.edge)]:
        cover = _polygon(outline, target, (height, width))
        emission += cover * (level - emission)
        filled = np.maximum(filled, cover)
    radius = target.fiducials.diameter_mm / 2
    for place in target.fiducials.places_mm:
        cover = _disc(place, radius, target, (height, width))
        emission += cover * (level - emission)
        filled = np.maximum(filled, cover)
    for well in (*target.wells, *target.depths):
        cover = _disc(well.centre_mm, well.diameter_mm / 2, target, (height, width))
        depth = getattr(well, "depth_mm", 0.0)
        light = cover * np.float32(UNITS_PER_NM * well.concentration_nm * np.exp(-depth / depth_1e_mm))
        if depth:
            # The layer lies on the cavity, so the walls do not stop what it spreads.
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), _BLUR_PER_MM * depth * _PX_PER_MM), np.float32)
        emission += light
        filled = np.maximum(filled, cover)
    return emission, filled


def _polygon(outline: Points, target: PhantomTarget, shape: tuple[int, int]) -> Image:
    """Share of each place inside of a convex outline that runs clockwise as seen (y down)."""
    return _cover(lambda x, y: _inside_polygon(outline, x, y), outline, target, shape)


def _inside_polygon(outline: Points, x: Points, y: Points) -> Points:
    sides = zip(outline, np.roll(outline, -1, axis=0), strict=True)
    distances = []
    for (x0, y0), (x1, y1) in sides:
        length = np.hypot(x1 - x0, y1 - y0)
        distances.append(((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length)
    return np.asarray(np.minimum.reduce(distances))


def _disc(place: tuple[float, float], radius: float, target: PhantomTarget, shape: tuple[int, int]) -> Image:
    corners = np.array([[-radius, -radius], [radius, radius]]) + place
    return _cover(lambda x, y: radius - np.hypot(x - place[0], y - place[1]), corners, target, shape)


def _cover(
    inside_mm: Callable[[Points, Points], Points], corners: Points, target: PhantomTarget, shape: tuple[int, int]
) -> Image:
    """Share of each place that is covered, from the signed distance to the rim in mm."""
    cover = np.zeros(shape, np.float32)
    half = np.asarray(target.size_mm) / 2
    left, top = np.maximum(np.floor((corners.min(axis=0) + half) * _PX_PER_MM).astype(int) - 2, 0)
    right, bottom = np.ceil((corners.max(axis=0) + half) * _PX_PER_MM).astype(int) + 2
    y, x = np.mgrid[top : min(bottom, shape[0]), left : min(right, shape[1])].astype(np.float64) + 0.5
    part = np.clip(inside_mm(x / _PX_PER_MM - half[0], y / _PX_PER_MM - half[1]) * _PX_PER_MM + 0.5, 0, 1)
    cover[top : min(bottom, shape[0]), left : min(right, shape[1])] = part
    return cover


def _seen(plate: Image, target: PhantomTarget, lens: Lens, shift_mm: tuple[float, float], turned_deg: float) -> Image:
    """The plate as it falls on the sensor before blur, NaN beside it; each pixel is an average over its area."""
    width, height = lens.size
    # Exact on a coarse grid, linear between: the lenses bend so gently that 4 px make an error of under 0.001 px.
    y, x = np.mgrid[-1 : height // _STEP + 1, -1 : width // _STEP + 1].astype(np.float64) * _STEP + (_STEP - 1) / 2
    angle = np.deg2rad(turned_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    mm = (lens.to_plate(np.stack([x.ravel(), y.ravel()], axis=1)) - shift_mm) @ turn.T
    coarse = ((mm + np.asarray(target.size_mm) / 2) * _PX_PER_MM - 0.5).astype(np.float32).reshape(*x.shape, 2)
    n = _STEP * _OVERSAMPLING
    places = cv2.resize(coarse, None, fx=n, fy=n, interpolation=cv2.INTER_LINEAR)[n:-n, n:-n]
    seen = cv2.remap(
        *(plate, places[..., 0], places[..., 1], cv2.INTER_LINEAR),
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.nan,
    )
    return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _spoiled(
    pattern: CameraPattern, faults: PhantomFaults, rng: np.random.Generator
) -> tuple[CameraPattern, npt.NDArray[np.bool_]]:
    """The sensor with more hot pixels, and where its dead ones are."""
    hot, dead = pattern.hot_adu.copy(), np.zeros(pattern.hot_adu.shape, np.bool_)
    places = rng.choice(hot.size, faults.hot_pixels + faults.dead_pixels, replace=False)
    hot.flat[places[: faults.hot_pixels]] = rng.uniform(3000, 30000, faults.hot_pixels)
    dead.flat[places[faults.hot_pixels :]] = True
    return CameraPattern(pattern.column_gain, hot), dead


def _fl_counts(
    emission: Image, ambient: float, pattern: CameraPattern, settings: SimSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    shape = emission.shape[0], emission.shape[1]
    scene = Scene(emission, np.empty((0, 0, 3), np.float32), emission)
    light = replace(plain_light(), ambient=ambient)
    return photograph_fl(scene, Window(0, 0, shape, 0.1, shape), light, pattern, settings, rng)


def _read_out(
    counts: npt.NDArray[np.uint16], dead: npt.NDArray[np.bool_], faults: PhantomFaults, settings: SimSettings
) -> npt.NDArray[np.uint16]:
    signal = counts - np.float32(settings.infrared.offset_adu)
    bent = signal * (1 - faults.compression * np.clip(signal, 0, None) / _FULL) + settings.infrared.offset_adu
    bent[dead] = 0
    return np.asarray(np.clip(np.rint(bent), 0, faults.clipped_at), np.uint16)


def _wl_picture(
    filled: Image, lens: Lens, settings: SimSettings, faults: PhantomFaults, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    plate = np.asarray(settings.colour.plate, np.float32)
    # Resin with titanium dioxide is a warm white; the body is black.
    colour = _BODY + (np.array([1.0, 0.97, 0.88], np.float32) * _FILLING - _BODY) * np.nan_to_num(filled)[..., None]
    reflectance = np.where(np.isnan(filled)[..., None], plate, colour).astype(np.float32)
    blur = {"blur_px": float(np.hypot(lens.blur_px, faults.wl_blur_px))}
    sharp = settings.model_copy(update={"colour_camera": settings.colour_camera.model_copy(update=blur)})
    shape = filled.shape[0], filled.shape[1]
    scene = Scene(reflectance[..., 0], reflectance, reflectance[..., 0])
    return photograph_wl(scene, Window(0, 0, shape, 0.1, shape), plain_light(), sharp, rng)


def _truth(
    settings: SimSettings,
    lens: Lens,
    shift_mm: tuple[float, float],
    spread: Image,
    pattern: CameraPattern,
    dead: npt.NDArray[np.bool_],
    faults: PhantomFaults,
) -> PhantomTruth:
    camera, shape = settings.infrared, dead.shape
    light = spread * vignette(Window(0, 0, (shape[0], shape[1]), 0.1, (shape[0], shape[1])), settings.optics.vignetting)
    column, row = (round(float(v)) for v in lens.to_px(np.array([shift_mm]))[0])
    middle = float(light[row, column])
    per_unit = camera.photons_per_unit * camera.quantum_efficiency / camera.electrons_per_adu / 100.0
    mm_per_px = lens.distance_mm / lens.focal_px
    dark = camera.offset_adu + camera.dark_current * camera.exposure_ms / 1000 / camera.electrons_per_adu
    return PhantomTruth(
        slope=faults.laser * per_unit * UNITS_PER_NM * middle,
        illumination=np.asarray(light / middle, np.float32),
        bad=dead | (pattern.hot_adu > 0),
        dark_counts=dark,
        mtf50_lp_mm=_mtf50(settings.optics.lens_blur_px) / mm_per_px,
        depth_1e_mm=settings.optics.depth_mm,
    )


def _mtf50(sigma_px: float) -> float:
    """Cycles per px at which lens and pixel together halve the contrast, as they are drawn here.

    The lens is a Gaussian on whole pixels, the pixel the mean of two samples an axis.
    """
    frequency = np.linspace(1e-4, 0.5, 20_000)
    kernel = cv2.getGaussianKernel(2 * int(np.ceil(5 * sigma_px)) + 1, sigma_px).ravel()
    places = np.arange(len(kernel)) - len(kernel) // 2
    mtf = (kernel * np.cos(2 * np.pi * frequency[:, None] * places)).sum(axis=1) * np.cos(np.pi * frequency / 2)
    return float(frequency[int(np.argmax(mtf < 0.5))])
