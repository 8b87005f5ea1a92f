"""Cohorts: the manifest with all its checks, labels of tasks, splits by patient, and the predictions table.

In: a manifest file (contract 1), TOML tasks (contract 2), a split file, predictions (contract 3). Out: `Cohort` (one
typed table), one label a specimen or masked, `SpecimenSource`s for `imaging`, `Split`s in which no patient is ever on
two sides. No pixel is kept here. Next room: `models` (training) and `runtime` (diagnosing a manifest).
"""

from ._labels import eligible, grade_class, labels, present_levels, specimen_patients
from ._manifest import Cohort, load_manifest, parse_roi, sources
from ._pathology import read_pathology
from ._predictions import PREDICTION_COLUMNS, check_predictions, read_predictions, write_predictions
from ._readings import read_readings
from ._split import Split, group_folds, leave_one_patient_out, split_patients
from ._split_file import read_split, write_split
from ._study import Family, StudyInfo, read_study
from ._summary import ClassCount, CohortSummary, TaskSummary, summarise
from ._tasks import load_tasks, resolve_tasks

__all__ = [
    "PREDICTION_COLUMNS",
    "ClassCount",
    "Cohort",
    "CohortSummary",
    "Family",
    "Split",
    "StudyInfo",
    "TaskSummary",
    "check_predictions",
    "eligible",
    "grade_class",
    "group_folds",
    "labels",
    "leave_one_patient_out",
    "load_manifest",
    "load_tasks",
    "parse_roi",
    "present_levels",
    "read_pathology",
    "read_predictions",
    "read_readings",
    "read_split",
    "read_study",
    "resolve_tasks",
    "sources",
    "specimen_patients",
    "split_patients",
    "summarise",
    "write_predictions",
    "write_split",
]
