"""Three simulated pathologists who grade every tumour specimen, and the study file of a simulated cohort."""

from collections.abc import Sequence
from typing import Any

import numpy as np

PATHOLOGISTS = ("PATH1", "PATH2", "PATH3")
NOISE_SD = 0.34
"""How far apart two looks at one slide are, in grades: chosen so that Fleiss' kappa is 0.6 to 0.7."""
LEANING_SD = 0.08
"""How far a pathologist's own scale is shifted, in grades."""
_KI67_METHOD = "SIMULATED count of nuclei on a tissue microarray"
_NUCLEI = (400, 1001)

_STUDY = """# SIMULATED: there was no patient, no operation, no pathologist and no ethics committee.
title = "SIMULATED cohort of {patients} patients, drawn by `glioscope simulate` with seed {seed}"
data_kind = "simulated"
objectives = "SIMULATED: to run the whole chain on data with a known ceiling; says nothing of patients"
data_source = "SIMULATED"

[eligibility]
identification = "SIMULATED: all patients that were drawn"

[ethics]
statement = "SIMULATED: no approval exists and none was needed, as no person took part"

[registration]
statement = "SIMULATED: not registered"

[index_test]
description = "SIMULATED images of excised specimens, read by networks"
readers_knew = "SIMULATED readers of white light are given evidence beyond the image"

[reference_standard]
description = "SIMULATED pathology with a known share of wrong labels; three pathologists graded alone, then agreed"
assessors_knew = "SIMULATED pathologists know nothing of the images"

[icg]
product = "SIMULATED: no dye was given"

[imaging]
fl_camera = "SIMULATED cooled InGaAs camera, 640 x 512 pixels, 16 bits"
wl_camera = "SIMULATED colour camera"
laser_wavelength_nm = 808
irradiance_mw_cm2 = 50

[flow]
approached = {patients}
enrolled = {patients}
analysed = {patients}
specimens = {specimens}
specimens_analysed = {specimens}

[statements]
funding = "SIMULATED: none"
data_availability = "SIMULATED: drawn again, byte by byte, by `glioscope simulate` with seed {seed}"
adverse_events = "SIMULATED: none can occur"
"""
_READER = """
[[readers]]
reader = "R{number}"
role = "SIMULATED surgeon"
"""
_PATHOLOGIST = """
[[pathologists]]
pathologist = "{name}"
role = "SIMULATED neuropathologist"
"""


def draw_pathology(manifest: Sequence[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """What each pathologist said of every tumour specimen: rows of the contract's pathology table.

    A pathologist sees the label's grade with noise and on a slightly shifted scale, and gives the nearest of grades 2
    to 4. The consensus is the label, and at least one of the three gave it: nobody agrees on what none of them saw.
    Ki-67 stands in the row of the first, who counted it.

    Parameters
    ----------
    manifest : rows with `specimen_id`, `pathology`, `who_grade` and `ki67_percent`, "" where unknown.
    """
    tumors = [row for row in manifest if row["pathology"] == "tumor"]
    label = np.array([row["who_grade"] or 2 for row in tumors], dtype=np.int64)
    shape = (len(PATHOLOGISTS), len(tumors))
    leaning = LEANING_SD * rng.standard_normal((len(PATHOLOGISTS), 1))
    perceived = label + leaning + NOISE_SD * rng.standard_normal(shape)
    given = np.clip(np.rint(perceived), 2, 4).astype(np.int64)
    unseen = np.flatnonzero(~(given == label).any(axis=0))
    given[rng.integers(0, len(PATHOLOGISTS), len(unseen)), unseen] = label[unseen]
    counted = rng.integers(*_NUCLEI, len(tumors))
    return [
        {
            "specimen_id": row["specimen_id"],
            "pathologist": name,
            "pathology": "tumor",
            "who_grade": int(given[k, i]) if row["who_grade"] else "",
            "consensus": row["who_grade"],
            **_ki67(row["ki67_percent"] if k == 0 else "", int(counted[i])),
        }
        for i, row in enumerate(tumors)
        for k, name in enumerate(PATHOLOGISTS)
    ]


def _ki67(percent: float | str, counted: int) -> dict[str, Any]:
    columns = ("ki67_percent", "ki67_method", "ki67_positive", "ki67_counted")
    if percent == "":
        return dict.fromkeys(columns, "")
    return dict(zip(columns, (percent, _KI67_METHOD, round(float(percent) * counted / 100), counted), strict=True))


def simulated_study(n_patients: int, n_specimens: int, seed: int, n_readers: int) -> str:
    """The text of `study.toml`: it says SIMULATED in every sentence, and what does not exist is said not to."""
    head = _STUDY.format(patients=n_patients, specimens=n_specimens, seed=seed)
    readers = "".join(_READER.format(number=number) for number in range(1, n_readers + 1))
    return head + readers + "".join(_PATHOLOGIST.format(name=name) for name in PATHOLOGISTS)
