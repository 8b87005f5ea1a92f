"""The faults that the quality gate has to see, each in three severities.

Written down before the gate was tuned, and not changed since. Severity 1 (mild) barely harms: a gate may let it pass.
Severity 2 (middle) changes the answer, or a surgeon would refuse the picture: the gate has to see it. Severity 3 is
plain. For wrong modality and wrong bit range, which are there or not, the severity says how plain the mistake is.

Simulated specimens are photographed again under the fault, so that light, lens and noise act in their order
(`Taking`, `photograph`). Real images (`brain16`, 16 bits; `tcell`, 8 bits) are changed pixel by pixel, and the noise
that blurring or dimming takes away is put back (`spoil`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.sim import Appearance, SimSettings, draw_appearance, draw_design, draw_tissue
from glioscope.sim._cameras import CameraPattern, Window, compose, draw_pattern, photograph_fl, photograph_wl
from glioscope.sim._render import paint
from glioscope.sim._write import appearances_of

Counts = NDArray[np.uint16]
Colours = NDArray[np.uint8]
Float = NDArray[np.float32]
SEVERITIES = ("mild", "middle", "strong")


@dataclass(frozen=True, slots=True)
class Taking:
    """How a pair is photographed; the defaults are clean.

    `fl_exposure`, `wl_light`: factors. `fl_saturated`: share of the specimen that is to reach full scale, by a longer
    exposure. `ambient`: background light in uptake units; None: what the specimen's own draw says (median 0.15). The
    `_defocus_px` are radii of the disc that a point becomes. `moved_px`: shift of the white-light frame against the
    fluorescence frame. `size`: factor on the specimen's radius, 0 for an empty plate. `capped`: no light at all.
    """

    fl_exposure: float = 1.0
    fl_saturated: float = 0.0
    ambient: float | None = None
    fl_defocus_px: float = 0.0
    wl_defocus_px: float = 0.0
    wl_light: float = 1.0
    moved_px: float = 0.0
    size: float = 1.0
    capped: bool = False


CLEAN = Taking()
TAKINGS: dict[str, tuple[Taking, Taking, Taking]] = {
    # Share of the specimen at full scale: a few glints; a visible flat patch where texture and intensity are lost; a
    # quarter of the specimen.
    "fl_saturated": (Taking(fl_saturated=0.005), Taking(fl_saturated=0.05), Taking(fl_saturated=0.25)),
    # Tumour emits 3 to 5 times what other tissue does: half the exposure is within the spread between patients, a
    # quarter makes most tumours look like normal tissue, a fiftieth drowns in the noise of reading.
    "fl_underexposed": (Taking(fl_exposure=0.5), Taking(fl_exposure=0.25), Taking(fl_exposure=0.02)),
    # A crumb a quarter of the usual area; an empty plate; the cap on both lenses.
    "fl_blank": (Taking(size=0.5), Taking(size=0.0), Taking(capped=True)),
    # 20 um pixels, magnification 0.2, aperture 36 mm, 300 mm away: 1.2 px of radius for each mm out of focus, so 2, 5
    # and 10 mm. At 6 px the grain (0.22 mm) is gone; scattering alone spreads a point over 1.5 px (sigma).
    "fl_defocused": (Taking(fl_defocus_px=2), Taking(fl_defocus_px=6), Taking(fl_defocus_px=12)),
    # The same distances at a smaller aperture. At 4 px the vessels and the mottle (0.13 mm) are gone.
    "wl_defocused": (Taking(wl_defocus_px=1.3), Taking(wl_defocus_px=4), Taking(wl_defocus_px=8)),
    # 0.2 mm: hardly seen; 0.8 mm: a tenth of the specimen, the outlines part; 2 mm: a quarter.
    "pair_moved": (Taking(moved_px=2), Taking(moved_px=8), Taking(moved_px=20)),
    # Uptake units; tissue without tumour emits about 0.8, tumour 3 to 6, usual background is 0.15 (0.05 to 0.7). At
    # 2.5 tissue without tumour stands out of the background by a third only; 10 outshines every tumour.
    "fl_ambient": (Taking(ambient=0.6), Taking(ambient=2.5), Taking(ambient=10.0)),
    # Lamp: a little bright; all tissue white; everything white.
    "wl_saturated": (Taking(wl_light=1.3), Taking(wl_light=3.0), Taking(wl_light=10.0)),
    # Lamp: a little dark; no detail without processing; off.
    "wl_dark": (Taking(wl_light=0.6), Taking(wl_light=0.12), Taking(wl_light=0.02)),
}
PIXEL_FAULTS = ("fl_wrong_modality", "wl_wrong_modality", "pair_swapped", "fl_wrong_bits")
FAMILIES = (*TAKINGS, *PIXEL_FAULTS)

REAL: dict[str, dict[str, tuple[float, float, float]]] = {
    # Share of the specimen at full scale as above. Light is a factor on counts above 600 (the camera's offset); ambient
    # is a share of the tissue's 6000 counts. Structure of 3 px: defocus as above. Blank: share of tissue in the cut, of
    # usually 25 to 85 %; below 0: no light, only offset and the noise of reading.
    "brain16": {
        "fl_saturated": (0.005, 0.05, 0.25),
        "fl_underexposed": (0.5, 0.25, 0.02),
        "fl_blank": (0.05, 0.0, -1.0),
        "fl_defocused": (2, 6, 12),
        "fl_ambient": (0.1, 0.5, 2.0),
        "fl_wrong_bits": (1, 2, 3),
    },
    # Cells of about 15 px. Its donors' own exposures differ six-fold, so a quarter is nothing unusual there: an eighth
    # leaves 5 bits. Blank: 10 % of the light above the darkest pixels left; none; all zero but one pixel. Ambient: grey
    # levels of 255.
    "tcell": {
        "fl_saturated": (0.005, 0.05, 0.25),
        "fl_underexposed": (0.5, 0.125, 0.03),
        "fl_blank": (0.1, 0.0, -1.0),
        "fl_defocused": (1, 3, 6),
        "fl_ambient": (10, 64, 128),
        "fl_wrong_bits": (1, 2, 3),
    },
}
BRAIN16_OFFSET = 600.0
BRAIN16_TISSUE = 6000.0
TCELL_NOISE = 0.2
"""Variance of the pixel noise per grey level, from diagonal Haar differences over a third of the images."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What is needed to photograph one simulated specimen, cleanly or under a fault. Same seed, same specimen."""

    appearance: Appearance
    window: Window
    corner: tuple[int, int]
    centre: tuple[float, float]
    pattern: CameraPattern
    settings: SimSettings
    seed: int


