"""`study.toml` (contract 1): what a study report needs and no table of specimens says."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from glioscope.core import read_toml

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)]
Metric = Literal["auc", "sensitivity", "specificity", "ppv", "npv", "f1", "accuracy"]


def _refuse_repeated(names: Sequence[str], what: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{what} {name!r} stands twice")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(_Record):
    """From the first to the last day, both included."""

    start: date
    end: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self


class Eligibility(_Record):
    """Who could take part."""

    inclusion: tuple[Text, ...] = ()
    exclusion: tuple[Text, ...] = ()
    identification: Text | None = None
    """On what basis patients were found, for example symptoms or an earlier image."""
    specimens: Text | None = None
    """Which specimens and images of a patient were used."""


class Ethics(_Record):
    """Approval and consent."""

    committee: Text | None = None
    reference: Text | None = None
    """Number of the approval."""
    consent: Text | None = None
    statement: Text | None = None
    """What else there is to say, for example why no approval was needed."""


class Registration(_Record):
    """Where the study was registered, and when."""

    registry: Text | None = None
    number: Text | None = None
    registered_on: date | None = None
    retrospective: bool | None = None
    """Whether it was registered after the first patient was enrolled."""
    protocol: Text | None = None
    """Where the full protocol can be read, or that there is none."""
    statement: Text | None = None
    """What else there is to say, for example that the study was not registered."""


class Endpoints(_Record):
    """What the study set out to measure."""

    primary: tuple[Text, ...] = ()
    secondary: tuple[Text, ...] = ()


class IndexTest(_Record):
    """The test whose accuracy is measured."""

    description: Text | None = None
    intended_users: Text | None = None
    """Who is meant to use it, with which expertise."""
    readers_knew: Text | None = None
    """What of the patient and of the reference standard the readers of the images knew."""


class ReferenceStandard(_Record):
    """What the test is measured against."""

    description: Text | None = None
    rationale: Text | None = None
    categories: Text | None = None
    """Cut-offs and result categories, and why these."""
    assessors_knew: Text | None = None
    """What of the patient and of the index test the pathologists knew."""
    interval: Text | None = None
    """Time, and anything done, between index test and reference standard."""


class ICG(_Record):
    """Indocyanine green as given."""

    product: Text | None = None
    dose_mg_per_kg: Positive | None = None
    hours_before_anaesthesia: Positive | None = None


class ImagingSystem(_Record):
    """What took the images."""

    fl_camera: Text | None = None
    fl_lens: Text | None = None
    fl_filter: Text | None = None
    wl_camera: Text | None = None
    laser_wavelength_nm: Positive | None = None
    irradiance_mw_cm2: Positive | None = None
    """At the tissue."""


class Reader(_Record):
    """One who read images."""

    reader: Text
    """As in the readings table."""
    role: Text | None = None
    experience_years: NonNegative | None = None
    training: Text | None = None
    """With these images, before reading."""


class Pathologist(_Record):
    """One who gave the reference standard."""

    pathologist: Text
    """As in the pathology table."""
    role: Text | None = None
    experience_years: NonNegative | None = None


class Exclusion(_Record):
    """How many were left out, and why."""

    reason: Text
    n: Count


class Flow(_Record):
    """Numbers of the STARD flow diagram: patients, then specimens."""

    approached: Count | None = None
    """Patients who were potentially eligible."""
    excluded: tuple[Exclusion, ...] = ()
    """Patients left out before enrolment."""
    enrolled: Count | None = None
    withdrawn: tuple[Exclusion, ...] = ()
    """Patients left out after enrolment."""
    analysed: Count | None = None
    specimens: Count | None = None
    """Specimens taken from the patients analysed."""
    specimens_excluded: tuple[Exclusion, ...] = ()
    specimens_analysed: Count | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for before, left_out, after in (
            ("approached", "excluded", "enrolled"),
            ("enrolled", "withdrawn", "analysed"),
            ("specimens", "specimens_excluded", "specimens_analysed"),
        ):
            start, end = getattr(self, before), getattr(self, after)
            lost = sum(exclusion.n for exclusion in getattr(self, left_out))
            if start is not None and end is not None and start - lost != end:
                raise ValueError(f"{before} {start} less {left_out} {lost} is not {after} {end}")
        return self


class SampleSize(_Record):
    """What the planned size rests on."""

    patients: Count | None = None
    """Planned."""
    specimens_per_patient: Positive | None = None
    cv_of_cluster_size: NonNegative | None = None
    """Standard deviation of the specimens per patient divided by their mean."""
    icc: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] | None = None
    """Intraclass correlation of right answers within a patient."""
    prevalence: Share | None = None
    sensitivity: Share | None = None
    specificity: Share | None = None
    auc: Share | None = None
    ci_width: Share | None = None
    """Full width of the confidence interval that was aimed at."""
    rationale: Text | None = None


class PlannedTest(_Record):
    """One test of a family: is `a` better than `b`?"""

    task: Text
    a: Text
    b: Text
    """Models as in the predictions table, or readers as the report names them."""
    metric: Metric

    @model_validator(mode="after")
    def _two_methods(self) -> Self:
        if self.a == self.b:
            raise ValueError(f"a test of {self.a!r} against itself")
        return self


class Family(_Record):
    """Tests that share one error rate: their P values are adjusted together by Holm's method."""

    name: Text
    tests: Annotated[tuple[PlannedTest, ...], Field(min_length=1)]


