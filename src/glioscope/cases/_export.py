"""From cases to training data: a folder that `cohort` reads like any other."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glioscope.core import InputError, atomic_folder, sha256_of

from ._export_rows import (
    MANIFEST_COLUMNS,
    PATHOLOGY_COLUMNS,
    PREDICTION_COLUMNS,
    READING_COLUMNS,
    Row,
    blind_readings,
    counts_contradict,
    manifest_row,
    pathology_rows,
    prediction_rows,
    reading_rows,
)
from ._keys import CaseErased
from ._records import Case, Specimen
from ._roles import Action, Actor
from ._tables import CaseRow

if TYPE_CHECKING:
    from ._store import CaseStore

WITHDRAWN: Final = "specimens withdrawn"
NO_PICTURES: Final = "specimens without pictures"
NOT_FOUND: Final = "specimens not found in the frame"
NO_CONSENT: Final = "cases without consent"
ERASED: Final = "cases erased"
_PAGE: Final = 500

Labels = Mapping[tuple[str, str], float]
"""(specimen_id, task) -> `y_true`."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written to `folder`, and what was left out, by reason."""

    folder: Path
    data_kind: str
    n_cases: int
    n_patients: int
    n_specimens: int
    n_labelled: int
    """Specimens whose pathology is known."""
    n_opinions: int
    n_readings: int
    n_predictions: int
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def export_cases(
    store: "CaseStore",
    out: Path,
    *,
    actor: Actor,
    case_ids: Sequence[str] | None = None,
    labels: Callable[[Path], Labels] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExportSummary:
    """Write `manifest.csv`, `pathology.csv`, `readings.csv`, `predictions.csv`, `study.toml` and `images/` to `out`.

    The folder appears whole or not at all; before it does, the audit trail has a link for each case in it. Withdrawn
    specimens, specimens without pictures, cases without consent and erased cases are left out and counted. Specimens
    without pathology have blank labels. Images are those that the network saw, byte for byte.

    Parameters
    ----------
    out : new, or an empty folder.
    case_ids : which cases; None: all.
    labels : reads the manifest that was just written and gives the `y_true` of the predictions (blank without); what it
        raises stops the export.
    progress : called with (cases done, cases in all).

    Raises
    ------
    NotAllowed : the actor may not export.
    NoSuchCase : no case of this name.
    InputError : `out` holds something, simulated and real cases together, or nothing is left to export.
    """
    actor.check(Action.EXPORT)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; give a new folder")
    wanted = list(dict.fromkeys(case_ids)) if case_ids is not None else list(_all_cases(store))
    with atomic_folder(out) as folder:
        export = _Export(store, folder)
        for done, case_id in enumerate(wanted, start=1):
            export.add(case_id)
            if progress is not None:
                progress(done, len(wanted))
        export.write(labels)
        _leave_trace(store, actor, export, sha256_of(folder / "manifest.csv"))
    return export.summary(out)


class _Export:
    """What is known of an export while it is being written."""

    def __init__(self, store: "CaseStore", folder: Path) -> None:
        self._store, self._folder = store, folder
        self._specimens: list[tuple[Case, Specimen, dict[str, str]]] = []
        self._left_out: Counter[str] = Counter()
        self._counts = dict.fromkeys(("opinions", "readings", "predictions"), 0)
        (folder / "images").mkdir()

    @property
    def cases(self) -> list[Case]:
        """Those of which something is exported."""
        return list({case.case_id: case for case, _, _ in self._specimens}.values())

    def add(self, case_id: str) -> None:
        """Take what may be taken of a case; its images are copied at once, so that they are not kept in memory."""
        try:
            case = self._store.case(case_id)
        except CaseErased:
            self._left_out[ERASED] += 1
            return
        if not case.record.consent:
            self._left_out[NO_CONSENT] += 1
            return
        for specimen in case.specimens:
            reason = _why_not(specimen)
            if reason:
                self._left_out[reason] += 1
            else:
                self._specimens.append((case, specimen, self._copy_images(specimen)))

    def write(self, labels: Callable[[Path], Labels] | None) -> None:
        """Write the tables."""
        kinds = sorted({case.data_kind for case, _, _ in self._specimens})
        if len(kinds) > 1:
            raise InputError("simulated and real cases cannot be exported together; name the cases")
        if not self._specimens:
            why = ", ".join(f"{count} {reason}" for reason, count in self._left_out.items())
            raise InputError(f"there is nothing to export{f': {why}' if why else ''}")
        self._table("manifest.csv", MANIFEST_COLUMNS, (manifest_row(*parts) for parts in self._specimens))
        known = labels(self._folder / "manifest.csv") if labels is not None else {}
        specimens = [specimen for _, specimen, _ in self._specimens]
        opinions = [row for specimen in specimens for row in pathology_rows(specimen)]
        readings = list(reading_rows([(s.specimen_id, entry) for s in specimens for entry in blind_readings(s)]))
        said = [row for case, specimen, _ in self._specimens for row in prediction_rows(case, specimen, known)]
        self._counts = {"opinions": len(opinions), "readings": len(readings), "predictions": len(said)}
        for name, columns, rows in (
            ("pathology.csv", PATHOLOGY_COLUMNS, opinions),
            ("readings.csv", READING_COLUMNS, readings),
            ("predictions.csv", PREDICTION_COLUMNS, said),
        ):
            if rows:
                self._table(name, columns, rows)
        readers, pathologists = (sorted({row[key] for row in rows}) for key, rows in _people(readings, opinions))
        text = _study(kinds[0], readers, pathologists)
        (self._folder / "study.toml").write_text(text, encoding="utf-8")

    def summary(self, out: Path) -> ExportSummary:
        """What there is now."""
        cases = self.cases
        return ExportSummary(
            out,
            cases[0].data_kind,
            len(cases),
            len({case.record.patient_id for case in cases}),
            len(self._specimens),
            sum(specimen.truth is not None for _, specimen, _ in self._specimens),
            self._counts["opinions"],
            self._counts["readings"],
            self._counts["predictions"],
            dict(self._left_out),
            tuple(self._remarks()),
        )

    def _remarks(self) -> Iterator[str]:
        for _, specimen, _ in self._specimens:
            if len(specimen.opinions) > 1 and specimen.truth is None:
                yield f"specimen {specimen.specimen_id}: {len(specimen.opinions)} pathologists, no consensus: no labels"
            if any(counts_contradict(word) for word in specimen.opinions):
                yield f"specimen {specimen.specimen_id}: the Ki-67 counts contradict the percentage and are left out"

    def _copy_images(self, specimen: Specimen) -> dict[str, str]:
        paths = {}
        for slot, name in specimen.record.images.items():
            paths[slot] = f"images/{specimen.specimen_id}_{slot}.png"
            (self._folder / paths[slot]).write_bytes(self._store.image(specimen.case_id, name))
        return paths

    def _table(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        with (self._folder / name).open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows({name: "" if cell is None else cell for name, cell in row.items()} for row in rows)


def _all_cases(store: "CaseStore") -> Iterator[str]:
    """Oldest first, so that an export grows at its end."""
    found: list[str] = []
    while page := store.summaries(limit=_PAGE, offset=len(found)):
        found += [summary.case_id for summary in page]
    return reversed(found)


def _why_not(specimen: Specimen) -> str:
    if specimen.withdrawn:
        return WITHDRAWN
    if not specimen.record.images:
        return NO_PICTURES
    return NOT_FOUND if specimen.record.framing == "full" else ""


def _people(readings: list[Row], opinions: list[Row]) -> tuple[tuple[str, list[Row]], tuple[str, list[Row]]]:
    own = [row for row in opinions if row["pathologist"] != "consensus"]
    return ("reader", readings), ("pathologist", own)


def _study(data_kind: str, readers: Sequence[str], pathologists: Sequence[str]) -> str:
    """A beginning of `study.toml` (docs/study-files.md), for the authors to complete."""
    lines = ["# What the case store knows; docs/study-files.md has what a report needs beside it.", ""]
    lines.append(f"data_kind = {json.dumps(data_kind)}")
    for table, key, names in (("readers", "reader", readers), ("pathologists", "pathologist", pathologists)):
        for name in names:
            lines += ["", f"[[{table}]]", f"{key} = {json.dumps(name)}"]
    return "\n".join(lines) + "\n"


def _leave_trace(store: "CaseStore", actor: Actor, export: _Export, digest: str) -> None:
    """A link for each case that leaves the store, with the hash of the manifest, before the folder appears."""
    with store.database.writing() as session:
        for case in export.cases:
            row = session.get(CaseRow, case.case_id)
            if row is None or row.erased_at is not None or row.version != case.version:
                raise InputError(f"case {case.case_id} was erased or amended during the export: start again")
            store.audit.append(session, actor, Action.EXPORT, case_id=case.case_id, digest=digest)
    with store.database.session() as session:
        store.audit.note_head(session)
