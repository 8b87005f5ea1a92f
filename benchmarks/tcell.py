"""bench-tcell: REAL autofluorescence images (T cells, six donors) under the authors' own protocol.

Donor 4 is set aside. Each of donors 1, 2, 3, 5, 6 is the test donor once, with everything else learnt on the other
four. Last, donor 4 is tested with the other five for training. The preprocessing and the strength of the probe are
chosen for each test donor by leaving one of its training donors out at a time, from a grid fixed beforehand (`GRID`):
no score of a test donor takes part. Fine-tuning starts from that probe with settings fixed beforehand (`FINETUNE`).

Every evaluation on test donors is appended to docs/results.md, whatever it gave. Scores of every test image go to
benchmarks/work/tcell/predictions.csv; `glioscope evaluate` takes them together with the authors' own:

    glioscope evaluate benchmarks/work/tcell/predictions.csv ../shared/data/tcell/peer_predictions.csv --out REPORT
"""

import hashlib
import json
import logging
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from common import WORK, commit, finish, log_line, now, parser, shared_data
from glioscope.cohort import labels, load_manifest, sources, write_predictions
from glioscope.core import Autocontrast, Canvas, Denoise, FLPlan, Modality, Normalisation, Task
from glioscope.models import (
    LITE0,
    AugmentSettings,
    FinetuneSettings,
    FoldData,
    FrozenFeatures,
    PreparedImages,
    ProbeSettings,
    SpecimenNet,
    TrainSettings,
    fit_model,
    fit_probe,
    prepare_images,
)
from glioscope.stats import auc, sign_flip_pvalue

TASK = Task(name="activity", label="activity", positive=("activated",), negative=("quiescent",))
OUTER = ("donor-1", "donor-2", "donor-3", "donor-5", "donor-6")
ASIDE = "donor-4"
INVERSE_L2 = (1e-3, 3e-3, 1e-2)
NORMALISATIONS = (
    *(Normalisation(kind="linear", white=white) for white in (60.0, 80.0, 100.0, 130.0, 255.0)),
    Normalisation(kind="asinh", white=255.0, knee=0.2),
    Normalisation(kind="gamma", white=255.0, gamma=0.5),
)
CANVASES = (
    Canvas(kind="square", size_px=160),
    Canvas(kind="field", field_px=100, size_px=160),
    Canvas(kind="field", field_px=64, size_px=160),
    Canvas(kind="field", field_px=80, size_px=192),
)
GRID = tuple((normalisation, canvas) for normalisation in NORMALISATIONS for canvas in CANVASES)
FINETUNE = FinetuneSettings(
    epochs=6, batch_size=32, learning_rate=1e-4, start="probe", freeze_batch_norm=True, blend_with_start=0.5
)
AUGMENT = AugmentSettings(
    brightness=(0.7, 1.3), flip_vertical=True, flip_horizontal=True, rotate_deg=180.0, padding_px=16
)
LOG = "Log of evaluations on the test donors of tcell"


def plan(normalisation: Normalisation, canvas: Canvas) -> FLPlan:
    """8-bit images of one cell each: no camera offset, and no background to estimate noise or contrast from."""
    return FLPlan(
        offset=0.0,
        repair_hot_pixels=False,
        normalisation=normalisation,
        autocontrast=Autocontrast(mode="off"),
        denoise=Denoise(mode="off"),
        canvas=canvas,
    )


