"""Who was studied: cohort, sets, sampling and participants, from the manifest where there is one, else predictions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from glioscope.cohort import StudyInfo, summarise
from glioscope.core import BUILT_IN_TASKS, Task

from ._analysis import Analysis
from ._cascade import FIRST, with_unlabelled
from ._document import Cell, Figure, Table
from ._figures_cohort import NO_LABEL, ClassSize, SplitPatient, cohort_counts, dataset_split, test_sets
from ._figures_participants import IndexResult, ParticipantFlow, Size, participant_flow
from ._figures_sampling import SectorSize, sampling
from ._study_tables import task_title

if TYPE_CHECKING:
    from glioscope.cohort import Cohort

ROLES = ("train", "tune", "test")
NEITHER = "not assessable or no decision"


def class_names(task: str) -> tuple[str, ...]:
    """Names of the classes of a built-in task, from lowest to highest; () for others."""
    known = BUILT_IN_TASKS.get(task)
    return known.class_names if known else ()


def predicted_sizes(predictions: pd.DataFrame) -> list[ClassSize]:
    """Specimens and patients per task, set and class, as far as the predictions table has them."""
    found = []
    specimens = predictions.drop_duplicates(["task", "split", "specimen_id"])
    for (task, role), rows in specimens.groupby(["task", "split"], sort=False):
        levels = sorted(rows["y_true"].dropna().unique())
        names = class_names(str(task)) or (("negative", "positive") if max(levels, default=0) < 2 else ())
        for level in range(int(max(levels, default=0)) + 1 if not names else len(names)):
            of_class = rows[rows["y_true"] == level]
            name = names[level] if level < len(names) else f"level {level}"
            patients = int(of_class["patient_id"].nunique())
            found.append(ClassSize(task_title(str(task)), name, len(of_class), patients, str(role)))
        missing = rows[rows["y_true"].isna()]
        if len(missing):
            patients = int(missing["patient_id"].nunique())
            found.append(ClassSize(task_title(str(task)), NO_LABEL, len(missing), patients, str(role)))
    return sorted(found, key=lambda size: ROLES.index(size.role))


def cohort_sizes(cohort: "Cohort", tasks: Mapping[str, Task]) -> list[ClassSize]:
    """The paper's Fig. 1a for the whole cohort of a manifest."""
    found = []
    for counted in summarise(cohort, tasks).tasks:
        title = task_title(counted.task)
        found += [ClassSize(title, item.name, item.specimens, item.patients) for item in counted.classes]
        if counted.missing:
            found.append(ClassSize(title, NO_LABEL, counted.missing))
    return found


