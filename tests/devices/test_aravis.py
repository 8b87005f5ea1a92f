"""Aravis cameras against its fake cameras: one inside the program, and GigE cameras on this machine's network."""

import fcntl
import importlib
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from glioscope.core import Camera, DeviceError, DeviceState, InputError
from glioscope.devices._aravis import AravisCamera
from glioscope.devices._aravis_driver import load_aravis
from glioscope.devices._aravis_settings import AravisCameraSettings
from glioscope.devices._aravis_stream import id_steps

FL = {"rows": 512, "columns": 640, "pixel_format": "Mono16"}
WL = {"rows": 720, "columns": 1280, "pixel_format": "RGB8"}
SERVER = "arv-fake-gv-camera-0.8"


def _aravis_missing():
    try:
        load_aravis("test")
    except DeviceError as error:
        return error.reason
    return ""


pytestmark = pytest.mark.skipif(bool(_aravis_missing()), reason=_aravis_missing() or "Aravis is here")


class FakeGige:
    """A fake GigE camera in a process of its own; `unplug` kills it."""

    def __init__(self, address, serial, lost_per_thousand):
        self._command = [SERVER, "-i", address, "-s", serial, "-r", str(lost_per_thousand)]
        self._running = None
        self.plug()

    def plug(self):
        self._running = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        assert self._running.poll() is None, f"{self._command} ended at once: is its port taken?"

    def unplug(self):
        self._running.kill()
        self._running.wait()


