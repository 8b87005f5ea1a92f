"""Switching the laser on and off for a page: the page's beats keep it on, and only those of the page that asked."""

import threading
from collections.abc import Callable

from glioscope.cases import Action, Actor
from glioscope.core import DeviceError, Laser, LaserState

Event = Callable[..., None]


class Light:
    """The laser as theatre sees it. Its methods may be called from any thread.

    The keeper of the laser decides; here is only asked, step by step. Without a beat of the owner for half a second
    the keeper goes dark by itself (`laser.Limits.heartbeat_ms`).

    Parameters
    ----------
    unit : name of the imaging unit, for sentences.
    laser : of the unit, staged before anything is asked; None: none is fitted.
    event : told what was done, as a kind and facts.
    """

    def __init__(self, unit: str, laser: Laser | None, event: Event) -> None:
        self._unit, self._laser, self._event = unit, laser, event
        self._lock = threading.Lock()
        self._owner = ""

    @property
    def kept(self) -> bool:
        """Whether a page has asked for light and may keep it."""
        return bool(self._owner)

    def shines(self) -> bool | None:
        """Whether it emits now; None without a laser."""
        return None if self._laser is None else self._laser.laser_report().state is LaserState.EMITTING

    def on(self, actor: Actor, owner: str) -> None:
        """Arm and emit; where it shines already, the light is this page's from now on.

        Parameters
        ----------
        owner : of the light: a page, or a program's session. Its beats keep it on.

        Raises
        ------
        NotAllowed : the role may not.
        DeviceError : no laser, or the keeper refuses; then it is dark and off.
        """
        actor.check(Action.RUN_UNIT)
        laser = self._fitted()
        with self._lock:
            self._owner = owner
            laser.beat()
            try:
                _light(laser)
                if self._owner != owner:
                    raise DeviceError(laser.name, "was made dark meanwhile")
            except DeviceError as error:
                self._owner = ""
                laser.stop()
                self._event("light_refused", account=actor.account, reason=error.reason)
                raise
        self._event("light_on", account=actor.account)

    def off(self, actor: Actor) -> None:
        """Dark and off, whoever switched it on. Raises NotAllowed for who may not even watch."""
        actor.check(Action.WATCH)
        self._owner = ""
        if self._laser is not None:
            self._laser.stop()
        self._event("light_off", account=actor.account)

    def clear(self, actor: Actor) -> None:
        """The operator has seen the fault. Raises NotAllowed, or DeviceError while its cause stands."""
        actor.check(Action.RUN_UNIT)
        self._fitted().clear()
        self._event("light_fault_cleared", account=actor.account)

    def beat(self, owner: str) -> None:
        """A heartbeat; from anybody but the owner it counts for nothing."""
        if self._laser is not None and owner and owner == self._owner:
            self._laser.beat()

    def follow(self) -> None:
        """Forget the owner of light that went out: to be called often."""
        if self._owner and self.shines() is False and self._lock.acquire(blocking=False):
            try:
                if not self.shines():
                    self._owner = ""
            finally:
                self._lock.release()

    def _fitted(self) -> Laser:
        if self._laser is None:
            raise DeviceError(self._unit, "has no laser")
        return self._laser


def _light(laser: Laser) -> None:
    """From wherever the keeper stands to light. Raises DeviceError with the keeper's reason."""
    state = laser.laser_report().state
    if state is LaserState.EMITTING:
        return
    if state is not LaserState.ARMED:
        laser.arm()
    laser.emit()
