"""The imaging unit: cameras, laser, rangefinder, motors; real, replayed and simulated behind one set of protocols.

In: the settings of a unit (`read_unit`). Out: `ImagingUnit`, whose `Acquisition` gives `FramePair`s; a case folder
(`Recorder`, `open_case`); a dated phantom check. The protocols are in `core`. What is not the protocols' business
stands by subject: cameras together (`_stream`, `_pairing`, `_acquisition`), backends (`_aravis*`, `_micromanager*`,
`_replay*`, `_simulated*`), laser (`_laser*`; its safety in room `laser`), motion, recording (`_record*`), calibration,
strobing, phantom. Next room up: `runtime`, which diagnoses the pairs, and `console`.
"""

from ._acquisition import Acquisition, AcquisitionStatus
from ._aravis_settings import AravisCameraSettings
from ._auto_exposure import AutoExposure, AutoExposureSettings, ExposureChange, next_exposure_ms
from ._calibration import MIN_DARKS, Calibration, CalibrationInfo, FlatKind, measure_calibration
from ._calibration_folder import read_calibration, write_calibration
from ._case_folder import CaseInfo, FrameRow
from ._flicker import flicker_free_exposure_ms
from ._found_cameras import FoundDevice, FoundDevices, found_cameras
from ._handle import JoystickHandle, JoystickSettings, SimulatedHandle
from ._kept_laser import KeptLaser
from ._laser import BeamSettings, LaserSettings, SimulatedLaserSettings
from ._micromanager_settings import MicroManagerAxisSettings, MicroManagerCameraSettings, MicroManagerStageSettings
from ._motion import Motion, MotionReport, MotionState
from ._motion_control import MotionSettings
from ._pairing import FramePair, Pairer, Slot
from ._phantom import SuiteInUse, judge_phantom
from ._phantom_judge import PhantomLimits, PhantomLine, Tolerance, Verdict
from ._phantom_read import PhantomReading, measure_phantom
from ._phantom_result import PhantomResult, is_current, read_phantom, write_phantom
from ._phantom_target import PhantomTarget, read_target, shipped_targets
from ._photon_transfer import PhotonTransfer, photon_transfer
from ._rangefinder import SerialRangeFinder, SerialRangeSettings
from ._record_images import record_images
from ._record_status import RecorderSettings, RecorderState, RecorderStatus
from ._recorded_case import RecordedCase, RecordedStream, open_case
from ._recorder import Recorder
from ._replay import ReplayCamera, ReplayCameraSettings
from ._replay_clock import ReplayClock
from ._scan import SectorTaken, scan_sectors
from ._settings import DEMO, UnitSettings, make_unit, read_unit
from ._simulated_bench import SimulatedBench, SimulatedBenchSettings
from ._simulated_camera import SimulatedCamera, SimulatedCameraSettings
from ._simulated_faults import CameraFault
from ._simulated_range import RangeFault, RangeSensor, SimulatedRangeFinder, SimulatedRangeHead
from ._simulated_stage import SimulatedStage
from ._stream import CameraStream, StreamStatus
from ._strobe import Strobe, StrobedFrame, StrobeSettings, Unpaired, subtract_ambient
from ._unit import ImagingUnit, Parts, Scale, alive

__all__ = [
    "DEMO",
    "MIN_DARKS",
    "Acquisition",
    "AcquisitionStatus",
    "AravisCameraSettings",
    "AutoExposure",
    "AutoExposureSettings",
    "BeamSettings",
    "Calibration",
    "CalibrationInfo",
    "CameraFault",
    "CameraStream",
    "CaseInfo",
    "ExposureChange",
    "FlatKind",
    "FoundDevice",
    "FoundDevices",
    "FramePair",
    "FrameRow",
    "ImagingUnit",
    "JoystickHandle",
    "JoystickSettings",
    "KeptLaser",
    "LaserSettings",
    "MicroManagerAxisSettings",
    "MicroManagerCameraSettings",
    "MicroManagerStageSettings",
    "Motion",
    "MotionReport",
    "MotionSettings",
    "MotionState",
    "Pairer",
    "Parts",
    "PhantomLimits",
    "PhantomLine",
    "PhantomReading",
    "PhantomResult",
    "PhantomTarget",
    "PhotonTransfer",
    "RangeFault",
    "RangeSensor",
    "RecordedCase",
    "RecordedStream",
    "Recorder",
    "RecorderSettings",
    "RecorderState",
    "RecorderStatus",
    "ReplayCamera",
    "ReplayCameraSettings",
    "ReplayClock",
    "Scale",
    "SectorTaken",
    "SerialRangeFinder",
    "SerialRangeSettings",
    "SimulatedBench",
    "SimulatedBenchSettings",
    "SimulatedCamera",
    "SimulatedCameraSettings",
    "SimulatedHandle",
    "SimulatedLaserSettings",
    "SimulatedRangeFinder",
    "SimulatedRangeHead",
    "SimulatedStage",
    "Slot",
    "StreamStatus",
    "Strobe",
    "StrobeSettings",
    "StrobedFrame",
    "SuiteInUse",
    "Tolerance",
    "UnitSettings",
    "Unpaired",
    "Verdict",
    "alive",
    "flicker_free_exposure_ms",
    "found_cameras",
    "is_current",
    "judge_phantom",
    "make_unit",
    "measure_calibration",
    "measure_phantom",
    "next_exposure_ms",
    "open_case",
    "photon_transfer",
    "read_calibration",
    "read_phantom",
    "read_target",
    "read_unit",
    "record_images",
    "scan_sectors",
    "shipped_targets",
    "subtract_ambient",
    "write_calibration",
    "write_phantom",
]
