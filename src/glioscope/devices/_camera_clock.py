"""When a frame was exposed: a camera's own time stamps, laid onto this machine's monotonic clock.

Two stamps come with a frame: the camera's own (regular, but on a clock that starts anywhere and drifts) and the
driver's "received at" (this machine's wall clock, late by what network and threads took). The smallest difference
between the two so far is the best guess of how the clocks lie to each other, since nothing arrives before it is sent.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

DRIFT = 2e-4
_STEP_S = 0.005
_BELIEVED_S = 10.0
_AFTER_STEP_S = 1.0


class CameraClock:
    """Gives the monotonic time of each frame; frames must come in order. Not for several threads.

    The offset between the clocks may fall at once but rise by `DRIFT` (200 ppm) at most: a batch of frames that was
    held up somewhere keeps its true age. A reception stamp is not believed when it lies ahead of now or over 10 s
    back, nor for a second after the wall clock was set; then only the camera's own stamp and the present count.

    Parameters
    ----------
    delay_s : from the end of exposure until the frame is received at best (readout, first packet); subtracted.
    monotonic, wall : clocks, for tests.
    """

    def __init__(
        self,
        delay_s: float = 0.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._delay_s = delay_s
        self._monotonic, self._wall = monotonic, wall
        self._offset_s: float | None = None
        self._camera_s = 0.0
        self._wall_offset_s = wall() - monotonic()
        self._stepped_s = self._settled_s = float("-inf")

    def restart(self, settle_s: float = 0.0) -> None:
        """Forget how the clocks lie: the camera counts anew, or its exposure was changed.

        Parameters
        ----------
        settle_s : for so long frames of before can still come; until then the reception alone counts.
        """
        self._offset_s = None
        self._settled_s = self._monotonic() + settle_s

    def stamp(self, camera_s: float | None, received_s: float | None) -> float:
        """Monotonic time of the end of exposure, in seconds.

        Parameters
        ----------
        camera_s : the camera's own stamp in seconds from anywhere, always at the same point of an exposure; None if
            it has none.
        received_s : wall clock (seconds since 1970) when the driver received the frame; None if unknown.
        """
        now = self._monotonic()
        arrival = self._arrival(received_s, now)
        if camera_s is None:
            return arrival - self._delay_s
        offset = arrival - camera_s
        if self._offset_s is not None and camera_s > self._camera_s:
            offset = min(offset, self._offset_s + DRIFT * (camera_s - self._camera_s))
        self._offset_s, self._camera_s = offset if now >= self._settled_s else None, camera_s
        return camera_s + offset - self._delay_s

    def utc(self, monotonic_s: float) -> datetime:
        """The same moment on the wall clock as it is set now."""
        return datetime.fromtimestamp(self._wall() - (self._monotonic() - monotonic_s), UTC)

    def _arrival(self, received_s: float | None, now: float) -> float:
        wall_offset = self._wall() - now
        if abs(wall_offset - self._wall_offset_s) > _STEP_S:
            self._stepped_s = now
        self._wall_offset_s = wall_offset
        if received_s is None or now - self._stepped_s < _AFTER_STEP_S:
            return now
        arrival = received_s - wall_offset
        return arrival if 0 <= now - arrival <= _BELIEVED_S else now


class Timed:
    """A setting that can be changed while frames are under way: its value now, and at an earlier moment."""

    def __init__(self, value: float) -> None:
        self._changes: tuple[tuple[float, float], ...] = ((float("-inf"), value),)

    @property
    def value(self) -> float:
        """As it is now."""
        return self._changes[-1][1]

    def change(self, value: float) -> None:
        """From now on; the last eight values are kept."""
        self._changes = (*self._changes[-7:], (time.monotonic(), value))

    def at(self, monotonic_s: float) -> float:
        """As it was at that time."""
        return next((value for since, value in reversed(self._changes) if since <= monotonic_s), self._changes[0][1])
