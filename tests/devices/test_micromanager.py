"""Micro-Manager cameras and stages against its demo hardware, run by the real core."""

import importlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from glioscope.core import Camera, DeviceError, DeviceState, InputError, MotionStage
from glioscope.devices._micromanager_core import adapter_folders
from glioscope.devices._micromanager_frames import Numbering, to_pixels
from glioscope.devices._micromanager_settings import MicroManagerCameraSettings, MicroManagerStageSettings
from glioscope.devices._settings import read_unit

FL = {
    "library": "DemoCamera",
    "device": "DCam",
    "properties": {"PixelType": "16bit", "BitDepth": "12", "OnCameraCCDXSize": "640", "OnCameraCCDYSize": "512"},
}
WL = {
    "library": "DemoCamera",
    "device": "DCam",
    "colour": True,
    "properties": {
        "PixelType": "32bitRGB",
        "OnCameraCCDXSize": "1280",
        "OnCameraCCDYSize": "720",
        "Mode": "Color Test Pattern",
    },
}
DEMO = {"library": "DemoCamera", "device": "DStage"}


def _missing():
    try:
        importlib.import_module("pymmcore")
        importlib.import_module("mm_test_adapters")
    except ImportError as error:
        return f"{error.name} is not installed: pip install 'glioscope[devices,dev]'"
    return ""


needs_core = pytest.mark.skipif(bool(_missing()), reason=_missing() or "Micro-Manager is here")


@pytest.fixture
def camera():
    """Makes cameras, and unstages them in the end."""
    made = []

    def make(name="fl", **settings):
        made.append(MicroManagerCameraSettings(**settings).make(name))
        return made[-1]

    yield make
    for one in made:
        one.unstage()


@pytest.fixture
def stage():
    """A staged stage with two demo motors; 200 mm is the distance motor's zero."""
    distance = {**DEMO, "low": 199.8, "high": 200.25, "speed": 5.0, "zero": 200.0}
    rotation = {**DEMO, "low": -90.0, "high": 90.0, "speed": 50.0, "per_um": 1.0}
    made = MicroManagerStageSettings(distance=distance, rotation=rotation).make("stage")
    made.stage()
    yield made
    made.unstage()


def frames(camera, count, timeout_s=10.0):
    got, end = [], time.monotonic() + timeout_s
    while len(got) < count and time.monotonic() < end:
        frame = camera.read(0.2)
        if frame is not None:
            got.append(frame)
    assert len(got) == count
    return got


@needs_core
def test_a_grey_camera_gives_sixteen_bits_with_the_white_of_its_bit_depth(camera):
    one = camera(**FL)
    assert isinstance(one, Camera)
    one.stage()
    info = one.info()
    assert (info.rows, info.columns, info.colour, info.white_level) == (512, 640, False, 4095)
    one.start(25.0)
    frame = frames(one, 3)[-1]
    assert (frame.pixels.dtype, frame.pixels.shape) == (np.uint16, (512, 640))
    assert 0 < frame.pixels.max() <= frame.white_level == 4095
    assert frame.pixels.flags.writeable
    assert one.report().temperature_c == 0.0


@needs_core
def test_an_eight_bit_camera_in_the_fluorescence_slot_keeps_its_counts(camera):
    one = camera(library="DemoCamera", device="DCam", properties={"PixelType": "8bit"})
    one.stage()
    one.start(25.0)
    frame = frames(one, 1)[0]
    assert (frame.pixels.dtype, frame.white_level) == (np.uint16, 255)
    assert 0 < frame.pixels.max() <= 255


@needs_core
def test_a_colour_camera_gives_red_green_blue_in_this_order(camera):
    one = camera("wl", **WL)
    one.stage()
    one.start(25.0)
    pixels = frames(one, 2)[-1].pixels
    assert (pixels.dtype, pixels.shape) == (np.uint8, (720, 1280, 3))
    # The demo's test pattern has fields of one colour; pymmcore-plus, which reads them by itself, shows them so too.
    fields = [(pixels[..., channel] > 200) & (pixels.sum(axis=2) == pixels[..., channel]) for channel in range(3)]
    tops = [int(np.nonzero(field)[0].min()) for field in fields]
    assert tops == [180, 90, 0]


def test_bgra_words_become_rgb():
    word = np.array([[0xFF112233]], np.uint32)  # alpha, red, green, blue from the top
    assert to_pixels(word).tolist() == [[[0x11, 0x22, 0x33]]]


