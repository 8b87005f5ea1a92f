"""Running the command line as a person does, in this process or in another."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from glioscope.cli import main

GLIOSCOPE = Path(sys.executable).parent / "glioscope"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The sentences that begin with "error", without that word."""
        return [line.removeprefix("error ") for line in self.err.splitlines() if line.startswith("error ")]


def run(*arguments: object) -> Ran:
    """`glioscope ARGUMENTS` in this process: importing torch in a new one for every case takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["glioscope", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def refused(ran: Ran, *words: str) -> str:
    """Check exit code 2 and exactly one error sentence that has all of `words`; gives the sentence."""
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err
    assert len(ran.errors) == 1, ran.err
    for word in words:
        assert word in ran.errors[0], (word, ran.errors[0])
    return ran.errors[0]