class Donors:
    """Labels and donors of every image, with frozen features for every point of the grid (kept on disk)."""

    def __init__(self, work: Path) -> None:
        self.cohort = load_manifest(shared_data("tcell") / "manifest.csv")
        self.items = sources(self.cohort)
        self.specimens = self.cohort.table["specimen_id"].to_numpy(object)
        self.donors = self.cohort.table["patient_id"].to_numpy(object)
        self.y = labels(self.cohort, TASK).reindex(self.specimens).to_numpy(float)
        self.frozen = FrozenFeatures(LITE0, "auto")
        self.work = work
        self._head = SpecimenNet(Modality.FL, self.frozen.backbones(Modality.FL))

    def images(self, point: tuple[Normalisation, Canvas]) -> PreparedImages:
        """All images prepared by this point of the grid."""
        return prepare_images(self.items, fl_plan=plan(*point), wl_plan=None)

    def features(self, number: int) -> np.ndarray:
        """Frozen features (N, d) at a point of the grid."""
        key = hashlib.sha256(plan(*GRID[number]).model_dump_json().encode()).hexdigest()[:12]
        path = self.work / f"features-{key}.npy"
        if not path.is_file():
            self.work.mkdir(parents=True, exist_ok=True)
            np.save(path, self.frozen.of(self.images(GRID[number]), Modality.FL))
        return np.load(path)

    def probe(self, features: np.ndarray, train: tuple[str, ...], inverse_l2: float) -> np.ndarray:
        """Logits of every image by a probe trained on these donors."""
        rows = np.isin(self.donors, train)
        settings = ProbeSettings(inverse_l2=(inverse_l2,))
        network, _ = fit_probe(self._head, features[rows], self.y[rows, None], self.donors[rows], settings)
        weight = network.head.weight.detach().numpy()[0].astype(float)
        return features @ weight + float(network.head.bias.detach()[0])

    def auc_of(self, scores: np.ndarray, donor: str) -> float:
        """AUC within a donor."""
        rows = self.donors == donor
        return auc(self.y[rows], scores[rows])


def inner_scores(data: Donors) -> np.ndarray:
    """(grid, C, outer donor, left-out donor): AUC of the left-out donor, trained without it and the outer donor."""
    table = np.full((len(GRID), len(INVERSE_L2), len(OUTER), len(OUTER)), np.nan)
    for number in range(len(GRID)):
        features = data.features(number)
        for (a, first), (b, second) in combinations(enumerate(OUTER), 2):
            train = tuple(d for d in OUTER if d not in (first, second))
            for c, inverse_l2 in enumerate(INVERSE_L2):
                scores = data.probe(features, train, inverse_l2)
                table[number, c, a, b] = data.auc_of(scores, second)
                table[number, c, b, a] = data.auc_of(scores, first)
        print(f"grid {number + 1} of {len(GRID)}: inner mean {np.nanmean(table[number]):.4f}", flush=True)
    return table


def choose(table: np.ndarray, outer: int | None) -> tuple[int, int]:
    """Grid point with the best mean over C of the mean inner AUC, then its best C; for donor 4 over all pairs."""
    inner = np.nanmean(table, axis=(2, 3)) if outer is None else np.nanmean(table[:, :, outer], axis=2)
    number = int(inner.mean(1).argmax())
    return number, int(inner[number].argmax())


def finetune(data: Donors, test: str, train: tuple[str, ...], point: tuple[Normalisation, Canvas], c: float):
    """Scores (N,) of the test donor by fine-tuning from the probe; a finished run is read back."""
    described = json.dumps([plan(*point).model_dump(), FINETUNE.model_dump(), AUGMENT.model_dump(), c, test, train])
    key = hashlib.sha256(described.encode()).hexdigest()[:12]
    path = data.work / f"finetune-{key}.npy"
    if path.is_file():
        return np.load(path)
    roles = np.where(data.donors == test, "test", np.where(np.isin(data.donors, train), "train", "unused"))
    fold = FoldData(data.images(point), data.specimens, data.donors, roles.astype(object), data.y[:, None])
    settings = TrainSettings(
        strategy="finetune", finetune=FINETUNE, fl_augment=AUGMENT, probe=ProbeSettings(inverse_l2=(c,))
    )
    log_dir = data.work / f"finetune-{key}"
    fitted = fit_model(TASK, Modality.FL, fold, settings, data.frozen, log_dir=log_dir, resume=True, progress=False)
    by_specimen = fitted.logits.set_index("specimen_id")["logit_0"]
    scores = by_specimen.reindex(data.specimens).to_numpy(float)
    np.save(path, scores)
    return scores


