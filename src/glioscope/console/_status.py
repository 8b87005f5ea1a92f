"""What the theatre says of itself at any moment: a plain record for the strip of every page."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class LightStatus:
    """The laser.

    Attributes
    ----------
    state : "off", "armed", "emitting" or "fault".
    reason : why it does not shine, one sentence; empty while it does.
    power_mw : read back. irradiance_mw_cm2 : on the tissue at the measured distance; None without one.
    kept : a page keeps it on with its beats.
    """

    state: str
    reason: str
    power_mw: float
    irradiance_mw_cm2: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class DistanceStatus:
    """Distance to the tissue in mm, and the window in which the laser may shine; None: not known.

    Attributes
    ----------
    inside : within the window; None where either is not known.
    """

    now_mm: float | None = None
    nearest_mm: float | None = None
    working_mm: float | None = None
    farthest_mm: float | None = None
    inside: bool | None = None


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera.

    Attributes
    ----------
    state : "running", "fault" or "off". sentence : what is wrong; empty when all is well.
    frames_per_second : over the last two seconds. lost : gaps in its numbers. refused : frames not passed on.
    exposure_ms, gain : of its newest frame in a pair; None before the first.
    """

    state: str
    sentence: str
    frames_per_second: float
    lost: int
    refused: int
    exposure_ms: float | None
    gain: float | None


@dataclass(frozen=True, slots=True)
class SuiteStatus:
    """The suite that answers.

    Attributes
    ----------
    name : of its folder. sha256 : of its `suite.json`, 12 digits of it on the screen.
    signed_by : key that signed it; empty where no signature was asked for.
    data_kind : on what it was trained. changed : what is on the disk now is another.
    """

    name: str
    sha256: str
    signed_by: str
    data_kind: str
    changed: bool


@dataclass(frozen=True, slots=True)
class PhantomStatus:
    """The newest phantom check of this unit.

    Attributes
    ----------
    verdict : "ok", "warn" or "fail". age_hours : since it was made; below 0 where a clock was set.
    current : young enough to be relied on. reasons : what was wrong, or nearly so.
    """

    verdict: str
    age_hours: float
    current: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QualityStatus:
    """What the quality gate says of what lies under the cameras now.

    Attributes
    ----------
    n_specimens : found. reasons : sentences of the gate, for a single specimen. age_s : since it was looked at.
    """

    n_specimens: int
    reasons: tuple[str, ...]
    age_s: float


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """The recording of the open case.

    Attributes
    ----------
    state : "recording", "full", "failed" or "closed". sentence : what is wrong; empty when all is well.
    dropped : frames that were not recorded. minutes_left : of room on the disk; None while nothing is written.
    """

    state: str
    sentence: str
    dropped: int
    minutes_left: float | None


@dataclass(frozen=True, slots=True)
class TheatreStatus:
    """Everything that must always be in sight.

    Attributes
    ----------
    data_kind : of the unit's pictures.
    case_id : of the case that is open here; None: none.
    light : None without a laser.
    frames_per_second : of the slower camera. lost : frames that either camera lost. pairs : good ones so far.
    pairs_dropped : pairs that nobody took in time. pair_age_s : of the newest; None before the first.
    exposure_ms : FL, of all frames that are added up for a diagnosis; None before the first.
    integrated : how many those are.
    phantom : None: never checked. quality : None: not looked at yet. recording : None: not recorded.
    taking : a specimen is being taken.
    faults : what is wrong with the devices or the suite, one sentence each.
    clock : what is wrong with this machine's clock; empty when all is well.
    """

    data_kind: Literal["real", "simulated"]
    unit: str
    case_id: str | None
    light: LightStatus | None
    distance: DistanceStatus
    fl: CameraStatus
    wl: CameraStatus
    frames_per_second: float
    lost: int
    pairs: int
    pairs_dropped: int
    pair_age_s: float | None
    exposure_ms: float | None
    integrated: int
    suite: SuiteStatus
    phantom: PhantomStatus | None
    quality: QualityStatus | None
    recording: RecordingStatus | None
    taking: bool
    faults: tuple[str, ...]
    clock: str

    def to_json(self) -> dict[str, Any]:
        """The record as plain types."""
        return asdict(self)