def draw_shots(n_patients: int, n_specimens: int, seed: int, *, full: bool) -> Iterator[Shot]:
    """Simulated specimens as `simulate` draws them: full frames of 640 x 512, or cut to 160 x 128, at 0.1 mm/px."""
    settings = SimSettings()
    rng = np.random.default_rng(seed)
    design = draw_design(n_patients, n_specimens, settings, rng)
    columns = draw_appearance(design, draw_tissue(design, settings, rng), settings, rng)
    frame, patch = (settings.infrared.rows, settings.infrared.columns), (128, 160)
    pattern = draw_pattern(frame, settings, rng)
    for appearance in appearances_of(columns):
        row, column = (int(rng.integers(0, frame[i] - patch[i] + 1)) for i in (0, 1))
        jitter = rng.uniform(-3.0, 3.0, 2)
        centre = (patch[0] / 2 + float(jitter[0]), patch[1] / 2 + float(jitter[1]))
        window = Window(0, 0, frame, 0.1, frame) if full else Window(row, column, patch, 0.1, frame)
        corner = (row, column) if full else (0, 0)
        yield Shot(appearance, window, corner, centre, pattern, settings, int(rng.integers(2**31)))


def simulated_pair(shot: Shot, family: str | None = None, severity: int = 2) -> tuple[Counts, Colours]:
    """The pair of a specimen, FL uint16 (H, W) and WL uint8 (H, W, 3), clean (`family` None) or under a fault."""
    if family is None:
        return photograph(shot, CLEAN)
    if family in TAKINGS:
        return photograph(shot, TAKINGS[family][severity - 1])
    fl, wl = photograph(shot, CLEAN)
    if family == "fl_wrong_bits":
        return wrong_bits(fl, severity), wl
    grey, coloured = grey_as_fl(fl, wl, severity), fl_as_colour(fl, severity)
    return grey if family != "wl_wrong_modality" else fl, coloured if family != "fl_wrong_modality" else wl


