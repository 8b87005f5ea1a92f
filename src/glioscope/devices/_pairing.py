"""Which fluorescence frame belongs to which white-light frame: nearest in time, or flagged."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from glioscope.core import Frame, Reason

Slot = Literal["fl", "wl"]
_WAITING = 8
_PAST = 6
_FARTHEST_PERIODS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A fluorescence and a white-light frame taken together.

    Attributes
    ----------
    skew_ms : end of the white-light exposure minus that of the fluorescence exposure, in ms.
    reasons : what speaks against using the pair ("pair_apart"); empty for a good one.
    """

    fl: Frame
    wl: Frame
    skew_ms: float
    reasons: tuple[Reason, ...] = ()


class Pairer:
    """Pairs two streams that arrive in order, each in its own time. Not for several threads.

    Two frames are a pair when their exposures ended at most half a frame period apart; at one rate no other frame is
    nearer then, so the pair is complete as soon as the second arrives. A frame that found none, once the other
    camera is past it, goes out with the nearest frame there is, flagged; or alone into `unpaired` when that is more
    than five periods away.

    Parameters
    ----------
    period_ms : of a frame, above 0.
    """

    def __init__(self, period_ms: float) -> None:
        self._half_s = period_ms / 2000.0
        self._waiting: dict[Slot, deque[Frame]] = {"fl": deque(maxlen=_WAITING), "wl": deque(maxlen=_WAITING)}
        self._past: dict[Slot, deque[Frame]] = {"fl": deque(maxlen=_PAST), "wl": deque(maxlen=_PAST)}
        self.unpaired: dict[Slot, int] = {"fl": 0, "wl": 0}

    def add(self, slot: Slot, frame: Frame) -> list[FramePair]:
        """Take the next frame of a camera, whose `monotonic_s` is known; give the pairs that it completes, in order."""
        other: Slot = "wl" if slot == "fl" else "fl"
        settled = self._settle(other, frame)
        self._past[slot].append(frame)
        partner = _nearest(frame, self._waiting[other])
        if partner is not None and abs(_apart(frame, partner)) <= self._half_s:
            self._waiting[other].remove(partner)
            return [*settled, self._pair(slot, frame, partner)]
        if len(self._waiting[slot]) == _WAITING:
            self.unpaired[slot] += 1
        self._waiting[slot].append(frame)
        return settled

    def forget(self) -> None:
        """A camera was started anew: what waits finds no partner any more."""
        for slot, waiting in self._waiting.items():
            self.unpaired[slot] += len(waiting)
            waiting.clear()
            self._past[slot].clear()

    def _settle(self, slot: Slot, newcomer: Frame) -> list[FramePair]:
        """Frames of `slot` for which `newcomer`, of the other camera, and all that follow come too late."""
        other: Slot = "wl" if slot == "fl" else "fl"
        done = []
        waiting = self._waiting[slot]
        while waiting and _apart(newcomer, waiting[0]) > self._half_s:
            frame = waiting.popleft()
            partner = _nearest(frame, (*self._past[other], newcomer))
            if partner is None or abs(_apart(frame, partner)) > 2 * _FARTHEST_PERIODS * self._half_s:
                self.unpaired[slot] += 1
            else:
                done.append(self._pair(slot, frame, partner))
        return done

    def _pair(self, slot: Slot, frame: Frame, partner: Frame) -> FramePair:
        fl, wl = (frame, partner) if slot == "fl" else (partner, frame)
        skew = _apart(wl, fl)
        reasons: tuple[Reason, ...] = ()
        if abs(skew) > self._half_s:
            limit = 1000 * self._half_s
            sentence = f"the two frames were taken {1000 * abs(skew):.1f} ms apart, over half a frame period"
            reasons = (Reason("pair_apart", sentence, "pair", 1000 * abs(skew), limit, "ms"),)
        return FramePair(fl, wl, 1000 * skew, reasons)


def _apart(later: Frame, earlier: Frame) -> float:
    """Seconds between the ends of two exposures; the stream lets no frame pass without a time."""
    if later.monotonic_s is None or earlier.monotonic_s is None:
        raise ValueError("a frame without a time cannot be paired")
    return later.monotonic_s - earlier.monotonic_s


def _nearest(frame: Frame, others: "deque[Frame] | tuple[Frame, ...]") -> Frame | None:
    return min(others, key=lambda other: abs(_apart(frame, other)), default=None)
