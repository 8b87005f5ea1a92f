"""Whether a frame is a new one: stale, repeated and out-of-order frames, exactly, from numbers, clocks and bytes."""

from collections import deque
from dataclasses import dataclass, field
from math import isfinite

from glioscope.core import Frame, InputError, Reason

DEFAULT_MAX_AGE_S = 1.0
DEFAULT_MAX_APART_S = 0.1
_REMEMBERED = 64


@dataclass(slots=True)
class _Seen:
    """What is kept of one camera: the last number and clock, and hashes of its latest pictures."""

    sequence: int | None = None
    monotonic_s: float | None = None
    digests: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class FrameWatch:
    """Remembers what each camera gave, and says of every further frame whether it is a new and recent one.

    Noise makes any two exposures differ in some pixel, so identical bytes are the same exposure, whatever sequence
    number they come with: a camera or driver that hangs is found at its first repetition, and one that goes round in a
    ring of up to 64 buffers too. Pictures of one value all over are left to the quality gate. Not for several threads.

    Parameters
    ----------
    max_age_s : seconds from the end of exposure until a frame is stale, on the monotonic clock.
    max_apart_s : seconds that the two exposures of a pair may be apart, or a frame ahead of the clock.

    Raises
    ------
    InputError : a limit that is not positive.
    """

    def __init__(self, *, max_age_s: float = DEFAULT_MAX_AGE_S, max_apart_s: float = DEFAULT_MAX_APART_S) -> None:
        for name, value in (("max_age_s", max_age_s), ("max_apart_s", max_apart_s)):
            if not (value > 0 and isfinite(value)):
                raise InputError(f"{name} is {value:g} s, more than 0 is needed")
        self.max_age_s = max_age_s
        self.max_apart_s = max_apart_s
        self._cameras: dict[str, _Seen] = {}

    def check(self, frame: Frame, now_s: float) -> tuple[Reason, ...]:
        """What speaks against the frame; it is remembered for the next.

        Parameters
        ----------
        frame : of any camera; cameras are told apart by `frame.camera` and by the kind of picture.
        now_s : this machine's monotonic clock, in seconds.

        Returns
        -------
        Reasons "frame_stale", "frame_ahead", "frame_repeated", "frame_backwards", with slot "fl" or "wl"; empty
        for a new frame. Without `monotonic_s` the age is not judged.
        """
        slot = _slot(frame)
        seen = self._cameras.setdefault(f"{slot}:{frame.camera}", _Seen())
        digest = _digest(frame)
        reasons = (*self._age(frame, slot, now_s), *_order(frame, slot, seen, digest))
        if digest not in seen.digests:
            seen.digests.append(digest)
        seen.sequence = frame.sequence
        seen.monotonic_s = frame.monotonic_s
        return reasons

    def check_pair(self, fl: Frame, wl: Frame, now_s: float) -> tuple[Reason, ...]:
        """`check` of both frames of a pair, and "pair_apart" where their exposures are too far apart in time."""
        reasons = (*self.check(fl, now_s), *self.check(wl, now_s))
        if fl.monotonic_s is None or wl.monotonic_s is None:
            return reasons
        apart = abs(fl.monotonic_s - wl.monotonic_s)
        if apart <= self.max_apart_s:
            return reasons
        sentence = f"the two pictures were taken {apart:.2f} s apart: take both again"
        return (*reasons, Reason("pair_apart", sentence, "pair", apart, self.max_apart_s, "s"))

    def forget(self) -> None:
        """Start anew, for example when a camera was opened again and counts from 0."""
        self._cameras.clear()

    def _age(self, frame: Frame, slot: str, now_s: float) -> tuple[Reason, ...]:
        if frame.monotonic_s is None:
            return ()
        age = now_s - frame.monotonic_s
        if age > self.max_age_s:
            sentence = f"the {_name(slot)} picture is {age:.1f} s old: check the camera's connection"
            return (Reason("frame_stale", sentence, slot, age, self.max_age_s, "s"),)
        if age < -self.max_apart_s:
            sentence = f"the {_name(slot)} picture is {-age:.2f} s ahead of the clock: check the camera's time stamps"
            return (Reason("frame_ahead", sentence, slot, -age, self.max_apart_s, "s"),)
        return ()


def _order(frame: Frame, slot: str, seen: _Seen, digest: int) -> tuple[Reason, ...]:
    """Repeated or backwards; a repeated picture is not also called backwards."""
    last = seen.sequence
    same = digest in seen.digests and not _constant(frame)
    if same or frame.sequence == last:
        how = f"number {frame.sequence} came before" if frame.sequence == last else "every pixel is as before"
        sentence = f"the {_name(slot)} picture is an old one again ({how}): check the camera's connection"
        return (Reason("frame_repeated", sentence, slot, float(frame.sequence)),)
    if last is not None and (frame.sequence < last or _earlier(frame.monotonic_s, seen.monotonic_s)):
        sentence = f"the {_name(slot)} picture {frame.sequence} came after {last}: check the camera's connection"
        return (Reason("frame_backwards", sentence, slot, float(frame.sequence), float(last)),)
    return ()


def _earlier(time_s: float | None, last_s: float | None) -> bool:
    return time_s is not None and last_s is not None and time_s < last_s


def _constant(frame: Frame) -> bool:
    """Black or white all over: such pictures are equal without being the same exposure, and the gate refuses them."""
    return bool(frame.pixels.min() == frame.pixels.max())


def _slot(frame: Frame) -> str:
    return "wl" if frame.pixels.ndim == 3 else "fl"


def _name(slot: str) -> str:
    return "white-light" if slot == "wl" else "fluorescence"


def _digest(frame: Frame) -> int:
    """64-bit SipHash of shape, type and pixels: equal for equal pictures, and in less than half the time of SHA-1."""
    return hash((frame.pixels.shape, frame.pixels.dtype.str, frame.pixels.tobytes()))
