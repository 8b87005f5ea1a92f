"""Which status of HTTP an error is."""

from glioscope.cases import CaseConflict, CaseErased, NoSuchCase, NotAllowed
from glioscope.core import DeviceError

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotAllowed, 403),
    (NoSuchCase, 404),
    (CaseErased, 410),
    (CaseConflict, 409),
    (DeviceError, 503),
)


def status_of(error: Exception) -> int:
    """403 not allowed, 404 unknown, 410 erased, 409 out of date, 503 a device; else 400."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
