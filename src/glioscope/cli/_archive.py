"""Many specimens: from a manifest to image sets, and an answers file that can be continued."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from glioscope._terminal import say
from glioscope.core import Diagnosis, InputError

if TYPE_CHECKING:
    from glioscope.cohort import Cohort
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import Cascade


def manifest_sources(manifest: Path) -> tuple[list[list["SpecimenSource"]], dict[str, str]]:
    """Image sets by specimen, and why some specimens must not be answered.

    Raises
    ------
    InputError : the manifest cannot be read, or a specimen stands under two patients.
    """
    from glioscope.cohort import load_manifest, sources

    cohort = load_manifest(manifest, on_error="keep")
    faults = _faults(cohort)
    by_specimen: dict[str, list[SpecimenSource]] = {}
    owner: dict[str, str] = {}
    for source, patient in zip(sources(cohort), cohort.table["patient_id"], strict=True):
        first = owner.setdefault(source.specimen_id, patient)
        if patient != first:
            raise InputError(f"{manifest}: specimen {source.specimen_id} stands under patients {first} and {patient}")
        by_specimen.setdefault(source.specimen_id, []).append(source)
    if not by_specimen:
        raise InputError(f"{manifest}: no row names a patient and a specimen")
    return list(by_specimen.values()), faults


def answers(
    cascade: "Cascade", specimens: Iterable[list["SpecimenSource"]], faults: Mapping[str, str]
) -> Iterator[Diagnosis]:
    """Diagnose all specimens in their order; those with a fault get it as their error."""
    answerable = (sets for sets in specimens if sets[0].specimen_id not in faults)
    answered = cascade.diagnose_many(answerable)
    for sets in specimens:
        name = sets[0].specimen_id
        yield Diagnosis(name, error=faults[name]) if name in faults else next(answered)


class AnswersFile:
    """JSON lines that grow as answers come, and that a later run continues.

    Every line carries the hash of the suite; a last line that was cut off is written again.

    Parameters
    ----------
    path : made where it is not there.
    suite_sha256 : of the suite's `suite.json`.

    Raises
    ------
    InputError : the file has a line that is no answer, or the answers of another suite.
    """

    def __init__(self, path: Path, suite_sha256: str) -> None:
        self.path, self._suite = path, suite_sha256
        self.done: dict[str, bool] = {}
        """Specimens answered before -> whether with an error."""
        whole = self._read() if path.exists() else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[bytes] = path.open("ab")
        self._stream.truncate(whole)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one answer; it is with the operating system when this returns."""
        self._stream.write(json.dumps({**record, "suite_sha256": self._suite}).encode() + b"\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _read(self) -> int:
        """Note what is done; returns the length of the whole lines in bytes."""
        whole = 0
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break
                self._note(number, line)
                whole += len(line)
        return whole

    def _note(self, number: int, line: bytes) -> None:
        try:
            record = json.loads(line)
            name, suite, failed = record["specimen_id"], record["suite_sha256"], record["error"] is not None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.path}: line {number} is not an answer; give --out another name") from error
        if suite != self._suite:
            raise InputError(f"{self.path}: line {number} is the answer of another suite; give --out another name")
        self.done[str(name)] = failed


def _faults(cohort: "Cohort") -> dict[str, str]:
    """Specimen -> what is wrong with cells that decide which pixels a network sees.

    Such a cell was left blank on reading, so that an answer would rest on a guess. Other problems (labels, which need
    not be known here) are only told.
    """
    from glioscope.imaging import SpecimenSource

    needed = {"image_id", *(field.name for field in fields(SpecimenSource))}
    owner = dict[int | None, str](zip(cohort.table["row"], cohort.table["specimen_id"], strict=True))
    found: dict[str, list[str]] = {}
    for problem in cohort.problems:
        whole_row = problem.column is None
        if problem.row in owner and (whole_row or needed & set(str(problem.column).split(", "))):
            found.setdefault(owner[problem.row], []).append(str(problem))
        else:
            say("warning", "yellow", f"{cohort.path}: {problem}")
    return {specimen: "; ".join(sentences) for specimen, sentences in found.items()}
