"""Setting up an open Aravis camera: format, region, packets; and what it can do."""

from typing import Any

from glioscope.core import CameraInfo, DeviceError

from ._aravis_pixels import PACKED, PixelFormat
from ._aravis_settings import AravisCameraSettings
from ._closest import closest_first


def set_up(device: str, aravis: Any, camera: Any, settings: AravisCameraSettings) -> None:
    """Features, format, binning, region, free running, packet size. Raises DeviceError for what the camera lacks."""
    if camera.is_gv_device() and not camera.get_device().is_controller():
        raise DeviceError(device, "is controlled by another program, or by a connection that was lost seconds ago")
    for name, value in settings.features.items():
        feature = camera.get_device().get_feature(name)
        if feature is None:
            raise DeviceError(device, f"has no feature {name!r}; arv-tool-0.8 features lists those it has")
        feature.set_value_from_string(value)
    formats = camera.dup_available_pixel_formats_as_strings()
    if settings.pixel_format not in formats:
        have = closest_first(settings.pixel_format, formats)
        raise DeviceError(device, f"has no pixel format {settings.pixel_format}; it has {have}")
    camera.set_pixel_format_from_string(settings.pixel_format)
    _set_binning(device, camera, settings)
    _set_region(device, camera, settings)
    _run_freely(aravis, camera)
    if camera.is_gv_device():
        if settings.packet_size is None:
            camera.gv_auto_packet_size()
        else:
            camera.gv_set_packet_size(settings.packet_size)


def _set_binning(device: str, camera: Any, settings: AravisCameraSettings) -> None:
    if camera.is_binning_available():
        camera.set_binning(settings.binning, settings.binning)
    elif settings.binning != 1:
        raise DeviceError(device, f"cannot bin pixels; binning is {settings.binning}, set it to 1")


def _set_region(device: str, camera: Any, settings: AravisCameraSettings) -> None:
    if camera.is_region_offset_available():
        camera.set_region(0, 0, -1, -1)  # an offset left over from before would limit the size
    _, most_columns = camera.get_width_bounds()
    _, most_rows = camera.get_height_bounds()
    columns = settings.columns or most_columns - settings.column_offset
    rows = settings.rows or most_rows - settings.row_offset
    if columns + settings.column_offset > most_columns or rows + settings.row_offset > most_rows:
        raise DeviceError(device, f"has {most_columns} x {most_rows} pixels; the region asked for goes beyond them")
    camera.set_region(settings.column_offset, settings.row_offset, columns, rows)
    if settings.pixel_format in PACKED and rows * columns % 2:
        raise DeviceError(device, f"{columns} x {rows} pixels of {settings.pixel_format}: an even number is needed")
    region = camera.get_region()
    if tuple(region)[2:] != (columns, rows):
        raise DeviceError(device, f"gives {region[2]} x {region[3]} pixels where {columns} x {rows} were asked for")


def _run_freely(aravis: Any, camera: Any) -> None:
    """No trigger, and nothing that would change exposure or gain behind our back."""
    camera.clear_triggers()
    camera.set_acquisition_mode(aravis.AcquisitionMode.CONTINUOUS)
    if camera.is_exposure_auto_available():
        camera.set_exposure_time_auto(aravis.Auto.OFF)
    if camera.is_gain_auto_available():
        camera.set_gain_auto(aravis.Auto.OFF)


def open_stream(aravis: Any, camera: Any, settings: AravisCameraSettings) -> Any:
    """The camera's stream, without buffers yet."""
    stream = camera.create_stream(None, None)
    if camera.is_gv_device():
        # Where the camera can resend, Aravis asks for it by itself.
        if not settings.resend:
            stream.set_property("packet-resend", aravis.GvStreamPacketResend.NEVER)
        # As large as a frame, where the system's limit (net.core.rmem_max) allows it.
        stream.set_property("socket-buffer", aravis.GvStreamSocketBuffer.AUTO)
        stream.set_property("packet-timeout", round(settings.packet_timeout_ms * 1000))
        stream.set_property("frame-retention", round(settings.frame_retention_ms * 1000))
    return stream


def info_of(camera: Any, pixels: PixelFormat, white_level: int | None) -> CameraInfo:
    """What the camera can do, as it is set up now."""
    region = camera.get_region()
    exposure = tuple(camera.get_exposure_time_bounds()) if camera.is_exposure_time_available() else (0.0, 0.0)
    gain = tuple(camera.get_gain_bounds()) if camera.is_gain_available() else (0.0, 0.0)
    return CameraInfo(
        model=f"{camera.get_vendor_name()} {camera.get_model_name()}",
        serial=camera.get_device_serial_number() or "",
        rows=region[3],
        columns=region[2],
        colour=pixels.colour,
        white_level=pixels.white_level if white_level is None else white_level,
        exposure_ms=(exposure[0] / 1000, exposure[1] / 1000),
        gain=(gain[0], gain[1]),
    )
