"""make pictures: one row a class of simulated specimens, FL and WL, for the README. Writes docs/images/classes.png."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from cohorts import simulated
from common import ROOT
from glioscope.cohort import labels, load_manifest, sources
from glioscope.core import BUILT_IN_TASKS
from glioscope.imaging import estimate_offset, read_fl, read_wl

COLUMNS = 4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "classes.png")
    options = arguments.parse_args()
    cohort = load_manifest(simulated(0) / "manifest.csv")
    items = {s.specimen_id: s for s in sources(cohort)}
    tumor, grade = (labels(cohort, BUILT_IN_TASKS[t]) for t in ("tumor", "grade"))
    classes = {"non-tumour": tumor.index[tumor == 0], "DLGG": grade.index[grade == 0], "GBM": grade.index[grade == 1]}
    figure, axes = plt.subplots(len(classes), 2 * COLUMNS, figsize=(12, 4.2), layout="constrained")
    rng = np.random.default_rng(0)
    white = max(
        float(np.percentile(read_fl(items[s].fl_image).pixels, 99)) for s in rng.choice(classes["GBM"], 20, False)
    )
    for row, (name, members) in zip(axes, classes.items(), strict=True):
        for number, specimen in enumerate(rng.choice(members, COLUMNS, replace=False)):
            fl = read_fl(items[specimen].fl_image).pixels
            row[number].imshow(fl, cmap="inferno", vmin=estimate_offset(fl), vmax=white)
            row[COLUMNS + number].imshow(read_wl(items[specimen].wl_image).pixels)
        row[0].set_ylabel(name)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    axes[0, 0].set_title("fluorescence, one scale for all (SIMULATED)", loc="left", fontsize=9)
    axes[0, COLUMNS].set_title("white light (SIMULATED)", loc="left", fontsize=9)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)
    print(options.out)


if __name__ == "__main__":
    main()
