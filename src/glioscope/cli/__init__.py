"""The command line: parses, wires rooms together, prints. Rooms are imported inside each command to start fast.

A module a command (or a pair of them); each registers with `_app.app`.
"""

import errno
import io
import sys
from typing import NoReturn

import typer

from glioscope._terminal import err, say_error
from glioscope.core import DeviceError, InputError, ManifestError

from . import (  # noqa: F401  (each registers its commands)
    _bench,
    _cases,
    _cohort,
    _devices,
    _devices_calibrate,
    _devices_record,
    _diagnose,
    _evaluate,
    _explain,
    _export,
    _quantities,
    _register,
    _serve,
    _sign,
    _train,
)
from ._app import app

__all__ = ["app", "main"]

DEVICE_FAILED = 3
"""Exit code where a device of the imaging unit is missing, lost or refuses."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""
_SAYABLE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EACCES", "EPERM", "EROFS", "EBUSY"),
        *("ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ENAMETOOLONG", "ELOOP"),
    )
    if hasattr(errno, name)
)
"""Operating-system errors that are the user's to mend, not ours."""


def main() -> NoReturn:
    """Run the command line; bad input is one sentence (or all problems of a manifest) and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no text, or that this terminal cannot show: print them escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        say_error(f"{error.format_message().rstrip('.')}; see glioscope --help")
        code = 2
    except ManifestError as error:
        for problem in error.problems:
            say_error(f"{error.path}: {problem}")
        code = 2
    except InputError as error:
        say_error(str(error))
        code = 2
    except DeviceError as error:
        say_error(str(error))
        code = DEVICE_FAILED
    except OSError as error:
        if error.errno is not None and error.errno not in _SAYABLE:
            raise
        say_error(f"{error.filename or 'output'}: {error.strerror}" if error.errno is not None else str(error))
        code = 2
    if code == INTERRUPTED:
        err.print()  # a progress bar may have left the cursor in its line
        training = " ".join(sys.argv[1:2]) == "train"
        say_error(
            "stopped" + ("; go on from the last whole epoch with the same command and --resume" if training else "")
        )
    sys.exit(code)