@pytest.fixture
def gige():
    """Makes fake GigE cameras. They own a fixed port, so parallel workers take turns."""
    if shutil.which(SERVER) is None:
        pytest.skip(f"{SERVER} is not installed: apt install aravis-tools")
    plugged = []

    def plug(address="127.0.0.1", serial="TEST", lost_per_thousand=0):
        plugged.append(FakeGige(address, serial, lost_per_thousand))
        return plugged[-1]

    with Path(tempfile.gettempdir(), "glioscope-fake-gige.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield plug
        for camera in plugged:
            camera.unplug()


@pytest.fixture
def camera():
    """Makes cameras, and unstages them in the end."""
    made = []

    def make(name="fl", **settings):
        made.append(AravisCameraSettings(**settings).make(name))
        return made[-1]

    yield make
    for one in made:
        one.unstage()


def staged(camera):
    """A fake camera's process takes a moment until it answers."""
    end = time.monotonic() + 10
    while True:
        try:
            camera.stage()
            return
        except DeviceError:
            if time.monotonic() > end:
                raise


def frames(camera, count, timeout_s=10.0):
    got, end = [], time.monotonic() + timeout_s
    while len(got) < count and time.monotonic() < end:
        frame = camera.read(0.2)
        if frame is not None:
            got.append(frame)
    assert len(got) == count
    return got


def streamed(camera, count):
    """So many frames of a fresh start; once more if the machine was too busy to take in every packet."""
    for _ in range(3):
        camera.start(25.0)
        got = frames(camera, count)
        camera.stop()
        if not camera.report().details["frames_broken"]:
            break
    return got


def in_one_piece(pixels):
    """The fake camera's picture depends on column + row + frame only: any torn picture breaks its diagonals."""
    return np.array_equal(pixels[1:, :-1], pixels[:-1, 1:])


@pytest.mark.parametrize(
    ("pixels", "dtype", "shape", "white"),
    [
        ("Mono16", np.uint16, (512, 640), 65535),
        ("Mono8", np.uint16, (512, 640), 255),
        ("RGB8", np.uint8, (512, 640, 3), 255),
        ("BayerRG8", np.uint8, (512, 640, 3), 255),
    ],
)
def test_frames_have_shape_type_and_range_of_their_format(camera, pixels, dtype, shape, white):
    one = camera(interface="fake", rows=512, columns=640, pixel_format=pixels)
    assert isinstance(one, Camera)
    one.stage()
    info = one.info()
    assert (info.rows, info.columns, info.colour, info.white_level) == (512, 640, len(shape) == 3, white)
    one.start(25.0)
    frame = frames(one, 1)[0]
    assert (frame.pixels.dtype, frame.pixels.shape, frame.white_level) == (dtype, shape, white)
    assert frame.pixels.flags.writeable
    assert frame.pixels.max() <= white
    assert (frame.camera, frame.exposure_ms, frame.gain) == ("fl", 20.0, 0.0)


def test_twelve_bits_in_sixteen_can_be_declared(camera):
    one = camera(interface="fake", white_level=4095, **FL)
    one.stage()
    assert one.info().white_level == 4095


def test_exposure_and_gain_are_read_back_and_brighten_the_picture(camera):
    one = camera(interface="fake", exposure_ms=1.0, gain=0.0, **FL)
    one.stage()
    one.start(50.0)
    dark = frames(one, 3)[-1]
    assert one.set_exposure_ms(4.0) == pytest.approx(4.0)
    assert one.set_gain(1.0) == pytest.approx(1.0)
    bright = frames(one, 6)[-1]
    assert (dark.exposure_ms, dark.gain) == pytest.approx((1.0, 0.0))
    assert (bright.exposure_ms, bright.gain) == pytest.approx((4.0, 1.0))
    assert bright.pixels.mean() > dark.pixels.mean() * 1.5


def test_settings_outside_the_cameras_range_are_refused_with_value_and_limits(camera):
    one = camera(interface="fake", **FL)
    one.stage()
    with pytest.raises(InputError, match=r"fl: exposure 20000 ms is outside 0.01 to 10000 ms"):
        one.set_exposure_ms(20_000.0)
    with pytest.raises(InputError, match=r"fl: gain 99 is outside 0 to 10"):
        one.set_gain(99.0)
    with pytest.raises(InputError, match=r"5000 frames/s is outside 0.1 to 1000"):
        one.start(5000.0)


def test_nothing_is_open_before_stage_and_after_unstage(camera):
    one = camera(interface="fake", **FL)
    for _ in range(2):
        assert one.report().state == DeviceState.OFF
        with pytest.raises(DeviceError, match="fl: is not staged"):
            one.info()
        with pytest.raises(DeviceError, match="is not staged"):
            one.start(25.0)
        one.stop()
        one.stage()
        one.unstage()
        one.unstage()


def test_a_start_after_a_stop_begins_anew_with_new_frames(camera):
    one = camera(interface="fake", **FL)
    one.stage()
    for _ in range(3):
        one.start(50.0)
        begun = time.monotonic()
        got = frames(one, 4)
        assert [frame.sequence for frame in got] == [0, 1, 2, 3]
        assert got[0].monotonic_s > begun - 0.05
        one.stop()
        assert one.report().state == DeviceState.READY
        assert one.read(0.01) is None


def test_the_numbers_go_on_where_the_cameras_sixteen_bits_end(camera):
    one = camera(interface="fake", rows=32, columns=32)  # this camera's first number is 65400
    one.stage()
    one.start(200.0)
    got = frames(one, 250)
    assert [frame.sequence for frame in got] == list(range(250))


@pytest.mark.parametrize(
    ("last", "new", "steps"),
    [
        (7, 8, 1),
        (7, 10, 3),
        (65535, 1, 1),
        (65534, 2, 3),
        (7, 7, 0),
        (70_000, 1, 1),
        (300, 1, 1),
        (2**40, 2**40 + 2, 2),
    ],
)
def test_steps_between_numbers_of_the_camera(last, new, steps):
    assert id_steps(last, new) == steps


def test_a_gige_camera_gives_three_seconds_without_a_gap(gige, camera):
    gige()
    one = camera(address="127.0.0.1", **FL)
    staged(one)
    began = time.monotonic()
    got = streamed(one, 75)
    assert [frame.sequence for frame in got] == list(range(75))
    times = np.array([frame.monotonic_s for frame in got])
    assert np.median(np.diff(times)) == pytest.approx(0.04, abs=0.006)
    assert np.diff(times).min() > 0
    assert began < got[0].monotonic_s < got[-1].monotonic_s < time.monotonic()
    assert all(in_one_piece(frame.pixels) for frame in got)
    assert got[-1].utc.timestamp() == pytest.approx(time.time(), abs=1.0)


def test_a_camera_is_found_by_its_id_and_a_wrong_id_names_those_that_answer(gige, camera):
    gige(serial="SEVEN")
    one = camera(camera_id="Aravis-Fake-SEVEN", **FL)
    staged(one)
    assert (one.info().model, one.info().serial) == ("Aravis Fake", "SEVEN")
    with pytest.raises(
        DeviceError, match="wl: no GigE Vision camera 'Aravis-Fake-SIX' answers; found: Aravis-Fake-SEVEN"
    ):
        camera("wl", camera_id="Aravis-Fake-SIX").stage()
    with pytest.raises(DeviceError, match=r"0 USB3 Vision cameras answer \(none\): set camera_id"):
        camera("wl", interface="usb3").stage()


def test_a_camera_in_other_hands_is_named_and_free_again_afterwards(gige, camera):
    gige()
    first, second = camera("fl", address="127.0.0.1", **FL), camera("wl", address="127.0.0.1", **FL)
    staged(first)
    with pytest.raises(DeviceError, match="wl: is controlled by another program"):
        second.stage()
    first.start(25.0)
    frames(first, 5)
    first.unstage()
    second.stage()
    second.start(25.0)
    frames(second, 5)


def test_an_unplugged_camera_is_named_and_is_back_within_three_seconds(gige, camera):
    plug = gige()
    one = camera(address="127.0.0.1", **FL)
    staged(one)
    one.start(25.0)
    frames(one, 10)
    plug.unplug()
    unplugged = time.monotonic()
    with pytest.raises(DeviceError, match=r"fl: nothing came for 1.1 s: unplugged"):
        while time.monotonic() < unplugged + 5:
            one.read(0.1)
    assert time.monotonic() - unplugged < 2.0
    assert (one.report().state, len(one.report().faults)) == (DeviceState.FAULT, 1)
    with pytest.raises(DeviceError, match="unplugged"):
        one.read(0.1)
    plug.plug()
    back = time.monotonic()
    staged(one)
    one.start(25.0)
    got = frames(one, 5)
    assert time.monotonic() - back < 3.0
    assert [frame.sequence for frame in got] == [0, 1, 2, 3, 4]
    assert got[0].monotonic_s > back
    assert one.report().faults == ()


def test_with_five_percent_of_packets_lost_only_whole_pictures_come_and_the_rest_are_gaps(gige, camera):
    gige(lost_per_thousand=50)
    # 11 packets a frame: a little over half of the frames arrive whole.
    one = camera(address="127.0.0.1", packet_size=65000, resend=False, **FL)
    staged(one)
    one.start(50.0)
    got = frames(one, 60, timeout_s=15.0)
    numbers = np.array([frame.sequence for frame in got])
    assert all(in_one_piece(frame.pixels) for frame in got)
    assert (np.diff(numbers) >= 1).all()
    lost = int(numbers[-1] - numbers[0] + 1 - len(numbers))
    assert lost > 5
    # What the driver counted as broken, besides frames before the first whole one and those whose start was lost too.
    assert one.report().details["frames_broken"] == pytest.approx(lost, abs=0.35 * lost + 3)
    times = np.array([frame.monotonic_s for frame in got])
    assert 0.019 < np.polyfit(numbers, times, 1)[0] < 0.03  # a busy machine slows the fake camera down


def test_two_cameras_stream_at_once(gige, camera):
    gige("127.0.0.1", "FL")
    fl = camera("fl", address="127.0.0.1", **FL)
    wl = camera("wl", interface="fake", **WL)  # a second GigE server would have to listen outside loopback
    for one in (fl, wl):
        staged(one)
    with ThreadPoolExecutor() as threads:
        from_fl, from_wl = threads.map(streamed, (fl, wl), (25, 25))
    assert [frame.sequence for frame in from_fl] == list(range(25))
    assert [frame.sequence for frame in from_wl] == list(range(25))
    assert (from_fl[-1].pixels.shape, from_wl[-1].pixels.shape) == ((512, 640), (720, 1280, 3))
    assert all(in_one_piece(frame.pixels) for frame in from_fl)


def test_a_slow_reader_loses_the_oldest_and_what_it_gets_is_new(camera):
    one = camera(interface="fake", max_waiting=4, buffers=12, rows=64, columns=64)
    one.stage()
    one.start(50.0)
    frames(one, 5)
    ages, numbers = [], []
    for _ in range(3):
        time.sleep(0.5)
        frame = frames(one, 1)[0]
        ages.append(time.monotonic() - frame.monotonic_s)
        numbers.append(frame.sequence)
    assert max(ages) < 0.1
    assert min(np.diff(numbers)) > 10  # this camera does not number frames for which it found no room
    assert one.report().details["frames_dropped"] >= 3 * 12


def test_a_stop_from_another_thread_ends_a_read(camera):
    one = camera(interface="fake", rows=32, columns=32)
    one.stage()
    one.start(0.5)
    frames(one, 1)
    stopping = threading.Timer(0.2, one.stop)
    stopping.start()
    assert one.read(0.6) is None
    stopping.join()
    assert one.report().state == DeviceState.READY


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pixel_format": "Mono12"}, r"fl: has no pixel format Mono12; it has Mono16, "),
        ({"features": {"ExposureTym": "3"}}, r"fl: has no feature 'ExposureTym'"),
        ({"rows": 4096}, r"fl: has 2048 x 2048 pixels; the region"),
        ({"camera_id": "Fake_9"}, r"fl: camera Fake_9 cannot be opened: .*not found"),
    ],
)
def test_what_the_camera_lacks_is_named(camera, settings, sentence):
    one = camera(interface="fake", **settings)
    with pytest.raises(DeviceError, match=sentence):
        one.stage()


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(InputError, match="max_waiting is 16, it must be below buffers"):
        AravisCamera("fl", AravisCameraSettings(max_waiting=16))


def test_without_the_driver_the_error_names_the_command_that_installs_it(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(DeviceError, match=r"fl: .*apt install gir1.2-aravis-0.8 .*pip install 'glioscope\[aravis\]'"):
        AravisCameraSettings(interface="fake").make("fl").stage()
