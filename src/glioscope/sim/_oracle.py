"""The ceiling: the posterior of each task given all that one specimen's images can carry of its class.

The renderer sees nothing of the class but the columns of `CARRIED`, so class -> carried -> image is a Markov chain,
and by the data-processing inequality no observer of a single specimen's images (not told the patient's other
specimens) has a better expected AUC than the posterior given the carried columns. That posterior is estimated, not
exact: a logistic regression on polynomials of the carried columns, fitted to a large reference population of other
simulated patients. So the ceiling is a bound up to the error of that fit, which
`tests/sim/test_oracle.py` checks against gradient boosting.
"""

from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from ._design import PAPER_PATIENTS, PAPER_SPECIMENS, Bools, Design, draw_design
from ._latents import CARRIED, draw_appearance, draw_tissue
from ._settings import SimSettings

Floats = npt.NDArray[np.float64]

N_REFERENCE_COHORTS = 40
_REFERENCE_ENTROPY = 0x6C696F73
_CLIP = 4.0
_RIDGE = 1e-4

TARGETS = ("tumor", "grade", "ki67", "idh", "codel", "over2", "over3")
"""Binary questions; `over2` and `over3` (grade above II, above III) make up the ordinal task `grade4`."""


class Reference:
    """A population of other simulated patients: carried columns and labels of all its specimens."""

    def __init__(self, settings: SimSettings, n_cohorts: int, entropy: int = _REFERENCE_ENTROPY) -> None:
        designs, tables = [], []
        for sequence in np.random.SeedSequence(entropy).spawn(n_cohorts):
            rng = np.random.default_rng(sequence)
            design = draw_design(PAPER_PATIENTS, PAPER_SPECIMENS, settings, rng)
            designs.append(design)
            tables.append(draw_appearance(design, draw_tissue(design, settings, rng), settings, rng))
        self.columns: dict[str, Floats] = {
            name: np.concatenate([table[name] for table in tables]) for name in CARRIED["fusion"]
        }
        pairs = [labels_of(design) for design in designs]
        self.labels: dict[str, tuple[Bools, Bools]] = {
            target: (
                np.concatenate([pair[target][0] for pair in pairs]),
                np.concatenate([pair[target][1] for pair in pairs]),
            )
            for target in (*TARGETS, "tissue")
        }


def labels_of(design: Design) -> dict[str, tuple[Bools, Bools]]:
    """Target -> (value, known) of every specimen, as the manifest will have them."""
    everyone = np.ones(len(design.patient), dtype=np.bool_)
    graded = design.graded & design.label_tumor
    return {
        "tissue": (design.true_tumor, everyone),
        "tumor": (design.label_tumor, everyone),
        "grade": (design.gbm, graded),
        "ki67": (design.ki67_high, design.has_ki67),
        "idh": (~design.wildtype, graded),
        "codel": (design.codeleted, graded),
        "over2": (design.gbm | design.grade3, graded),
        "over3": (design.gbm, graded),
    }


class Posterior:
    """P(positive | carried columns) for one target and modality, fitted to a reference population."""

    def __init__(self, reference: Reference, target: str, modality: str) -> None:
        self.columns = CARRIED[modality]
        value, known = reference.labels[target]
        table = np.column_stack([reference.columns[name] for name in self.columns])
        self.mean, self.sd = table.mean(axis=0), table.std(axis=0)
        self.degree = 3 if len(self.columns) <= 4 else 2
        self.low, self.high = 0.0, 1.0
        if target == "tumor":
            # Flipped labels bound the posterior on both sides: fit the true class, then add the flips exactly.
            label, value = value, reference.labels["tissue"][0]
            self.low, self.high = float(label[~value].mean()), float(label[value].mean())
        self.weights = _fit_logistic(self._basis(table[known]), value[known].astype(np.float64))

    def __call__(self, columns: dict[str, Floats]) -> Floats:
        """Posterior of every specimen, in (0, 1); `columns` as `draw_appearance` gives them."""
        table = np.column_stack([columns[name] for name in self.columns])
        p = _sigmoid(self._basis(table) @ self.weights)
        return np.asarray(self.low + (self.high - self.low) * p)

    def _basis(self, table: Floats) -> Floats:
        z = np.clip((table - self.mean) / self.sd, -_CLIP, _CLIP)
        terms = [np.ones(len(z))]
        for degree in range(1, self.degree + 1):
            terms += [
                np.prod(z[:, list(chosen)], axis=1)
                for chosen in combinations_with_replacement(range(z.shape[1]), degree)
            ]
        return np.column_stack(terms)


@lru_cache(maxsize=4)
def reference_population(settings: SimSettings, n_cohorts: int = N_REFERENCE_COHORTS) -> Reference:
    """The reference population of these settings (kept, as it does not depend on the cohort)."""
    return Reference(settings, n_cohorts)


@lru_cache(maxsize=4)
def posteriors(settings: SimSettings) -> dict[tuple[str, str], Posterior]:
    """All posteriors of these settings, by (target, modality)."""
    reference = reference_population(settings)
    return {(target, modality): Posterior(reference, target, modality) for target in TARGETS for modality in CARRIED}


def oracle_columns(columns: dict[str, Floats], settings: SimSettings) -> dict[str, Floats]:
    """`posterior_<task>_<modality>` for tumor, grade, ki67, grade4, idh and codel; each (n,) in [0, 1].

    For the ordinal `grade4` it is the expected level divided by K-1, as `core.TaskDiagnosis.y_score` has it: no
    specimen is of grade I here, so P(above I) = 1.
    """
    table = posteriors(settings)
    out: dict[str, Floats] = {}
    for modality in CARRIED:
        for target in ("tumor", "grade", "ki67", "idh", "codel"):
            out[f"posterior_{target}_{modality}"] = table[target, modality](columns)
        over = table["over2", modality](columns) + table["over3", modality](columns)
        out[f"posterior_grade4_{modality}"] = (1.0 + over) / 3.0
    return out


def _fit_logistic(basis: Floats, y: Floats) -> Floats:
    """Newton's method for ridge-penalised logistic regression; 25 steps at most."""
    weights = np.zeros(basis.shape[1])
    penalty = _RIDGE * len(y) * np.eye(basis.shape[1])
    penalty[0, 0] = 0.0
    for _ in range(25):
        p = _sigmoid(basis @ weights)
        gradient = basis.T @ (p - y) + penalty @ weights
        hessian = (basis * np.maximum(p * (1 - p), 1e-9)[:, None]).T @ basis + penalty
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _sigmoid(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -40, 40))))