@needs_core
def test_three_seconds_without_a_gap_at_the_rate_asked_for(camera):
    one = camera(exposure_ms=20.0, **FL)  # twice as fast as asked: every other frame is left out
    one.stage()
    one.start(25.0)
    got, ages = [], []
    for _ in range(75):
        got += frames(one, 1)
        ages.append(time.monotonic() - got[-1].monotonic_s)
    assert [frame.sequence for frame in got] == list(range(75))
    assert (got[-1].monotonic_s - got[0].monotonic_s) / 74 == pytest.approx(0.04, rel=0.15)
    assert min(ages) > 0
    assert np.median(ages) < 0.03
    assert got[-1].utc.timestamp() == pytest.approx(time.time(), abs=1.0)


@needs_core
def test_exposure_and_gain_change_while_it_streams_without_a_gap(camera):
    one = camera(exposure_ms=20.0, gain=0.0, **FL)
    one.stage()
    one.start(50.0)
    before = frames(one, 5)
    assert one.set_exposure_ms(12.5) == pytest.approx(12.5)
    assert one.set_gain(3.0) == 3.0
    after = frames(one, 20)
    assert {frame.exposure_ms for frame in before} == {20.0}
    assert [after[-1].exposure_ms, after[-1].gain] == [12.5, 3.0]
    assert [frame.sequence for frame in (*before, *after)] == list(range(25))
    assert (np.diff([frame.monotonic_s for frame in (*before, *after)]) > 0).all()


@needs_core
def test_settings_outside_the_cameras_range_are_refused_with_value_and_limits(camera):
    one = camera(**FL)
    one.stage()
    with pytest.raises(InputError, match=r"fl: exposure 20000 ms is outside 0.001 to 10000 ms"):
        one.set_exposure_ms(20_000.0)
    with pytest.raises(InputError, match=r"fl: gain 9 is outside -5 to 8"):
        one.set_gain(9.0)
    with pytest.raises(InputError, match="0 frames/s is outside"):
        one.start(0.0)


@needs_core
def test_nothing_is_open_before_stage_and_after_unstage(camera):
    one = camera(**FL)
    for _ in range(2):
        assert one.report().state == DeviceState.OFF
        with pytest.raises(DeviceError, match="fl: is not staged"):
            one.start(25.0)
        one.stop()
        one.stage()
        one.unstage()
        one.unstage()


@needs_core
def test_a_start_after_a_stop_begins_anew_with_new_frames(camera):
    one = camera(exposure_ms=10.0, **FL)
    one.stage()
    for _ in range(3):
        one.start(50.0)
        begun = time.monotonic()
        got = frames(one, 4)
        assert [frame.sequence for frame in got] == [0, 1, 2, 3]
        assert got[0].monotonic_s > begun
        one.stop()
        assert one.report().state == DeviceState.READY
        assert one.read(0.01) is None


@needs_core
def test_a_slow_reader_loses_the_oldest_and_what_it_gets_is_new(camera):
    one = camera(exposure_ms=10.0, max_waiting=4, buffer_mb=8, **FL)  # room for 12 frames: it overflows
    one.stage()
    one.start(100.0)
    frames(one, 5)
    ages, numbers = [], []
    for _ in range(3):
        time.sleep(0.5)
        frame = frames(one, 1)[0]
        ages.append(time.monotonic() - frame.monotonic_s)
        numbers.append(frame.sequence)
    assert max(ages) < 0.1
    assert min(np.diff(numbers)) > 30
    assert one.report().details["frames_dropped"] > 5
    assert one.report().state == DeviceState.RUNNING


@needs_core
def test_a_camera_that_goes_away_is_named_and_staging_brings_it_back(camera):
    one = camera(exposure_ms=10.0, **FL)
    one.stage()
    one.start(25.0)
    frames(one, 3)
    one._core.stopSequenceAcquisition()  # behind its back, as a lost adapter does
    gone = time.monotonic()
    with pytest.raises(DeviceError, match="fl: stopped streaming by itself"):
        while time.monotonic() < gone + 5:
            one.read(0.1)
    assert (one.report().state, len(one.report().faults)) == (DeviceState.FAULT, 1)
    one._core.unloadAllDevices()
    with pytest.raises(DeviceError):
        one.read(0.1)
    back = time.monotonic()
    one.stage()
    one.start(25.0)
    assert frames(one, 3)[0].monotonic_s > back
    assert time.monotonic() - back < 3.0
    assert one.report().faults == ()


@needs_core
def test_a_driver_that_fails_in_the_middle_becomes_a_named_error(camera):
    one = camera(exposure_ms=10.0, **FL)
    one.stage()
    one.start(25.0)
    frames(one, 1)
    one._core.stopSequenceAcquisition()
    one._core.unloadAllDevices()
    gone = time.monotonic()
    with pytest.raises(DeviceError, match="fl: "):
        while time.monotonic() < gone + 5:
            one.read(0.1)
    assert one.report().state == DeviceState.FAULT


