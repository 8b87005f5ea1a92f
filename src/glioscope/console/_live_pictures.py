"""Pictures of the newest pair for all screens: made once a pair, by one thread, only while somebody waits for one."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from glioscope.core import Frame, GlioscopeError
from glioscope.devices import FramePair

from ._live_scale import LiveScale, default_scale
from ._status import TheatreStatus

_PASSED: Final = 2
"""While a specimen is taken, so many pairs are passed over for each that is drawn: the answer comes first."""
_LOOK_S = 0.004
_AGAIN_S = 0.1
_FL_QUALITY, _WL_QUALITY = 90, 85
_WHITE_LEVEL = 65535


class LiveTheatre(Protocol):
    """What the live view needs of the theatre; `busy` while a specimen is taken."""

    @property
    def busy(self) -> bool:
        """Whether a specimen is being taken now."""

    def newest(self) -> FramePair | None:
        """The newest good pair."""

    def register_wl(self, frame: Frame) -> NDArray[np.uint8]:
        """White light in the geometry of fluorescence, uint8 (H, W, 3)."""

    def status(self) -> TheatreStatus:
        """How the unit does; from any thread, at once."""

    def beat(self, owner: str) -> None:
        """Heartbeat of the page that asked for light."""


@dataclass(frozen=True, slots=True, eq=False)
class LivePicture:
    """A pair as it goes to the screens.

    Attributes
    ----------
    number : rises by one a picture.
    pair : the frames, with their real counts.
    scale : by which `fl_jpeg` was made.
    fl_jpeg : grey JPEG of the scale's indices.
    wl : registered white light, uint8 RGB (H, W, 3); `wl_jpeg` is its picture.
    ended_s : end of the earlier exposure of the two, monotonic.
    """

    number: int
    pair: FramePair
    scale: LiveScale
    fl_jpeg: bytes
    wl: NDArray[np.uint8]
    wl_jpeg: bytes
    ended_s: float


class LivePictures:
    """Makes a picture of the newest pair whenever somebody wants one, and tells all who watch. For all threads.

    Its thread lives while somebody watches. A pair of which a picture was made is not drawn again; pairs that nobody
    had time for are skipped, so that a slow screen sees fewer pictures, never old ones.

    Parameters
    ----------
    theatre : gives pairs and registers white light.
    offset_counts : counts without light, where the scale begins unless it is set; None: 0.

    Attributes
    ----------
    fault : why there are no pictures though there are pairs; empty when all is well.
    """

    def __init__(self, theatre: LiveTheatre, *, offset_counts: float | None = None) -> None:
        self.fault = ""
        self._theatre, self._offset_counts = theatre, offset_counts
        self._scale: LiveScale | None = None
        self._table: tuple[LiveScale, int, NDArray[np.uint8]] | None = None
        self._newest: LivePicture | None = None
        self._watchers: list[Callable[[], None]] = []
        self._wanted, self._lock = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def scale(self) -> LiveScale:
        """Of the pictures that come next."""
        return self._scale or self._default(self._theatre.newest())

    def set_scale(self, scale: LiveScale) -> None:
        """Show these counts from now on, on all screens."""
        self._scale = scale

    def newest(self) -> LivePicture | None:
        """The newest picture, however old; None before the first."""
        return self._newest

    def watch(self, made: Callable[[], None]) -> Callable[[], None]:
        """Be told of every new picture, in the thread that makes them; what is returned ends it."""
        with self._lock:
            self._watchers.append(made)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live pictures", daemon=True)
                self._thread.start()

        def leave() -> None:
            with self._lock:
                self._watchers.remove(made)
            self._wanted.set()  # the thread looks up whether anybody is left

        return leave

    def want(self) -> None:
        """Somebody could show another picture."""
        self._wanted.set()

    def _run(self) -> None:
        passed: FramePair | None = None
        n_passed = 0
        try:
            while self._watched():
                self._wanted.wait()
                pair = self._theatre.newest()
                if pair is None or (self._newest is not None and pair is self._newest.pair):
                    time.sleep(_LOOK_S)
                    continue
                if self._theatre.busy and pair is not passed and n_passed < _PASSED:
                    passed, n_passed = pair, n_passed + 1
                if pair is passed:
                    time.sleep(_LOOK_S)
                    continue
                n_passed = 0
                self._wanted.clear()
                self._draw(pair)
        except BaseException as error:
            self.fault = f"the live pictures have ended: {error!r}"
            self._thread = None  # the next who looks starts another
            raise

    def _watched(self) -> bool:
        """Whether anybody is left; if not, the thread is given up."""
        with self._lock:
            if self._watchers:
                return True
            self._thread = self._newest = None
            return False

    def _draw(self, pair: FramePair) -> None:
        number = self._newest.number + 1 if self._newest is not None else 0
        try:
            self._newest = self._picture(pair, number)
        except GlioscopeError as error:  # such as a frame that does not fit the registration; the next may
            self.fault = str(error)
            time.sleep(_AGAIN_S)
            self._wanted.set()
            return
        self.fault = ""
        with self._lock:
            watchers = tuple(self._watchers)
        for made in watchers:
            made()

    def _picture(self, pair: FramePair, number: int) -> LivePicture:
        scale = self._scale or self._default(pair)
        index = np.take(self._indices(scale, pair.fl.white_level or _WHITE_LEVEL), pair.fl.pixels)
        wl = self._theatre.register_wl(pair.wl)
        return LivePicture(
            number=number,
            pair=pair,
            scale=scale,
            fl_jpeg=_jpeg(index, _FL_QUALITY),
            wl=wl,
            wl_jpeg=_jpeg(cv2.cvtColor(wl, cv2.COLOR_RGB2BGR), _WL_QUALITY),
            ended_s=min(pair.fl.monotonic_s or 0.0, pair.wl.monotonic_s or 0.0),
        )

    def _indices(self, scale: LiveScale, white_level: int) -> NDArray[np.uint8]:
        if self._table is None or self._table[:2] != (scale, white_level):
            self._table = scale, white_level, scale.table(white_level)
        return self._table[2]

    def _default(self, pair: FramePair | None) -> LiveScale:
        white_level = (pair.fl.white_level if pair is not None else None) or _WHITE_LEVEL
        return default_scale(white_level, self._offset_counts)


def _jpeg(image: Any, quality: int) -> bytes:
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(coded)
