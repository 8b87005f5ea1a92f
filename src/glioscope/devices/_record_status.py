"""How a case is to be recorded, and how its recording does."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from ._pairing import Slot


class RecorderSettings(BaseModel):
    """How a case is recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_minutes: float = Field(10.0, ge=0)
    """No start with room for less than this at `expected_mb_per_s`."""
    expected_mb_per_s: float = Field(25.0, gt=0)
    """Of both cameras; only for the check at the start, afterwards the rate is measured. `make bench-recording`."""
    reserve_mb: float = Field(200.0, ge=1)
    """Frames are recorded while at least this is free; what is left is for events, devices and diagnoses. Frames
    are recorded again from twice this on."""
    queue_frames: int = Field(50, ge=1, le=1000)
    """Frames of a camera that may wait for the disk; then the newest are dropped and counted."""
    save_s: float = Field(1.2, gt=0, le=1.5)
    """A frame is on the disk at most this long after it was written to, so that a kill costs less than 2 s."""
    shard_frames: int = Field(25, ge=1, le=250)
    """Fluorescence frames in a full shard: a second."""
    jpeg_quality: int = Field(95, ge=95, le=100)
    """Of white-light pictures."""


class RecorderState(StrEnum):
    """Where a recording stands."""

    RECORDING = "recording"
    FULL = "full"
    """No room: frames are dropped and counted until there is."""
    FAILED = "failed"
    """The folder is gone or cannot be written; a new recording is needed."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How a recording does.

    Attributes
    ----------
    state, sentence : where it stands, and what is wrong; empty when all is well.
    written : frames that are on the disk, by camera ("fl", "wl").
    dropped : frames that were not recorded because the disk or the writer had no room.
    refused : frames that were none of this camera's kind.
    waiting : frames in the queues.
    mb_per_s : megabytes (1e6) a second written over the last 10 s.
    free_mb : on the disk.
    minutes_left : at `mb_per_s` down to the reserve; None while nothing is written.
    """

    state: RecorderState
    sentence: str
    written: Mapping[Slot, int]
    dropped: Mapping[Slot, int]
    refused: Mapping[Slot, int]
    waiting: Mapping[Slot, int]
    mb_per_s: float
    free_mb: float
    minutes_left: float | None
