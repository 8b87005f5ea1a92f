"""What a case consists of: the records that are sealed under its key, and the views that are read back.

Nothing is ever changed: a specimen is written once, and everything said of it later is an entry of its own.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

Pseudonym = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Letters, digits, dot, hyphen and underscore: no name of a person needs more, and none is wanted."""
Text = Annotated[str, Field(max_length=2000)]
Sector = Annotated[int, Field(ge=1, le=8)]
WhoEdition = Literal["2007", "2016", "2021"]
_PERCENT_TOLERANCE = 1.0
"""Percentages are often written rounded."""


class Record(BaseModel):
    """Sealed as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CaseRecord(Record):
    """One operation. No name, no date of birth, no hospital number."""

    patient_id: Pseudonym
    """Pseudonym of the patient; the list behind it stays in the clinic."""
    consent: bool
    """The patient agreed to research with these data."""
    icg_mg_per_kg: float | None = Field(default=None, gt=0, le=25)
    """Dose of indocyanine green in mg per kg body weight."""
    icg_given_at: AwareDatetime | None = None
    who_edition: WhoEdition = "2021"
    blind_reading: bool = False
    """The study asks for a reader's opinion before the answer is shown."""
    unit: str = ""
    unit_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the imaging unit, as it was when the case was opened."""
    suite: str = ""
    suite_sha256: str = ""
    software: str = ""
    note: Text = ""


class SpecimenRecord(Record):
    """One specimen as it was taken: answer, pictures and the conditions under which they were taken."""

    sector: Sector | None = None
    """Of the resection cavity, 1 to 8; None: not told."""
    diagnosis: dict[str, Any]
    """Contract 6, `core.Diagnosis.to_json()`."""
    images: dict[str, str] = Field(default_factory=dict)
    """"fl" (16-bit PNG) and "wl" (PNG) -> name in the image folder; as the network saw them."""
    framing: Literal["cut", "full"] = "cut"
    """"full" where no specimen was found: the whole frame was kept."""
    mm_per_px: float | None = None
    fl_exposure_ms: float | None = None
    fl_gain: float | None = None
    distance_mm: float | None = None
    irradiance_mw_cm2: float | None = None
    fl_sequence: int = 0
    wl_sequence: int = 0
    """Numbers that the cameras gave: the recording has the frames."""
    suite_sha256: str = ""
    tray: str = ""
    """Specimens of one tray share it."""


class Correction(Record):
    """What was wrong about a specimen's place; the first word stays on record."""

    kind: Literal["correction"] = "correction"
    sector: Sector | None
    reason: Text = ""


class Annotation(Record):
    """A remark."""

    kind: Literal["annotation"] = "annotation"
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Withdrawal(Record):
    """The specimen does not count: mixed up, dropped, wrong patient."""

    kind: Literal["withdrawal"] = "withdrawal"
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class Reading(Record):
    """What a reader said from the pictures alone (readings table of contract 3)."""

    kind: Literal["reading"] = "reading"
    reader: Pseudonym
    modality: Literal["fl", "wl"] = "fl"
    reading: Literal[0, 1]
    """1 is tumour."""
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    """From 1, surely non-tumour, to 5, surely tumour."""
    before_answer: bool = True
    """Given before the reader could see the network's answer."""


