"""The cohort in numbers, as in the paper's Fig. 1a."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glioscope.core import Task

from ._labels import eligible, labels, specimen_patients
from ._manifest import Cohort


@dataclass(frozen=True, slots=True)
class ClassCount:
    """One class of a task: its specimens, and the patients who have at least one of them."""

    name: str
    specimens: int
    patients: int


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One task: its classes, the specimens of its subset without a label, and those outside its subset."""

    task: str
    classes: tuple[ClassCount, ...]
    labelled: int
    missing: int
    not_applicable: int


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """A cohort in numbers. `fl_specimens`, `wl_specimens` and `paired_specimens` have those images."""

    patients: int
    specimens: int
    images: int
    fl_specimens: int
    wl_specimens: int
    paired_specimens: int
    data_kind: str
    tasks: tuple[TaskSummary, ...]

    def rows(self) -> list[dict[str, str | int]]:
        """One row a task and class, then one for missing labels: task, class, specimens, patients ("" if unknown)."""
        table: list[dict[str, str | int]] = []
        for task in self.tasks:
            table += [
                {"task": task.task, "class": item.name, "specimens": item.specimens, "patients": item.patients}
                for item in task.classes
            ]
            table.append({"task": task.task, "class": "no label", "specimens": task.missing, "patients": ""})
        return table


def summarise(cohort: Cohort, tasks: Mapping[str, Task] | Iterable[Task]) -> CohortSummary:
    """Count specimens and patients per class and task, and the labels that are missing."""
    chosen = list(tasks.values()) if isinstance(tasks, Mapping) else list(tasks)
    table = cohort.table
    has_fl = set(table.loc[table["fl_image"] != "", "specimen_id"])
    has_wl = set(table.loc[table["wl_image"] != "", "specimen_id"])
    return CohortSummary(
        patients=int(table["patient_id"].nunique()),
        specimens=int(table["specimen_id"].nunique()),
        images=len(table),
        fl_specimens=len(has_fl),
        wl_specimens=len(has_wl),
        paired_specimens=len(has_fl & has_wl),
        data_kind=cohort.data_kind,
        tasks=tuple(_summarise_task(cohort, task) for task in chosen),
    )


def _summarise_task(cohort: Cohort, task: Task) -> TaskSummary:
    values, inside, patients = labels(cohort, task), eligible(cohort, task), specimen_patients(cohort)
    classes = []
    for level, name in enumerate(task.class_names):
        members = values == level
        classes.append(ClassCount(name, int(members.sum()), int(patients[members].nunique())))
    labelled = int(values.notna().sum())
    return TaskSummary(task.name, tuple(classes), labelled, int(inside.sum()) - labelled, int((~inside).sum()))
