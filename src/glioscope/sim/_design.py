"""Who is in the cohort: patients, sectors, exact class counts, missing and flipped labels. No pixels yet."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import InputError
from ._settings import SimSettings

PAPER_SPECIMENS = 1874
PAPER_TUMOR = 1324
PAPER_DLGG = 833
PAPER_GBM = 99
PAPER_KI67_LOW = 505
PAPER_KI67_HIGH = 364
PAPER_PATIENTS = 23
N_SECTORS = 8
_GBM_PATIENT_SHARE = 8 / PAPER_PATIENTS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact class counts of a cohort: the paper's, scaled to the number of specimens."""

    specimens: int
    tumor: int
    dlgg: int
    gbm: int
    ki67_low: int
    ki67_high: int

    @classmethod
    def scaled(cls, n_specimens: int) -> "Counts":
        """The paper's make-up for `n_specimens`; exact for 1874."""

        def part(count: int) -> int:
            return round(count * n_specimens / PAPER_SPECIMENS)

        tumor = min(max(part(PAPER_TUMOR), 1), n_specimens - 1)
        gbm = min(max(part(PAPER_GBM), 1), tumor)
        dlgg = min(part(PAPER_DLGG), tumor - gbm)
        high = min(max(part(PAPER_KI67_HIGH), 1), tumor)
        return cls(n_specimens, tumor, dlgg, gbm, min(part(PAPER_KI67_LOW), tumor - high), high)


@dataclass(frozen=True, slots=True)
class Design:
    """Labels and true classes of all specimens; every array has one entry a specimen unless said otherwise."""

    patient: Ints
    sector: Ints
    sample_index: Ints
    label_tumor: Bools
    true_tumor: Bools
    graded: Bools
    gbm: Bools
    grade3: Bools
    has_ki67: Bools
    proliferation: Floats
    """Standardised; the Ki-67 label is a cut of it."""
    ki67_high: Bools
    wildtype: Bools
    codeleted: Bools
    n_patients: int

    @property
    def flipped(self) -> Bools:
        """Specimens whose pathology label is not their true class."""
        return np.asarray(self.label_tumor != self.true_tumor, dtype=np.bool_)


def draw_design(n_patients: int, n_specimens: int, settings: SimSettings, rng: np.random.Generator) -> Design:
    """Draw a cohort's make-up with exact counts.

    Raises
    ------
    InputError : fewer than 2 patients, or fewer than 10 specimens a patient.
    """
    if n_patients < 2:
        raise InputError(f"a simulated cohort needs at least 2 patients, not {n_patients}")
    if n_specimens < 10 * n_patients:
        raise InputError(
            f"{n_specimens} specimens are too few for {n_patients} patients: at least 10 a patient, {10 * n_patients}"
        )
    counts = Counts.scaled(n_specimens)
    patient, sector, index = _sampling_scheme(n_patients, n_specimens, rng)
    label_tumor = _tumor_labels(patient, n_patients, counts.tumor, rng)
    gbm, graded, is_gbm_patient = _grades(patient, label_tumor, n_patients, counts, rng)
    true_tumor = _flip(label_tumor, settings.biology.flipped_share, rng)
    # Tumour tissue that pathology called non-tumour still has a true grade: that of its patient, now and then.
    hidden = true_tumor & ~label_tumor
    gbm |= hidden & is_gbm_patient[patient] & (rng.random(n_specimens) < 0.35)
    wildtype, codeleted = _molecular(is_gbm_patient, rng)
    grade3 = _grade3(patient, gbm, is_gbm_patient, rng)
    has_ki67, score, high = _ki67(label_tumor, graded, gbm, grade3, counts, settings, rng)
    return Design(
        patient=patient,
        sector=sector,
        sample_index=index,
        label_tumor=label_tumor,
        true_tumor=true_tumor,
        graded=graded,
        gbm=gbm,
        grade3=grade3,
        has_ki67=has_ki67,
        proliferation=score,
        ki67_high=high,
        wildtype=wildtype[patient],
        codeleted=codeleted[patient],
        n_patients=n_patients,
    )


def share_out(total: int, weights: Floats, capacity: Ints) -> Ints:
    """Divide `total` in proportion to `weights` into integers that respect `capacity`, largest remainders first."""
    weights = np.maximum(np.asarray(weights, dtype=float), 1e-12)
    given = np.zeros(len(weights), dtype=np.int64)
    left = min(total, int(capacity.sum()))
    while left > 0:
        room = capacity - given
        active = np.where(room > 0, weights, 0.0)
        ideal = left * active / active.sum()
        step = np.minimum(np.floor(ideal).astype(np.int64), room)
        if not step.any():
            order = np.argsort(-np.where(room > 0, ideal, -1.0), kind="stable")[:left]
            step[order[room[order] > 0]] = 1
        given += step
        left -= int(step.sum())
    return given


