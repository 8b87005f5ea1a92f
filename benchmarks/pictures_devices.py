"""make pictures: a simulated plate in a dark room, under ambient light, and strobed. Writes docs/images/strobed.png.

Six specimens whose brightness is nearest to the median of their class (tumour, other tissue), on one plate. The same
camera, calibration, lamps, drift, flicker and motion as `bench-ambient`; see there.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ambient import MM_PER_PX, PATCH, Specimen, calibrate, photograph, strobe, take
from common import ROOT
from glioscope.core import Frame
from glioscope.devices._strobe import StrobeSettings
from glioscope.sim import SimSettings, draw_appearance, draw_design, draw_tissue
from glioscope.sim._cameras import Window, compose, draw_pattern, photograph_wl
from glioscope.sim._render import paint
from glioscope.sim._trays import plain_light
from glioscope.sim._write import appearances_of

SEED = 820
PLACES = [(row, column) for row in (64, 320) for column in (40, 240, 440)]
SIGNAL = 2.6
"""Uptake units of the median specimen (`signal_unit_uptake` of bench-ambient)."""


def plate(seed: int) -> tuple[Specimen, list[bool]]:
    """A full frame with six specimens, tumour and other tissue by turns, and which is tumour."""
    settings = SimSettings()
    rng = np.random.default_rng(seed)
    design = draw_design(6, 120, settings, rng)
    appearances = appearances_of(draw_appearance(design, draw_tissue(design, settings, rng), settings, rng))
    true = design.true_tumor & design.label_tumor
    bright = np.array([appearance.fl_log_intensity for appearance in appearances])
    kinds = [
        iter(members[np.argsort(np.abs(bright[members] - np.median(bright[members])))])
        for members in (np.flatnonzero(true), np.flatnonzero(~design.true_tumor & ~design.label_tumor))
    ]
    chosen = [int(next(kinds[number % 2])) for number in range(len(PLACES))]
    frame = (settings.infrared.rows, settings.infrared.columns)
    window = Window(0, 0, frame, MM_PER_PX, frame)
    middle = (PATCH[0] / 2, PATCH[1] / 2)
    placed = [
        (paint(appearances[i], PATCH, middle, MM_PER_PX, settings, rng), place)
        for i, place in zip(chosen, PLACES, strict=True)
    ]
    scene = compose(window, placed, settings, rng)
    pattern = draw_pattern(frame, settings, rng)
    calibration = calibrate(frame, pattern, settings, rng)
    usual = plain_light()
    tray = Specimen(0, True, usual, scene, window, pattern, settings, seed, calibration)
    return tray, [bool(true[i]) for i in chosen]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "strobed.png")
    arguments.add_argument("--level", type=float, default=4.0, help="ambient light as a multiple of the median signal")
    options = arguments.parse_args()
    tray, tumors = plate(SEED)
    rng = np.random.default_rng(SEED)
    taken = take(tray, options.level * SIGNAL)
    strobed = strobe(taken.frames, StrobeSettings()).frame.pixels.astype(float)
    dark_room = tray.calibration.apply(Frame(photograph(tray, 0.0, rng, scene=tray.scene)))
    truth = dark_room.pixels.astype(float)
    plain = taken.frames[1].pixels.astype(float)
    white = photograph_wl(tray.scene, tray.window, tray.appearance, tray.settings, rng)
    low, high = np.percentile(truth, (1, 99.9))
    # Plain, twice: on the scale of the others it is white all over, so it is also stretched to its own range.
    own_low, own_high = np.percentile(plain, (1, 99.9))
    panels = [
        (white, "white light", {}),
        (truth, "fluorescence, dark room", {"vmin": low, "vmax": high}),
        (
            plain,
            f"ambient light {options.level:g} x the signal, own scale",
            {"vmin": own_low, "vmax": own_high},
        ),
        (strobed, "the same light, strobed", {"vmin": low, "vmax": high}),
    ]
    figure, axes = plt.subplots(2, 2, figsize=(10, 8.4), layout="constrained")
    for axis, (picture, title, scale) in zip(axes.ravel(), panels, strict=True):
        axis.imshow(picture, cmap="inferno", **scale)
        axis.set_title(f"{title} (SIMULATED)", fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
    for (row, column), tumor in zip(PLACES, tumors, strict=True):
        axes[0, 1].text(
            column + PATCH[1] / 2, row + 8, "tumour" if tumor else "other", color="white", ha="center", fontsize=9
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=100)
    print(options.out)


if __name__ == "__main__":
    main()
