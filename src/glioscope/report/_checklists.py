"""Reporting checklists of journals, filled in as far as a run and `study.toml` truly know; the rest is the authors'.

The lists are data (`checklists/*.toml`): item numbers of the published checklists, topics in our own words. `fill`
answers an item only if every fact it asks for is known; it judges nothing.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from glioscope.cohort import StudyInfo
from glioscope.core import InputError

CHECKLISTS: Final = ("stard_ai", "tripod_ai", "claim")
"""STARD-AI (2025), TRIPOD+AI (2024) and CLAIM (2024 update)."""
TO_COMPLETE: Final = "to be completed by the authors"

STUDY_FACTS: Final[Mapping[str, str]] = {
    "objectives": "objectives, hypotheses and end-points",
    "design": "prospective or retrospective collection of data",
    "ethics": "committee and number of the approval, or why none was needed",
    "consent": "informed consent",
    "eligibility": "inclusion and exclusion criteria of patients",
    "specimen_eligibility": "which specimens and images of a patient were used",
    "identification": "on what basis patients were found",
    "sites": "where patients were enrolled",
    "enrolment_dates": "first and last day of enrolment",
    "sampling": "consecutive, random or convenience series",
    "data_source": "where the data come from",
    "imaging_system": "cameras, lens, filter, laser",
    "icg": "dye, dose and time before anaesthesia",
    "index_test": "the test whose accuracy is measured",
    "intended_users": "who is meant to use it, with which expertise",
    "reader_blinding": "what readers of the images knew",
    "reference_standard": "what the test is measured against",
    "reference_rationale": "why this reference standard",
    "reference_categories": "its cut-offs and categories",
    "reference_blinding": "what the pathologists knew",
    "reference_interval": "time and interventions between the two",
    "assessors": "the pathologists and their experience",
    "flow": "patients approached, excluded, enrolled and analysed",
    "sample_size": "planned size and what it rests on",
    "registration": "registry, number and date, or that there is none",
    "protocol": "where the full protocol can be read",
    "funding": "sources of funding and the role of funders",
    "competing_interests": "interests of the authors",
    "data_availability": "where data can be had",
    "code_availability": "where code can be had",
    "deidentification": "how data were de-identified",
    "fairness": "how fairness was assessed, or that it was not",
    "patient_involvement": "involvement of patients and the public",
    "adverse_events": "adverse events of either test",
}
"""Facts that `study_facts` takes from `study.toml`, and what each says."""

RUN_FACTS: Final[Mapping[str, str]] = {
    "n_patients": "patients in all and in each role",
    "n_specimens": "specimens in all, of each class and in each role",
    "data_split": "how patients were divided, and that no patient is on two sides",
    "preprocessing": "what is done to an image before a network sees it",
    "architecture": "the networks, their inputs and outputs",
    "initialisation": "the weights that training started from",
    "training": "augmentation, optimiser and all settings of training",
    "class_balance": "how unequal classes were weighted",
    "model_selection": "how the model that answers was chosen, and on whom",
    "model_files": "the model as files that others can run",
    "software_version": "versions of glioscope and of the libraries that matter",
    "thresholds": "rule and value of each threshold, and on whom it was chosen",
    "calibration": "how probabilities were calibrated and on whom, or that they were not",
    "statistics": "measures of accuracy and methods of comparison",
    "intervals": "how confidence intervals were made",
    "missing_labels": "how many labels are missing in each task, and that they are masked",
    "indeterminate": "how many answers were indeterminate or not assessable, and how they count",
    "subgroups": "accuracy in subgroups, and whether they were planned",
    "heterogeneity": "spread of accuracy between patients",
    "severity": "grades and Ki-67 levels of tumour specimens",
    "cross_tabulation": "where the counts of right and wrong answers stand",
    "accuracy": "where the estimates of accuracy stand",
    "errors": "errors of models and readers, corrected and introduced",
    "agreement": "agreement between pathologists",
    "outputs": "where the answer to each specimen is kept",
}
"""Facts that an evaluation knows itself, and what each says."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a checklist: its published number, and the facts that answer it (none: only the authors can)."""

    id: str
    section: str
    topic: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checklist:
    """A published checklist; `note` says how sure we are of its rows."""

    name: str
    version: str
    source: str
    note: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class FilledItem:
    """A row with its answer; `missing` are the facts that it lacks, () where it is answered or only authors can."""

    item: Item
    answer: str
    missing: tuple[str, ...] = ()


def load_checklist(name: str) -> Checklist:
    """One of `CHECKLISTS`.

    Raises
    ------
    InputError : another name.
    """
    if name not in CHECKLISTS:
        raise InputError(f"checklist {name!r} is not known; there are {', '.join(CHECKLISTS)}")
    text = files("glioscope.report").joinpath("checklists", f"{name}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    items = tuple(
        Item(number, section["name"], topic, tuple(facts))
        for section in content["section"]
        for number, topic, *facts in section["items"]
    )
    return Checklist(content["name"], content["version"], content["source"], content["note"], items)