def photograph(shot: Shot, taking: Taking) -> tuple[Counts, Colours]:
    """Paint the specimen and photograph it with both cameras."""
    rng = np.random.default_rng(shot.seed)
    painting, plate, fl_noise, wl_noise, direction = rng.spawn(5)
    appearance = replace(shot.appearance, radius_mm=shot.appearance.radius_mm * max(taking.size, 0.01))
    if taking.ambient is not None:
        appearance = replace(appearance, ambient=taking.ambient)
    specimen = paint(appearance, (128, 160), shot.centre, shot.window.mm_per_px, shot.settings, painting)
    placed = [] if taking.size == 0 else [(specimen, shot.corner)]
    scene = compose(shot.window, placed, shot.settings, plate)
    moved = scene
    if taking.moved_px:
        turn = direction.uniform(0, 2 * math.pi)
        shift = (round(taking.moved_px * math.sin(turn)), round(taking.moved_px * math.cos(turn)))
        corner = (shot.corner[0] + shift[0], shot.corner[1] + shift[1])
        moved = compose(shot.window, [(specimen, corner)], shot.settings, plate)
    if taking.capped:
        appearance = replace(appearance, ambient=0.0, light=0.0)
        scene = moved = replace(scene, emission=np.zeros_like(scene.emission))
    sharp = scene
    scene = replace(sharp, emission=defocus(sharp.emission, taking.fl_defocus_px))
    settings = _exposed(shot.settings, taking.fl_exposure)
    if taking.fl_saturated:
        counts = photograph_fl(scene, shot.window, appearance, shot.pattern, settings, np.random.default_rng(0))
        settings = _exposed(settings, _factor_to_saturate(counts[scene.coverage > 0.5], taking.fl_saturated, settings))
    fl = photograph_fl(scene, shot.window, appearance, shot.pattern, settings, fl_noise)
    moved = replace(moved, reflectance=defocus(moved.reflectance, taking.wl_defocus_px))
    lit = replace(appearance, light=appearance.light * taking.wl_light)
    return fl, photograph_wl(moved, shot.window, lit, shot.settings, wl_noise)


def _exposed(settings: SimSettings, factor: float) -> SimSettings:
    camera = settings.infrared
    changed = camera.model_copy(update={"exposure_ms": camera.exposure_ms * factor})
    return settings.model_copy(update={"infrared": changed})


def _factor_to_saturate(counts: Counts, share: float, settings: SimSettings) -> float:
    offset, full = settings.infrared.offset_adu, 2.0**settings.infrared.bits - 1
    return float((full - offset) / max(np.quantile(counts, 1 - share) - offset, 1.0))


def defocus(image: Float, radius: float) -> Float:
    """Blur by a disc of this radius in px, its rim softened over one pixel; 0 leaves the image as it is."""
    if radius <= 0:
        return image
    return np.asarray(cv2.filter2D(image, -1, disc(radius), borderType=cv2.BORDER_REFLECT), np.float32)


def disc(radius: float) -> Float:
    """Point spread function of a lens out of focus: (2 r + 3, 2 r + 3) float32 of sum 1."""
    reach = math.ceil(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(inside / inside.sum(), np.float32)


def wrong_bits(fl: Counts, severity: int) -> Counts:
    """An FL image in a range that it does not have; 1 keeps the scale, so that answers hardly change.

    1: the low 4 bits lost, as of a 12-bit camera in the upper bits (8-bit images: 4 bits kept); 2: scaled to 8 bits
    (8-bit images: to 4) and stored as 16; 3: bytes swapped.
    """
    small = int(fl.max()) <= 255
    if severity == 1:
        return np.asarray(fl & (0xF0 if small else 0xFFF0), np.uint16)
    if severity == 2:
        return np.asarray(fl >> (4 if small else 8), np.uint16)
    return fl.byteswap()


def grey_as_fl(fl: Counts, wl: Colours, severity: int) -> Counts:
    """White light in the FL slot.

    1: linear, brought to the range of the FL image it replaces, as an export with auto-contrast would; 2: grey of 8
    bits scaled to 16; 3: grey of 8 bits as stored.
    """
    grey = cv2.cvtColor(wl, cv2.COLOR_RGB2GRAY)
    if severity == 3:
        return grey.astype(np.uint16)
    if severity == 2:
        return grey.astype(np.uint16) * np.uint16(257)
    linear = (grey / np.float32(255)) ** np.float32(2.2)
    (low, high), (dark, bright) = (np.percentile(image, (1, 99)) for image in (linear, fl))
    counts = dark + (linear - low) * (bright - dark) / max(high - low, 1e-6)
    return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)


