"""From a key press to the frames that are diagnosed: new enough, lit, of a scene that stood still."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

import numpy as np

from glioscope.core import Frame, InputError, Reason
from glioscope.devices import FramePair
from glioscope.imaging import FrameWatch

from ._steady import is_steady
from ._theatre_settings import TheatreSettings

_DARK: Final = "the laser is dark: switch the light on"
_MOVES: Final = "the specimen moves: hold still and take again"


class CaptureError(InputError):
    """No specimen was taken, and nothing stored; the sentence says why and what to do."""


def integrate(frames: Sequence[Frame], offset_counts: float) -> Frame:
    """Add fluorescence frames up to what one exposure as long as all of theirs together would have given.

    Only the read noise is that of several frames. Counts are clipped at the white level, and a pixel that is saturated
    in any frame is in the sum.

    Parameters
    ----------
    frames : uint16 (H, W), in order of time, of one camera, size, exposure and gain.
    offset_counts : counts of each frame without any light; it is in the sum once.

    Returns
    -------
    uint16 (H, W): exposure the sum, irradiance the mean, all else as in the last frame.

    Raises
    ------
    InputError : no frame, another size or type, or exposures or gains that differ or are not known.
    """
    _check_alike(frames)
    last = frames[-1]
    if len(frames) == 1:
        return last
    white = last.white_level or 65535
    total = np.zeros(last.pixels.shape, np.int32)
    saturated = np.zeros(last.pixels.shape, np.bool_)
    for frame in frames:
        total += frame.pixels
        saturated |= frame.pixels >= white
    total -= round((len(frames) - 1) * offset_counts)
    pixels = np.clip(total, 0, white).astype(np.uint16)
    pixels[saturated] = white
    irradiances = [frame.irradiance_mw_cm2 for frame in frames if frame.irradiance_mw_cm2 is not None]
    return replace(
        last,
        pixels=pixels,
        exposure_ms=sum(frame.exposure_ms or 0.0 for frame in frames),
        irradiance_mw_cm2=float(np.mean(irradiances)) if irradiances else None,
    )


class PairRing:
    """The newest good pairs, in order; for several threads."""

    def __init__(self, depth: int) -> None:
        self._pairs: deque[FramePair] = deque(maxlen=depth)
        self._changed = threading.Condition()

    def add(self, pair: FramePair) -> None:
        """The next pair."""
        with self._changed:
            self._pairs.append(pair)
            self._changed.notify_all()

    def newest(self) -> FramePair | None:
        """The newest pair, however old; None before the first."""
        pairs = self._pairs
        return pairs[-1] if pairs else None

    def last(self, count: int) -> tuple[FramePair, ...]:
        """The newest `count` pairs, or as many as there are."""
        with self._changed:
            return tuple(self._pairs)[-count:]

    def wait(self, than: FramePair | None, deadline_s: float) -> bool:
        """Wait for a newer pair than `than`; False when none came before `deadline_s` of the monotonic clock."""
        with self._changed:
            return self._changed.wait_for(lambda: self.newest() is not than, max(deadline_s - monotonic(), 0.0))


class Capturer:
    """Chooses the pairs that answer a key press. One key press at a time.

    Parameters
    ----------
    ring : of pairs, filled by another thread.
    settings : how many frames, how fresh, how long to wait.
    shines : whether the laser shines now; None without a laser. Asked where frames do not say it themselves.
    trouble : what is wrong with the cameras, one sentence naming the camera; empty when all is well.
    """

    def __init__(
        self,
        ring: PairRing,
        settings: TheatreSettings,
        *,
        shines: Callable[[], bool | None],
        trouble: Callable[[], str],
    ) -> None:
        self._ring, self._settings = ring, settings
        self._shines, self._trouble = shines, trouble
        self._watch = FrameWatch(max_age_s=settings.fresh_s)
        self._checked: FramePair | None = None

    def capture(self, pressed_s: float) -> tuple[FramePair, ...]:
        """Pairs to be diagnosed together, in order; the exposures of the last began after the key press.

        The others are older, but the scene was the same: where it was not, pairs after the change are waited for.

        Parameters
        ----------
        pressed_s : time of the key press on the monotonic clock.

        Raises
        ------
        CaptureError : no new pair in time, the laser is dark, the scene does not stand still, or a picture is old or
            repeated.
        """
        deadline_s = pressed_s + self._settings.take_timeout_s
        newest: FramePair | None = None
        seen = False
        while True:
            if not self._ring.wait(newest, deadline_s):
                raise CaptureError(_MOVES if seen else self._none_came())
            pairs = self._ring.last(self._settings.integrate_frames)
            newest = pairs[-1]
            if not began_after(newest, pressed_s):
                continue
            seen = True
            if self._is_dark(newest.fl):
                raise CaptureError(_DARK)
            if self._belong_together(pairs):
                self._check_new(pairs)
                return pairs

    def forget(self) -> None:
        """The cameras were opened anew and may count from 0."""
        self._watch.forget()
        self._checked = None

    def _belong_together(self, pairs: Sequence[FramePair]) -> bool:
        """Whether they are enough, fresh, taken alike, equally lit, and of a scene that stood still."""
        frames = [pair.fl for pair in pairs]
        last = frames[-1]
        if len(frames) < self._settings.integrate_frames or any(self._is_dark(frame) for frame in frames):
            return False
        if any(_taken_as(frame) != _taken_as(last) for frame in frames):
            return False
        if monotonic() - (frames[0].monotonic_s or 0.0) > self._settings.fresh_s:
            return False
        return all(is_steady(frame.pixels, last.pixels) for frame in frames[:-1])

    def _is_dark(self, frame: Frame) -> bool:
        """What a frame does not say is asked of the laser; where none is fitted, nobody knows and the gate judges."""
        return frame.laser_on is False or (frame.laser_on is None and self._shines() is False)

    def _check_new(self, pairs: Sequence[FramePair]) -> None:
        """No picture is older than allowed, and none was seen before under another number."""
        now = monotonic()
        before = self._checked.fl.sequence if self._checked is not None else None
        reasons: list[Reason] = []
        for pair in pairs:
            if before is None or pair.fl.sequence > before:
                reasons += self._watch.check(pair.fl, now)
        newest = pairs[-1]
        reasons += [*self._watch.check(newest.wl, now), *newest.reasons]
        self._checked = newest
        if reasons:
            raise CaptureError(reasons[0].sentence)

    def _none_came(self) -> str:
        trouble = self._trouble()
        waited = f"no new pair of pictures within {self._settings.take_timeout_s:g} s of the key press"
        return f"{waited}: {trouble}" if trouble else f"{waited}: look at the cameras"


def began_after(pair: FramePair, when_s: float) -> bool:
    """Whether both exposures of a pair began after a time of the monotonic clock."""
    for frame in (pair.fl, pair.wl):
        if frame.monotonic_s is None or frame.monotonic_s - (frame.exposure_ms or 0.0) / 1000 <= when_s:
            return False
    return True


def _taken_as(frame: Frame) -> tuple[object, ...]:
    return frame.pixels.shape, frame.exposure_ms, frame.gain, frame.laser_on, frame.white_level


def _check_alike(frames: Sequence[Frame]) -> None:
    if not frames:
        raise InputError("no frame to add up")
    last = frames[-1]
    for frame in frames:
        if frame.pixels.dtype != np.uint16 or frame.pixels.ndim != 2:
            raise InputError(f"a frame is {frame.pixels.dtype} {frame.pixels.shape}, uint16 (H, W) is needed")
        if frame.pixels.shape != last.pixels.shape:
            raise InputError(f"frames of {frame.pixels.shape} and {last.pixels.shape} cannot be added up")
        if len(frames) > 1 and frame.exposure_ms is None:
            raise InputError("a frame that does not tell its exposure cannot be added up")
        if (frame.exposure_ms, frame.gain) != (last.exposure_ms, last.gain):
            raise InputError(
                f"frames exposed {frame.exposure_ms} ms at gain {frame.gain} and {last.exposure_ms} ms at gain "
                f"{last.gain} cannot be added up"
            )