def fill(checklist: Checklist, facts: Mapping[str, str]) -> tuple[FilledItem, ...]:
    """Answer the items whose facts are all known; the others say that the authors have to complete them.

    Parameters
    ----------
    facts : key of `STUDY_FACTS` or `RUN_FACTS` -> one sentence; a blank one is unknown.

    Raises
    ------
    InputError : a key that no checklist asks for.
    """
    known = {**STUDY_FACTS, **RUN_FACTS}
    for key in facts:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise InputError(f"fact {key!r} is not known" + (f"; did you mean {close[0]!r}?" if close else ""))
    return tuple(_filled(item, facts) for item in checklist.items)


def _filled(item: Item, facts: Mapping[str, str]) -> FilledItem:
    missing = tuple(key for key in item.facts if not facts.get(key, "").strip())
    if missing or not item.facts:
        return FilledItem(item, TO_COMPLETE, missing)
    return FilledItem(item, "; ".join(dict.fromkeys(facts[key].strip().rstrip(".") for key in item.facts)))


def study_facts(study: StudyInfo) -> dict[str, str]:
    """What `study.toml` says, as facts of `STUDY_FACTS`; what it does not say is left out."""
    test, reference, statements = study.index_test, study.reference_standard, study.statements
    facts = {
        "objectives": study.objectives and _joined(study.objectives, *_endpoints(study)),
        "design": study.design and f"{study.design} collection of data",
        "ethics": _joined(_joined(study.ethics.committee, study.ethics.reference, by=", "), study.ethics.statement),
        "consent": study.ethics.consent,
        "eligibility": study.eligibility.inclusion and _joined(*_criteria(study)),
        "specimen_eligibility": study.eligibility.specimens,
        "identification": study.eligibility.identification,
        "sites": _joined(*study.sites),
        "enrolment_dates": study.enrolment and f"{study.enrolment.start} to {study.enrolment.end}",
        "sampling": study.sampling and f"{study.sampling} series",
        "data_source": study.data_source,
        "imaging_system": _imaging_system(study),
        "icg": _icg(study),
        "index_test": test.description,
        "intended_users": test.intended_users,
        "reader_blinding": test.readers_knew,
        "reference_standard": reference.description,
        "reference_rationale": reference.rationale,
        "reference_categories": reference.categories,
        "reference_blinding": reference.assessors_knew,
        "reference_interval": reference.interval,
        "assessors": _assessors(study),
        "flow": _flow(study),
        "sample_size": _sample_size(study),
        "registration": _registration(study),
        "protocol": study.registration.protocol,
        **statements.model_dump(),
    }
    return {key: text for key, text in facts.items() if text}


def _joined(*parts: str | None, by: str = "; ") -> str:
    return by.join(part for part in parts if part)


def _said(sentence: str, value: object) -> str:
    return "" if value is None else sentence.format(value)


def _endpoints(study: StudyInfo) -> list[str]:
    named = (("primary", study.endpoints.primary), ("secondary", study.endpoints.secondary))
    return [f"{rank} end-points: {', '.join(points)}" for rank, points in named if points]


def _criteria(study: StudyInfo) -> list[str]:
    named = (("inclusion", study.eligibility.inclusion), ("exclusion", study.eligibility.exclusion))
    return [f"{kind}: {', '.join(criteria)}" for kind, criteria in named if criteria]


def _imaging_system(study: StudyInfo) -> str:
    system = study.imaging
    if system.fl_camera is None:
        return ""
    wavelength = _said("laser {:g} nm", system.laser_wavelength_nm)
    light = _joined(wavelength, _said("{:g} mW/cm2", system.irradiance_mw_cm2), by=", ")
    return _joined(system.fl_camera, system.fl_lens, system.fl_filter, system.wl_camera, light)


def _icg(study: StudyInfo) -> str:
    icg = study.icg
    if icg.dose_mg_per_kg is None or icg.hours_before_anaesthesia is None:
        return ""
    dose = f"{icg.dose_mg_per_kg:g} mg/kg, {icg.hours_before_anaesthesia:g} h before anaesthesia"
    return _joined(icg.product, dose, by=", ")


def _assessors(study: StudyInfo) -> str:
    people = (
        _joined(one.pathologist, one.role, _said("{:g} years", one.experience_years), by=", ")
        for one in study.pathologists
    )
    return _joined(*people)


def _flow(study: StudyInfo) -> str:
    flow = study.flow
    if flow.approached is None or flow.enrolled is None or flow.analysed is None:
        return ""
    lost = ", ".join(f"{one.n} {one.reason}" for one in (*flow.excluded, *flow.withdrawn))
    numbers = f"{flow.approached} patients approached, {flow.enrolled} enrolled, {flow.analysed} analysed"
    return _joined(numbers, lost and f"left out: {lost}")


def _sample_size(study: StudyInfo) -> str:
    planned = study.sample_size
    if planned.patients is None or planned.rationale is None:
        return ""
    numbers = planned.model_dump(exclude={"patients", "rationale"}, exclude_none=True)
    assumed = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items())
    return _joined(f"{planned.patients} patients planned", planned.rationale, assumed and f"assumed: {assumed}")


def _registration(study: StudyInfo) -> str:
    entry = study.registration
    if entry.number is None:
        return entry.statement or ""
    moment = {True: "retrospectively", False: "prospectively", None: None}[entry.retrospective]
    day = _said("registered on {}", entry.registered_on)
    return _joined(_joined(entry.registry, entry.number, day, moment, by=", "), entry.statement)