def fl_as_colour(fl: Counts, severity: int) -> Colours:
    """Fluorescence in the WL slot. 1: in false colours; 2: grey with auto-contrast; 3: the upper 8 bits."""
    if severity == 3:
        return np.repeat((fl >> 8).astype(np.uint8)[..., None], 3, axis=2)
    low, high = np.percentile(fl, (1, 99.5))
    grey = np.clip((fl - low) * 255 / max(high - low, 1), 0, 255).astype(np.uint8)
    if severity == 2:
        return np.repeat(grey[..., None], 3, axis=2)
    return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1])


def spoil(data: str, image: Counts, family: str, severity: int, rng: np.random.Generator) -> Counts:
    """A real FL image under a fault of `REAL[data]`; uint16 (h, w). Blank brain16: give a cut of the right share."""
    amount = REAL[data][family][severity - 1]
    if family == "fl_wrong_bits":
        return wrong_bits(image, severity)
    offset, full = (BRAIN16_OFFSET, 65535.0) if data == "brain16" else (0.0, 255.0)
    light = image.astype(np.float32) - np.float32(offset)
    gain = TCELL_NOISE if data == "tcell" else brain16_noise(light)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    if family == "fl_saturated":
        light = light * np.float32(full - offset) / np.float32(max(np.quantile(light, 1 - amount), 1.0))
    elif family == "fl_underexposed":
        # The variance of the light that is left is amount * gain * light; amount^2 of it is in the picture already.
        light = amount * light + noise * np.sqrt(np.maximum(light, 0) * np.float32(gain * amount * (1 - amount)))
    elif family == "fl_defocused":
        blurred = defocus(light, amount)
        lost = 1 - float((disc(amount) ** 2).sum())
        light = blurred + noise * np.sqrt(np.maximum(blurred, 0) * np.float32(gain * lost))
    elif family == "fl_ambient":
        added = np.float32(amount * (BRAIN16_TISSUE if data == "brain16" else 1))
        light = light + added + noise * np.sqrt(np.float32(gain) * added)
    elif family == "fl_blank":
        light = _blank(data, light, amount, noise)
    else:
        raise ValueError(f"{family} has no form for {data}")
    return np.asarray(np.clip(np.rint(light + np.float32(offset)), 0, full), np.uint16)


def _blank(data: str, light: Float, amount: float, noise: Float) -> Float:
    if data == "brain16":
        return light if amount >= 0 else 3 * noise
    if amount < 0:
        nothing = np.zeros_like(light)
        nothing[0, 0] = 1
        return nothing
    dark = np.percentile(light, 5)
    left = dark + np.float32(amount) * np.maximum(light - dark, 0)
    return np.asarray(left + noise * np.sqrt(np.float32(TCELL_NOISE) * np.maximum(left, 1)), np.float32)


def brain16_cut(tiles: Sequence[Counts], share: tuple[float, float], rng: np.random.Generator) -> Counts:
    """A cut of 110 x 100 px, at random among the tiles, whose share of tissue (above 2500 counts) is in `share`."""
    while True:
        tile = tiles[int(rng.integers(len(tiles)))]
        row, column = int(rng.integers(tile.shape[0] - 100)), int(rng.integers(tile.shape[1] - 110))
        found = tile[row : row + 100, column : column + 110]
        if share[0] <= float(np.mean(found > 2500)) <= share[1]:
            return np.ascontiguousarray(found)


def brain16_share(severity: int | None) -> tuple[float, float]:
    """Share of tissue of a clean cut (None), or of a blank one of this severity."""
    amount = 1.0 if severity is None else REAL["brain16"]["fl_blank"][severity - 1]
    return (0.25, 0.85) if severity is None or amount < 0 else (amount / 5, amount)


def brain16_noise(light: Float) -> float:
    """Variance of the pixel noise per count above the offset, from diagonal Haar differences of the darker half."""
    rows, columns = light.shape[0] // 2 * 2, light.shape[1] // 2 * 2
    a, b, c, d = (light[i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1))
    level = (a + b + c + d) / 4
    dark = level <= np.median(level)
    sigma = float(np.median(np.abs(a - b - c + d)[dark])) / 2 / 0.6745
    return sigma**2 / max(float(level[dark].mean()), 1.0)