def cohort_table(sizes: list[ClassSize], whole: bool) -> Table:
    """The same counts as a table."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (s.task, s.role or "all", s.name, s.specimens, s.patients) for s in sizes
    )
    title = "The whole cohort, as in Fig. 1a" if whole else "Specimens per class and set"
    columns = ("Task", "Set", "Class", "Specimens", "Patients")
    return Table("table-cohort" if whole else "table-sets", title, columns, rows)


def cohort_figures(predictions: pd.DataFrame, cohort: "Cohort | None", tasks: Mapping[str, Task]) -> list[Figure]:
    """Fig. 1a, S1, S2 and the sizes of patients."""
    sizes = predicted_sizes(predictions)
    made = []
    if cohort is not None and tasks:
        made.append(cohort_counts(cohort_sizes(cohort, tasks), _who(cohort)))
    elif cohort is None:
        whole = predicted_sizes(predictions.assign(split="test"))
        note = "Specimens in the predictions table; give --manifest for the whole cohort"
        made.append(cohort_counts([ClassSize(s.task, s.name, s.specimens, s.patients) for s in whole], note))
    made.append(test_sets(sizes, "Specimens with predictions, by set"))
    made.append(_patients(predictions))
    if cohort is not None:
        made.append(_sampling(cohort))
    else:
        made.append(sampling((), "No manifest was given, so sectors are not known"))
    return made


def _who(cohort: "Cohort") -> str:
    table = cohort.table
    return f"{table['specimen_id'].nunique()} specimens of {table['patient_id'].nunique()} patients in the manifest"


def _patients(predictions: pd.DataFrame) -> Figure:
    specimens = predictions.drop_duplicates(["split", "patient_id", "specimen_id"])
    counted = specimens.groupby(["split", "patient_id"]).size().reset_index(name="n")
    rows = zip(counted["patient_id"], counted["split"], counted["n"], strict=True)
    patients = [SplitPatient(str(patient), str(role), int(n)) for patient, role, n in rows]
    patients.sort(key=lambda p: ROLES.index(p.role))
    several = "fold" in predictions and predictions["fold"].nunique() > 1
    folds = "; with several folds a patient stands in several sets" if several else ""
    caption = f"Specimens of each patient with predictions{folds}"
    return dataset_split(patients, caption)


def _sampling(cohort: "Cohort") -> Figure:
    specimens = cohort.table.drop_duplicates("specimen_id")
    known = specimens[specimens["sector"].notna()]
    sectors = []
    for sector in sorted(set(known["sector"])):
        rows = known[known["sector"] == sector]
        labelled = rows[rows["pathology"] != ""]
        tumour = int((labelled["pathology"] == "tumor").sum())
        sectors.append(SectorSize(int(sector), len(rows), len(labelled), tumour))
    return sampling(sectors, _who(cohort), without_sector=len(specimens) - len(known))


def participants(analysis: Analysis, predictions: pd.DataFrame, study: StudyInfo | None) -> Figure | None:
    """The STARD diagram of the tumour task (or the only one) under the headline protocol."""
    tasks = analysis.headline
    task = FIRST if FIRST in tasks else next(iter(tasks))
    if tasks[task].result.levels:
        return None
    primary = with_unlabelled(predictions, tasks[task].result, tasks[task].primary)
    rows = predictions[(predictions["task"] == task) & (predictions["model"] == tasks[task].primary)]
    test = rows[rows["split"] == "test"].drop_duplicates("specimen_id")
    calls = dict(zip(primary.specimens, zip(primary.answers, primary.calls, strict=True), strict=True))
    negative, positive = tasks[task].names
    answered = test["specimen_id"].map(lambda s: _result(calls.get(s), positive, negative))
    truth = test["y_true"].map({0.0: negative, 1.0: positive}).fillna("reference standard missing")
    if answered.nunique() > 4:  # the diagram has four columns
        answered = answered.replace(dict.fromkeys(("not assessable", "no decision"), NEITHER))
    results = []
    for name in (positive, negative, "indeterminate", "not assessable", "no decision", NEITHER):
        own = (answered == name).to_numpy()
        if own.any():
            parts = [(kind, _size(test[own & (truth == kind).to_numpy()])) for kind in dict.fromkeys(truth)]
            shown = tuple((kind, size) for kind, size in parts if size.specimens)
            results.append(IndexResult(f"index test: {name}", _size(test[own]), shown))
    everyone = predictions.drop_duplicates("specimen_id")
    flow = (study or StudyInfo()).flow
    used = everyone[~everyone["specimen_id"].isin(test["specimen_id"])]
    other = [("used to tune thresholds or for another task", _size(used))] if len(used) else []
    if flow.enrolled is not None:
        apart = flow.enrolled - int(everyone["patient_id"].nunique())
        other += [("without predictions (trained on, withdrawn)", Size(apart, None))] if apart > 0 else []
    excluded = tuple((e.reason, e.n) for e in flow.excluded) or None
    diagram = ParticipantFlow(
        enrolled=Size(flow.enrolled, flow.specimens),
        evaluated=_size(test),
        results=tuple(results),
        eligible=flow.approached,
        excluded=excluded,
        not_evaluated=tuple(other),
    )
    return participant_flow(diagram, f"{task_title(task)}: {tasks[task].primary}, {analysis.protocol} protocol")


def _result(said: "tuple[str, float] | None", positive: str, negative: str) -> str:
    if said is None:
        return "no decision"
    answer, call = said
    if call != call:
        return answer.replace("_", " ") if answer in ("indeterminate", "not_assessable") else "no decision"
    return positive if call > 0.5 else negative


def _size(rows: pd.DataFrame) -> Size:
    return Size(int(rows["patient_id"].nunique()), int(rows["specimen_id"].nunique()))
