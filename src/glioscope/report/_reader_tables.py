"""Tables of the reader study and of the pathologists' agreement."""

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from glioscope.cohort import StudyInfo
from glioscope.stats import Comparison, Estimate, Kappa, Method, cohen_kappa, fleiss_kappa

from ._document import Cell, PValue, Table
from ._figures_errors import RaterPair
from ._reader_study import ReaderStudy, error_list
from ._study_tables import METRIC_TITLES

if TYPE_CHECKING:
    import pandas as pd

GRADES = ("I", "II", "III", "IV")


def reader_tables(protocol: str, study: ReaderStudy, algorithm: Method, info: StudyInfo) -> list[Table]:
    """Each reader's performance and experience, errors corrected and introduced, and the multi-reader analysis."""
    made = [_performance(protocol, study, info), _errors(protocol, study, algorithm)]
    if study.algorithm or study.modalities:
        made.append(_multi_reader(protocol, study, algorithm))
    if study.kappa:
        made.append(_kappas(protocol, study))
    return made


def _performance(protocol: str, study: ReaderStudy, info: StudyInfo) -> Table:
    people = {person.reader: person for person in info.readers}
    metrics = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "auc")
    rows: list[tuple[Cell, ...]] = []
    for modality, panel in study.panels.items():
        for name, method in {**panel.readers, "mean": panel.mean}.items():
            person = people.get(name)
            years = person.experience_years if person else None
            cells = [study.metrics[modality][name].get(metric) for metric in metrics]
            role = (person.role if person else None) or ("all readers" if name == "mean" else None)
            rows.append((name, modality.upper(), role, years, method.n_specimens, method.n_patients, *cells))
    mean = (
        "The mean's sensitivity, specificity, accuracy and AUC: Obuchowski-Rockette, for other readers and patients."
        if protocol == "strict"
        else "The mean is of these readers; its table is the mean of theirs."
    )
    return Table(
        f"table-s2-readers-{protocol}",
        f"Readers ({protocol} protocol)",
        (
            *("Reader", "Images", "Role", "Years", "Specimens", "Patients", "Sensitivity", "Specificity", "PPV", "NPV"),
            *("F1", "Accuracy", "AUC of ratings"),
        ),
        tuple(rows),
        (mean,),
    )


def _errors(protocol: str, study: ReaderStudy, algorithm: Method) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for errors in study.errors:
        t = errors.table
        wrong = t.corrected + t.both_wrong
        share = t.corrected / wrong if wrong else None
        rows.append(
            (errors.reader, errors.modality.upper(), t.n, wrong, t.corrected, share, t.introduced, t.both_wrong)
        )
        rows[-1] = (*rows[-1], *_difference(errors.test))
    test = "clustered by patient (Obuchowski 1998)" if protocol == "strict" else "exact"
    return Table(
        f"table-s4-errors-{protocol}",
        f"Errors of readers that {algorithm.name} corrects, and errors that it introduces ({protocol} protocol)",
        (
            *("Reader", "Images", "Specimens", "Reader's errors", "Corrected", "Share corrected", "Introduced"),
            *("Both wrong", "Accuracy, model - reader", "P, McNemar"),
        ),
        tuple(rows),
        (f"McNemar's test: {test}.",),
    )


def _difference(c: Comparison) -> tuple[Cell, Cell]:
    return Estimate(c.difference, c.low, c.high, c.method), PValue(c.p_two_sided)