class Pathology(Record):
    """A pathologist's independent word, or the consensus of all (`pathologist` "consensus")."""

    kind: Literal["pathology"] = "pathology"
    pathologist: Pseudonym
    consensus: bool = False
    pathology: Literal["tumor", "non-tumor"]
    who_grade: Annotated[int, Field(ge=1, le=4)] | None = None
    diagnosis: Annotated[str, Field(max_length=200)] = ""
    ki67_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    ki67_positive: Annotated[int, Field(ge=0)] | None = None
    ki67_counted: Annotated[int, Field(ge=1)] | None = None
    """Nuclei that were positive, and that were counted."""
    idh: Literal["mutant", "wildtype"] | None = None
    codel_1p19q: Literal["yes", "no"] | None = None

    @field_validator("diagnosis")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return re.sub(r"\s+", " ", text).strip()

    @model_validator(mode="after")
    def _only_tumours(self) -> Self:
        if self.pathology == "non-tumor" and (self.who_grade is not None or self.ki67_percent is not None):
            raise ValueError("WHO grade and Ki-67 are for tumours; leave them blank for non-tumour")
        if (self.ki67_positive is None) != (self.ki67_counted is None):
            raise ValueError("Ki-67 counts need both numbers: nuclei counted, and how many were positive")
        if self.ki67_positive is None or self.ki67_counted is None:
            return self
        if self.pathology == "non-tumor":
            raise ValueError("Ki-67 is for tumours; leave its counts blank for non-tumour")
        if self.ki67_positive > self.ki67_counted:
            raise ValueError(f"{self.ki67_positive} positive nuclei of {self.ki67_counted} counted")
        percent = 100 * self.ki67_positive / self.ki67_counted
        if self.ki67_percent is not None and abs(self.ki67_percent - percent) > _PERCENT_TOLERANCE:
            raise ValueError(f"Ki-67 of {self.ki67_percent:g} % does not fit its counts, which give {percent:.1f} %")
        return self


AnyEntry = Annotated[Correction | Annotation | Withdrawal | Reading | Pathology, Field(discriminator="kind")]


class Entry(BaseModel):
    """Something said of a specimen later: by whom, when, what."""

    model_config = ConfigDict(frozen=True)

    entry_id: str
    account: str
    at: datetime
    said: AnyEntry


class Specimen(BaseModel):
    """A specimen with everything that was said of it since, oldest first."""

    model_config = ConfigDict(frozen=True)

    specimen_id: str
    """Unique everywhere; also on the QR label."""
    case_id: str
    number: int
    """Running number within the case, from 1."""
    taken_at: datetime
    account: str
    record: SpecimenRecord
    entries: tuple[Entry, ...] = ()

    @property
    def sector(self) -> int | None:
        """As it was corrected last."""
        corrections = [entry.said.sector for entry in self.entries if isinstance(entry.said, Correction)]
        return corrections[-1] if corrections else self.record.sector

    @property
    def withdrawn(self) -> str:
        """Why it does not count; empty if it does."""
        return next((entry.said.reason for entry in self.entries if isinstance(entry.said, Withdrawal)), "")

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What readers said."""
        return tuple(entry.said for entry in self.entries if isinstance(entry.said, Reading))

    @property
    def opinions(self) -> tuple[Pathology, ...]:
        """The newest word of each pathologist, the consensus left out."""
        said = [entry.said for entry in self.entries if isinstance(entry.said, Pathology)]
        newest = {word.pathologist: word for word in said if not word.consensus}
        return tuple(newest.values())

    @property
    def truth(self) -> Pathology | None:
        """The consensus given last; without one, the only pathologist's word; None: not known (yet)."""
        agreed = [e.said for e in self.entries if isinstance(e.said, Pathology) and e.said.consensus]
        if agreed:
            return agreed[-1]
        return self.opinions[0] if len(self.opinions) == 1 else None

    @property
    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        """Task -> its answer in contract 6."""
        tasks: Mapping[str, Mapping[str, Any]] = self.record.diagnosis.get("tasks", {})
        return tasks


class Case(BaseModel):
    """A case with its specimens, in the order in which they were taken."""

    model_config = ConfigDict(frozen=True)

    case_id: str
    data_kind: Literal["real", "simulated"]
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None = None
    version: int
    """Rises with every amendment of the record: whoever amends an older one is told."""
    record: CaseRecord
    specimens: tuple[Specimen, ...] = ()


class CaseSummary(BaseModel):
    """A line in the list of cases; `patient_id` is None for an erased one."""

    model_config = ConfigDict(frozen=True)

    case_id: str
    data_kind: Literal["real", "simulated"]
    patient_id: str | None
    opened_at: datetime
    closed_at: datetime | None
    erased_at: datetime | None
    n_specimens: int