class Comparisons(_Record):
    """What was planned to be compared."""

    primary: Text | None = None
    """The model under study, against which others and readers are compared."""
    families: tuple[Family, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _refuse_repeated([family.name for family in self.families], "family")
        for family in self.families:
            tests = [f"{test.task} {test.a} against {test.b} in {test.metric}" for test in family.tests]
            _refuse_repeated(tests, f"family {family.name!r}: test")
        everywhere = [t for family in self.families for t in family.tests]
        pairs = [f"{t.task} {' against '.join(sorted((t.a, t.b)))} in {t.metric}" for t in everywhere]
        _refuse_repeated(pairs, "over all families, test")
        return self


class Statements(_Record):
    """Sentences that are printed as they stand."""

    funding: Text | None = None
    competing_interests: Text | None = None
    data_availability: Text | None = None
    code_availability: Text | None = None
    deidentification: Text | None = None
    fairness: Text | None = None
    """How fairness was assessed, or that it was not."""
    patient_involvement: Text | None = None
    adverse_events: Text | None = None


class StudyInfo(_Record):
    """A study as its authors describe it. Everything is optional: what is absent is left for them to complete."""

    title: Text | None = None
    data_kind: Literal["simulated", "real"] | None = None
    """As in the manifest."""
    objectives: Text | None = None
    """And hypotheses."""
    design: Literal["prospective", "retrospective"] | None = None
    """Whether data collection was planned before or after the tests were done."""
    sampling: Literal["consecutive", "random", "convenience"] | None = None
    """How patients were taken from those who were eligible."""
    data_source: Text | None = None
    """Routine care, collected for this study, or a public repository."""
    sites: tuple[Text, ...] = ()
    enrolment: Period | None = None
    eligibility: Eligibility = Eligibility()
    ethics: Ethics = Ethics()
    registration: Registration = Registration()
    endpoints: Endpoints = Endpoints()
    index_test: IndexTest = IndexTest()
    reference_standard: ReferenceStandard = ReferenceStandard()
    icg: ICG = ICG()
    imaging: ImagingSystem = ImagingSystem()
    readers: tuple[Reader, ...] = ()
    pathologists: tuple[Pathologist, ...] = ()
    flow: Flow = Flow()
    sample_size: SampleSize = SampleSize()
    comparisons: Comparisons = Comparisons()
    statements: Statements = Statements()

    @model_validator(mode="after")
    def _people_once(self) -> Self:
        _refuse_repeated([reader.reader for reader in self.readers], "reader")
        _refuse_repeated([pathologist.pathologist for pathologist in self.pathologists], "pathologist")
        return self


def read_study(path: Path | str) -> StudyInfo:
    """Read `study.toml`.

    Raises
    ------
    InputError : missing file, no TOML, a field that is unknown or wrong; one sentence names the file and the field.
    """
    return read_toml(path, StudyInfo)