@needs_core
def test_two_cameras_of_different_size_stream_at_once(camera):
    fl, wl = camera("fl", exposure_ms=20.0, **FL), camera("wl", exposure_ms=20.0, **WL)
    for one in (fl, wl):
        one.stage()
    got = {}
    threads = [threading.Thread(target=lambda one=one: got.update({one.name: _run(one)})) for one in (fl, wl)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [frame.sequence for frame in got["fl"]] == list(range(25))
    assert [frame.sequence for frame in got["wl"]] == list(range(25))
    assert (got["fl"][0].pixels.shape, got["wl"][0].pixels.shape) == ((512, 640), (720, 1280, 3))


def _run(camera):
    camera.start(25.0)
    return frames(camera, 25)


@needs_core
def test_a_camera_can_come_from_a_configuration_file(camera):
    file = adapter_folders()[0] / "MMConfig_demo.cfg"
    one = camera(config_file=file, device="Camera", properties={"PixelType": "16bit"})
    one.stage()
    assert one.info().white_level in {255, 65535}
    wrong = camera(config_file=file, device="Kamera")
    with pytest.raises(DeviceError, match=r"MMConfig_demo.cfg has no camera 'Kamera'; it has: Camera"):
        wrong.stage()


@needs_core
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"library": "DemoKamera"}, r"no adapter 'DemoKamera' in .*; there are: DemoCamera, "),
        ({"device": "DKam"}, r"adapter DemoCamera has no camera 'DKam'; it has: DCam"),
        ({"device": "DStage"}, r"adapter DemoCamera has no camera 'DStage'; it has: DCam"),
        ({"properties": {"Gane": "1"}}, r"has no property 'Gane'; it has: Gain, .* more"),
        ({"properties": {"PixelType": "16"}}, r"property PixelType cannot be '16'; it can be: 16bit, "),
        ({"properties": {"Gain": "100"}}, r"property Gain cannot be '100'; it can be -5 to 8"),
        ({"properties": {"PixelType": "64bitRGB"}}, r"gives pixels that cannot be used \(4 components, 8 bytes"),
        ({"colour": True}, r"gives grey frames where RGB ones were asked for"),
        ({"properties": {"PixelType": "32bitRGB"}}, r"gives RGB frames where grey ones were asked for"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(camera, settings, sentence):
    one = camera(**{"library": "DemoCamera", "device": "DCam", **settings})
    with pytest.raises(DeviceError, match=f"fl: {sentence}"):
        one.stage()
    assert one.report().state == DeviceState.FAULT


def test_without_the_driver_the_error_names_the_command_that_installs_it(camera, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(DeviceError, match=r"fl: .*pip install 'glioscope\[devices\]'"):
        camera(**FL).stage()


def test_settings_name_one_source():
    with pytest.raises(ValidationError, match="either library"):
        MicroManagerCameraSettings()
    with pytest.raises(ValidationError, match="low is 3, it must be below high"):
        MicroManagerStageSettings(distance={**DEMO, "low": 3.0, "high": 2.0, "speed": 1.0})
    with pytest.raises(ValidationError, match="give distance, rotation or both"):
        MicroManagerStageSettings()


def test_numbers_leave_a_gap_for_lost_frames_and_none_for_frames_left_out():
    numbering = Numbering(0.04)
    taken = [numbering.take(number, 0.02 * number) for number in (0, 1, 2, 3, 4, 9, 10)]
    # Every other frame is left out; 5 to 8 are lost; 9 comes between two multiples of the period, 10 on one.
    assert taken == [0, None, 1, None, 2, 6 + 1, 8]


@pytest.mark.parametrize("rate", [100.0, 51.3, 25.1, 25.0, 24.4])
def test_frames_are_thinned_to_the_wanted_rate_on_a_common_grid(rate):
    kept = {}
    for phase in (0.0003, 0.0071):
        numbering = Numbering(0.04)
        times = [1000 + phase + number / rate for number in range(round(20 * rate))]
        kept[phase] = [time for number, time in enumerate(times) if numbering.take(number, time) is not None]
        assert len(kept[phase]) == pytest.approx(20 * min(rate, 25.0), rel=0.01)
    if rate >= 100:
        apart = [min(abs(one - other) for other in kept[0.0071]) for one in kept[0.0003][2:-2]]
        assert max(apart) <= 1 / rate + 1e-6


def test_numbers_go_on_when_the_core_counts_anew():
    numbering = Numbering(None)
    assert [numbering.take(number, 0.0) for number in (0, 1, 2)] == [0, 1, 2]
    numbering.resume(lost=0)
    assert numbering.take(0, 0.0) == 3
    numbering.resume(lost=2)
    assert numbering.take(0, 0.0) == 6
    assert numbering.take(0, 0.0) == 8  # without a word: at least one was lost


@needs_core
def test_the_stage_moves_in_its_own_units(stage):
    assert isinstance(stage, MotionStage)
    stage.move_to("distance", 200.1)
    stage.move_to("rotation", -45.0)
    assert stage.position("distance") == pytest.approx(200.1)
    assert stage._cores["distance"].getPosition("distance") == pytest.approx(100.0)  # micrometres
    assert stage.position("rotation") == pytest.approx(-45.0)
    assert not stage.moving("rotation")
    assert (stage.axes["distance"].unit, stage.axes["rotation"].unit) == ("mm", "deg")
    assert stage.report().details == pytest.approx({"distance_mm": 200.1, "rotation_deg": -45.0})


@needs_core
def test_no_move_goes_beyond_a_soft_limit(stage):
    with pytest.raises(InputError, match=r"stage: distance 300 mm is outside its soft limits, 199.8 to 200.25 mm"):
        stage.move_to("distance", 300.0)
    with pytest.raises(InputError, match=r"stage: rotation jog at 51 deg/s is over its highest speed, 50 deg/s"):
        stage.jog("rotation", 51.0)
    with pytest.raises(InputError, match="stage: distance nan mm is outside"):
        stage.move_to("distance", float("nan"))
    with pytest.raises(InputError, match="no axis 'tilt' is fitted; there are: distance, rotation"):
        stage.move_to("tilt", 0.0)
    assert stage.position("distance") == 200.0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        stage.jog("distance", 5.0)
        time.sleep(0.02)
    assert stage.position("distance") == pytest.approx(200.25)


@needs_core
def test_a_jog_keeps_its_speed_and_ends_when_it_is_not_renewed(stage):
    began = time.monotonic()
    while time.monotonic() < began + 0.6:
        stage.jog("rotation", 20.0)
        time.sleep(0.03)
    lasted = time.monotonic() - began
    assert stage.position("rotation") == pytest.approx(20.0 * (lasted + 0.2), abs=4.0)
    time.sleep(0.4)
    rested = stage.position("rotation")
    assert rested <= 20.0 * (lasted + 0.2) + 0.1
    assert stage._jogs == {}
    stage.jog("rotation", -20.0)
    stage.jog("rotation", 0.0)
    assert stage._jogs == {}


@needs_core
def test_a_motor_that_is_slower_than_its_jog_is_stopped_when_the_jog_ends(stage):
    """The demo motor is always there at once; here its target is never reached until it is told to stop."""

    class Slow:
        def __init__(self):
            self.position = self.target = 0.0
            self.stopped = 0

        def getPosition(self, _label):
            return self.position

        def setPosition(self, _label, target):
            self.target = target

        def stop(self, _label):
            self.target, self.stopped = self.position, self.stopped + 1

        def unloadAllDevices(self):
            pass

    slow = stage._cores["rotation"] = Slow()
    for _ in range(10):
        stage.jog("rotation", 50.0)
        slow.position += 0.1
        assert slow.target - slow.position <= 50.0 * 0.2
        time.sleep(0.02)
    time.sleep(0.4)
    assert slow.stopped
    assert slow.target == slow.position


@needs_core
def test_a_lost_motor_is_named_and_stop_never_raises(stage):
    stage._cores["rotation"].unloadAllDevices()
    with pytest.raises(DeviceError, match="stage: rotation does not tell its position: "):
        stage.position("rotation")
    stage.stop()
    assert stage.report().state == DeviceState.FAULT
    assert any("rotation" in fault for fault in stage.report().faults)
    stage.stage()
    stage.move_to("rotation", 10.0)
    assert stage.position("rotation") == pytest.approx(10.0)


@needs_core
def test_a_wrong_stage_is_named_with_those_that_exist():
    wrong = {"library": "DemoCamera", "device": "DStadge", "low": 0.0, "high": 1.0, "speed": 1.0}
    with pytest.raises(DeviceError, match="adapter DemoCamera has no single-axis stage 'DStadge'; it has: DStage"):
        MicroManagerStageSettings(distance=wrong).make("stage").stage()


def test_the_example_of_a_nirvana_can_be_read():
    unit = read_unit(Path(__file__).parents[2] / "docs" / "examples" / "nirvana640.toml")
    assert isinstance(unit.fl, MicroManagerCameraSettings)
    assert (unit.fl.library, unit.fl.colour) == ("PICAM", False)
    assert unit.fl.exposure_ms < 1000 / unit.frames_per_second
    assert "untested" in unit.name