def _sampling_scheme(n_patients: int, n_specimens: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    cells = n_patients * N_SECTORS
    weights = np.exp(0.12 * rng.standard_normal(n_patients)).repeat(N_SECTORS) * np.exp(
        0.08 * rng.standard_normal(cells)
    )
    per_cell = share_out(n_specimens, weights, np.full(cells, n_specimens, dtype=np.int64))
    cell = np.repeat(np.arange(cells), per_cell)
    index = np.concatenate([np.arange(1, count + 1) for count in per_cell])
    return cell // N_SECTORS, cell % N_SECTORS + 1, index.astype(np.int64)


def _tumor_labels(patient: Ints, n_patients: int, n_tumor: int, rng: np.random.Generator) -> Bools:
    sizes = np.bincount(patient, minlength=n_patients)
    # The share of tumour differs much between patients (0.2 to 1 in the feasibility study).
    shares = np.clip(rng.beta(2.8, 1.15, n_patients), 0.22, 1.0)
    tumors = share_out(n_tumor, shares * sizes, sizes)
    return _mark(patient, np.ones(len(patient), dtype=np.bool_), tumors, rng)


def _mark(patient: Ints, eligible: Bools, per_patient: Ints, rng: np.random.Generator) -> Bools:
    """Choose at random `per_patient[p]` of the eligible specimens of each patient."""
    chosen = np.zeros(len(patient), dtype=np.bool_)
    for p, count in enumerate(per_patient):
        candidates = np.flatnonzero(eligible & (patient == p))
        chosen[rng.permutation(candidates)[:count]] = True
    return chosen


def _grades(
    patient: Ints, label_tumor: Bools, n_patients: int, counts: Counts, rng: np.random.Generator
) -> tuple[Bools, Bools, Bools]:
    tumors = np.bincount(patient[label_tumor], minlength=n_patients)
    n_gbm_patients = min(max(2, round(_GBM_PATIENT_SHARE * n_patients)), n_patients)
    # Chosen among the patients with enough tumour specimens, so that none carries the class alone.
    pool = np.argsort(-tumors, kind="stable")[: max(n_gbm_patients, round(0.8 * n_patients))]
    is_gbm_patient = np.zeros(n_patients, dtype=np.bool_)
    is_gbm_patient[rng.choice(pool, n_gbm_patients, replace=False)] = True
    weights = np.where(is_gbm_patient, rng.uniform(0.6, 1.5, n_patients), 0.0)
    capacity = np.where(is_gbm_patient, tumors, 0).astype(np.int64)
    labelled = share_out(counts.gbm, weights, capacity)
    n_hidden = round(counts.gbm * (counts.tumor - counts.gbm - counts.dlgg) / max(counts.gbm + counts.dlgg, 1))
    ungraded = share_out(n_hidden, weights, capacity - labelled)
    graded_gbm = _mark(patient, label_tumor, labelled, rng)
    ungraded_gbm = _mark(patient, label_tumor & ~graded_gbm, ungraded, rng)
    rest = rng.permutation(np.flatnonzero(label_tumor & ~graded_gbm & ~ungraded_gbm))
    graded = graded_gbm.copy()
    graded[rest[: counts.dlgg]] = True
    return graded_gbm | ungraded_gbm, graded, is_gbm_patient


def _flip(label: Bools, share: float, rng: np.random.Generator) -> Bools:
    true = label.copy()
    for value in (True, False):
        members = np.flatnonzero(label == value)
        true[rng.permutation(members)[: round(share * len(members))]] = not value
    return true


def _molecular(is_gbm_patient: Bools, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """IDH and 1p/19q of each patient, in exact shares.

    Primary GBM is IDH-wildtype in about 90 %; of grades II and III about 80 % are mutant, and of those about half are
    co-deleted (for grade II 43 % of all, Neuro-Oncology 2014, 159 patients). Co-deletion occurs in mutant tumours only.
    """
    wildtype = np.zeros(len(is_gbm_patient), dtype=np.bool_)
    gbm = rng.permutation(np.flatnonzero(is_gbm_patient))
    other = rng.permutation(np.flatnonzero(~is_gbm_patient))
    wildtype[gbm[: max(1, round(0.88 * len(gbm)))]] = True
    wildtype[other[: round(0.2 * len(other))]] = True
    codeleted = np.zeros_like(wildtype)
    mutant = other[round(0.2 * len(other)) :]
    codeleted[rng.permutation(mutant)[: round(0.5 * len(mutant))]] = True
    return wildtype, codeleted


def _grade3(patient: Ints, gbm: Bools, is_gbm_patient: Bools, rng: np.random.Generator) -> Bools:
    share = np.where(is_gbm_patient, 0.75, rng.uniform(0.15, 0.65, len(is_gbm_patient)))
    return np.asarray(~gbm & (rng.random(len(patient)) < share[patient]), dtype=np.bool_)


def _ki67(
    label_tumor: Bools,
    graded: Bools,
    gbm: Bools,
    grade3: Bools,
    counts: Counts,
    settings: SimSettings,
    rng: np.random.Generator,
) -> tuple[Bools, Floats, Bools]:
    n = len(gbm)
    biology = settings.biology
    score = biology.proliferation_gbm * gbm + biology.proliferation_grade3 * grade3 + rng.standard_normal(n)
    tumors = np.flatnonzero(label_tumor)
    # Staining was done mostly where a grade was given too.
    keys = rng.random(len(tumors)) + 0.6 * graded[tumors]
    labelled = tumors[np.argsort(-keys, kind="stable")[: counts.ki67_low + counts.ki67_high]]
    has_ki67 = np.zeros(n, dtype=np.bool_)
    has_ki67[labelled] = True
    ordered = np.sort(score[labelled])[::-1]
    cut = (ordered[counts.ki67_high - 1] + ordered[min(counts.ki67_high, len(ordered) - 1)]) / 2
    score = score - cut
    return has_ki67, score, np.asarray(score > 0, dtype=np.bool_)
