"""Where the answers of `diagnose` go: JSON lines, a table, an answers file, pictures."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from glioscope._terminal import print_answers, print_tally, say, say_error
from glioscope.core import Diagnosis

if TYPE_CHECKING:
    from glioscope.runtime import Cascade

    from ._archive import AnswersFile


class Output:
    """Takes answers one by one; keeps in memory only what a table needs, and nothing where they go to a file.

    Parameters
    ----------
    cascade : that answers.
    as_json : print JSON lines instead of a table.
    heatmaps : folder for a picture of each answer's heatmap, or None.
    file : answers file to add to, or None; then a count is printed in place of the table.
    """

    def __init__(
        self,
        cascade: "Cascade",
        *,
        as_json: bool,
        heatmaps: Path | None = None,
        file: "AnswersFile | None" = None,
    ) -> None:
        self._cascade, self._as_json, self._heatmaps, self._file = cascade, as_json, heatmaps, file
        self._shown: list[Diagnosis] = []
        self._count = 0
        self._failed = 0
        self._decisions: Counter[str] = Counter()

    def take(self, answer: Diagnosis) -> None:
        """Write, print or keep one answer."""
        if self._heatmaps is not None and answer.error is None:
            from glioscope.runtime import write_heatmaps

            answer = write_heatmaps(self._heatmaps, answer, self._cascade)
        record = {**answer.to_json(), "data_kind": self._cascade.data_kind, "signed_by": self._cascade.signed_by}
        self._count += 1
        self._failed += answer.error is not None
        self._decisions["error" if answer.error is not None else answer.decision.value] += 1
        if self._file is not None:
            self._file.write(record)
        if self._as_json:
            print(json.dumps(record), flush=True)  # noqa: T201
        elif self._file is None:
            self._shown.append(replace(answer, pixels={}, mask=None))

    def end(self) -> None:
        """Print what remains to be printed.

        Raises
        ------
        typer.Exit : code 2, where a specimen could not be diagnosed.
        """
        kind = self._cascade.data_kind
        if self._heatmaps is not None and self._count:
            from glioscope.runtime import MEANING

            say("note", "cyan", f"{self._heatmaps}: {MEANING}")
        if self._file is not None:
            print_tally(self._decisions, self._file.path, len(self._file.done), kind)
        elif not self._as_json:
            names = {task: bundle.info.name for task, bundle in self._cascade.bundles.items()}
            print_answers(self._shown, names, kind)
        if self._failed:
            say_error(f"{self._failed} of {self._count} specimens could not be diagnosed")
            raise typer.Exit(2)