def against_peer(data: Donors, scores: dict[str, np.ndarray], peer_model: str) -> dict:
    """Five differences of AUC to the peer on the images both scored, with the exact sign-flip P."""
    peer = pd.read_csv(shared_data("tcell") / "peer_predictions.csv", dtype={"specimen_id": str})
    peer = peer[peer["model"] == peer_model].set_index("specimen_id")["y_score"]
    differences = {}
    for donor in OUTER:
        rows = np.flatnonzero((data.donors == donor) & np.isin(data.specimens, peer.index))
        theirs = auc(data.y[rows], peer.loc[data.specimens[rows]].to_numpy())
        differences[donor] = auc(data.y[rows], scores[donor][rows]) - theirs
    test = sign_flip_pvalue(list(differences.values()))
    return {
        "peer": peer_model,
        "by_donor": {donor: round(value, 4) for donor, value in differences.items()},
        "mean": round(test.mean, 4),
        "p_sign_flip": round(test.pvalue, 4),
        "smallest_attainable_p": round(test.smallest_attainable, 4),
    }


def predictions(data: Donors, scores: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """Logits of every test donor's images by strategy as a predictions table; a fold is a test donor."""
    parts = []
    for strategy, of in scores.items():
        for fold, (donor, logits) in enumerate(of.items()):
            rows = data.donors == donor
            parts.append(
                pd.DataFrame(
                    {
                        "patient_id": donor,
                        "specimen_id": data.specimens[rows],
                        "task": TASK.name,
                        "model": f"fl-{strategy}",
                        "split": "test",
                        "fold": fold,
                        "y_true": data.y[rows],
                        "y_score": expit(logits[rows]),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--fresh", action="store_true", help="forget finished parts of an earlier run")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    work = WORK / "tcell"
    if options.fresh:
        for old in (*work.glob("*.npy"), *work.glob("*/epoch.ckpt")):
            old.unlink()
    data = Donors(work)
    table = inner_scores(data)
    scores: dict[str, dict[str, np.ndarray]] = {"probe": {}, "finetune": {}}
    chosen = {}
    for test in (*OUTER, ASIDE):
        number, c = choose(table, OUTER.index(test) if test != ASIDE else None)
        train = tuple(d for d in OUTER if d != test)
        chosen[test] = {"normalisation": GRID[number][0].model_dump(), "canvas": GRID[number][1].model_dump()}
        chosen[test]["inverse_l2"] = INVERSE_L2[c]
        scores["probe"][test] = data.probe(data.features(number), train, INVERSE_L2[c])
        scores["finetune"][test] = finetune(data, test, train, GRID[number], INVERSE_L2[c])
        shown = {s: round(data.auc_of(scores[s][test], test), 4) for s in scores}
        log_line(LOG, f"{now()}, {commit()}, test donor {test}: AUC {json.dumps(shown)}")
        print(f"{test}: {shown}", flush=True)
    write_predictions(work / "predictions.csv", predictions(data, scores))
    per_donor = {
        strategy: {d: round(data.auc_of(of[d], d), 4) for d in (*OUTER, ASIDE)} for strategy, of in scores.items()
    }
    means = {s: round(float(np.mean([per_donor[s][d] for d in OUTER])), 4) for s in per_donor}
    difference = {s: against_peer(data, scores[s], "inception-v3-finetuned") for s in scores}
    finish(
        "bench-tcell",
        {
            "data": "real",
            "probe_mean_auc": means["probe"],
            "finetune_mean_auc": means["finetune"],
            "donor4_auc": {s: per_donor[s][ASIDE] for s in per_donor},
            "per_donor": per_donor,
            "difference": difference,
            "p_sign_flip": {s: difference[s]["p_sign_flip"] for s in difference},
            "note": "with five donors the two-sided P cannot go below 0.0625",
            "chosen": chosen,
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()
