"""Settings of a GigE Vision or USB3 Vision camera, as they stand in a unit's TOML file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import Camera

from ._aravis_driver import Interface


class AravisCameraSettings(BaseModel):
    """A GigE Vision or USB3 Vision camera, or one of Aravis's fake ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["aravis"] = "aravis"
    """Names this backend."""
    interface: Interface = "gv"
    """"gv" for GigE Vision, "usb3" for USB3 Vision, "fake" for the fake camera inside Aravis."""
    camera_id: str | None = None
    """Id as `glioscope devices list` shows it; needed where several cameras answer and no address is given."""
    address: str | None = None
    """IP address of a GigE camera; opens at once, where looking for an id takes a second."""
    pixel_format: str = "Mono16"
    """GenICam name: Mono16, Mono12, Mono12p, ... for fluorescence; RGB8, BayerRG8, ... for white light."""
    white_level: int | None = Field(default=None, ge=1, le=65535)
    """Highest count, where it is not the top of the pixel format (12 bits in Mono16: 4095)."""
    rows: int | None = Field(default=None, ge=1)
    """Rows of a frame; absent: all of the sensor."""
    columns: int | None = Field(default=None, ge=1)
    """Columns of a frame; absent: all of the sensor."""
    row_offset: int = Field(default=0, ge=0)
    """First row on the sensor."""
    column_offset: int = Field(default=0, ge=0)
    """First column on the sensor."""
    binning: int = Field(default=1, ge=1)
    """Pixels joined in each direction."""
    exposure_ms: float = Field(default=20.0, gt=0)
    """Exposure after staging."""
    gain: float | None = None
    """Gain after staging, in the camera's unit (mostly dB); absent: as the camera has it."""
    features: dict[str, str] = Field(default_factory=dict)
    """Further GenICam features, set in this order before the format."""
    packet_size: int | None = Field(default=None, ge=576, le=65535)
    """Bytes of a network packet (GigE); absent: the largest that the network lets through."""
    resend: bool = True
    """Ask a GigE camera to send lost packets again, if it can."""
    packet_timeout_ms: float = Field(default=20.0, gt=0)
    """How long a missing packet is waited for (GigE)."""
    frame_retention_ms: float = Field(default=100.0, gt=0)
    """How long an unfinished frame may hold up those behind it (GigE)."""
    buffers: int = Field(default=16, ge=4)
    """Frames that the driver can hold."""
    max_waiting: int = Field(default=8, ge=1)
    """Frames that may wait to be read; a reader further behind loses all of them and goes on with the next."""
    delay_ms: float = Field(default=0.0, ge=0)
    """Known time from the end of exposure to the first packet; taken off each frame's time."""
    silent_s: float = Field(default=1.0, gt=0)
    """A camera that sends nothing for this long, besides exposure and three periods, counts as lost."""

    def make(self, name: str) -> Camera:
        """The camera, not yet open. Raises InputError for settings that do not fit together."""
        from ._aravis import AravisCamera  # the camera takes these settings

        return AravisCamera(name, self)