def _multi_reader(protocol: str, study: ReaderStudy, algorithm: Method) -> Table:
    """The three forms of the Obuchowski-Rockette analysis, one row a form and metric."""
    rows: list[tuple[Cell, ...]] = []
    for modality, by_metric in study.algorithm.items():
        for metric, alone in by_metric.items():
            what = f"{algorithm.name} against the readers of {modality.upper()}"
            rows.append((what, "standalone", METRIC_TITLES[metric], alone.algorithm, alone.readers))
            rows[-1] = (*rows[-1], *_difference(alone.difference), alone.difference.df)
    factorial = {"FL against WL, all readers": ("factorial", study.modalities)}
    factorial |= {f"FL against WL, reader {name}": ("single reader", by) for name, by in study.single.items()}
    for what, (form, by_metric_of) in factorial.items():
        for metric, two in by_metric_of.items():
            rows.append((what, form, METRIC_TITLES[metric], *two.modalities, *_difference(two.differences[0]), two.df2))
    return Table(
        f"table-multi-reader-{protocol}",
        "Multi-reader multi-case analysis (Obuchowski-Rockette)",
        ("Comparison", "Form", "Metric", "First", "Second", "First - second", "P", "df"),
        tuple(rows),
        (
            "Random readers and random patients (one reader: fixed), covariance by leaving out one patient at a time; "
            "degrees of freedom of Hillis 2007, at most one less than the patients. Intervals are symmetric about the "
            "value and so differ a little from those of the tables of performance.",
        ),
    )


def _kappas(protocol: str, study: ReaderStudy) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (modality.upper(), len(study.panels[modality].readers), study.panels[modality].mean.n_specimens, kappa)
        for modality, kappa in study.kappa.items()
    )
    columns = ("Images", "Readers", "Specimens", "Fleiss' kappa")
    return Table(f"table-reader-agreement-{protocol}", f"Agreement of readers ({protocol} protocol)", columns, rows)


def error_list_table(study: ReaderStudy, algorithm: Method) -> Table:
    """Every specimen on which the algorithm and a reader differ; long, so it is a file and not in the page."""
    columns = ("Specimen", "Patient", "Reader", "Images", "Truth", "Reading", f"Call of {algorithm.name}", "Error")
    return Table(
        "table-s4-error-list", "Errors corrected and introduced", columns, tuple(error_list(study.panels, algorithm))
    )


def pathologist_agreement(
    pathology: "pd.DataFrame", patients: dict[str, str]
) -> tuple[Table, list[RaterPair], tuple[str, ...]] | None:
    """Kappas of the pathologists' WHO grades, overall and by pair; None where no two graded the same specimens.

    Parameters
    ----------
    pathology : as `cohort.read_pathology` gives it.
    patients : specimen -> patient; where all are known, intervals are by patient.
    """
    graded = pathology[pathology["who_grade"] != ""]
    table = graded.pivot(index="specimen_id", columns="pathologist", values="who_grade").astype(float)
    if table.shape[1] < 2:
        return None
    rows: list[tuple[Cell, ...]] = []
    whole = table.dropna()
    if len(whole):
        kappa = fleiss_kappa(whole.to_numpy(), groups=_groups(whole, patients))
        rows.append(("all pathologists", "Fleiss", len(whole), kappa))
    pairs = []
    for first, second in combinations(map(str, table.columns), 2):
        both = table[[first, second]].dropna()
        if len(both):
            kappa = cohen_kappa(both[first], both[second], groups=_groups(both, patients))
            weighted = cohen_kappa(both[first], both[second], weights="quadratic", groups=_groups(both, patients))
            rows.append((f"{first} and {second}", "Cohen", len(both), kappa))
            rows.append((f"{first} and {second}", "Cohen, quadratic weights", len(both), weighted))
            pairs.append(_pair(first, second, both, kappa))
    if not pairs:
        return None
    columns = ("Pathologists", "Kappa", "Specimens", "Value")
    made = Table("table-pathologists", "Agreement of pathologists on the WHO grade", columns, tuple(rows))
    return made, pairs, GRADES


def _groups(table: "pd.DataFrame", patients: dict[str, str]) -> "np.ndarray | None":
    known = [patients.get(str(specimen), "") for specimen in table.index]
    return np.array(known, object) if all(known) and len(set(known)) > 1 else None


def _pair(first: str, second: str, both: "pd.DataFrame", kappa: Kappa) -> RaterPair:
    seen = Counter(zip(both[first].astype(int), both[second].astype(int), strict=True))
    size = range(1, len(GRADES) + 1)
    return RaterPair(first, second, tuple(tuple(seen[(i, j)] for j in size) for i in size), kappa)
