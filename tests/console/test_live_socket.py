"""The live websocket: newest pictures for who keeps up, fewer for who does not, a heartbeat for who looks."""

import json
import logging
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from glioscope.cases import AccountRole
from glioscope.console._live_messages import PageMessage, live_owner, pack, read_message
from glioscope.console._live_scale import LiveScale
from glioscope.console._live_socket import ENDED, REFUSED
from glioscope.console._live_stats import PaintTimes
from glioscope.core import InputError

from .live_console import OFFSET, LiveConsole, PlateTheatre, plate, served

PAGE = "0123456789abcdef"


@pytest.fixture(scope="module")
def running():
    console = LiveConsole(PlateTheatre())
    with served(console) as (address, live):
        yield SimpleNamespace(console=console, theatre=console.theatre, live=live, url=f"ws://{address}/live")


@pytest.fixture
def server(running):
    """As it began: nobody looks, the session holds, the plate lies there."""
    end = time.monotonic() + 5
    while running.live.viewers:
        assert time.monotonic() < end, "a viewer of the test before is still there"
        time.sleep(0.01)
    running.console.reset()
    running.theatre.plate, running.theatre.stopped = plate(), False
    running.theatre.beats.clear()
    running.live.times = PaintTimes()
    running.live.pictures.set_scale(LiveScale(OFFSET, 8191))
    return running


class Screen:
    """A viewer that paints at once, or not at all."""

    def __init__(self, url: str, page: str = PAGE) -> None:
        self._opened = connect(f"{url}?page={page}", max_size=None, compression=None, close_timeout=2)
        self.socket = self._opened.__enter__()
        self.known = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def message(self, timeout: float = 3.0) -> tuple[dict, bytes, bytes]:
        data = self.socket.recv(timeout)
        length = int.from_bytes(data[:4], "little")
        header = json.loads(data[4 : 4 + length])
        fl_end = 4 + length + header["fl_bytes"]
        self.known |= header
        assert len(data) == fl_end + header["wl_bytes"]
        return header, data[4 + length : fl_end], data[fl_end:]

    def say(self, **message) -> None:
        self.socket.send(json.dumps(message))

    def look(self, seconds: float, *, visible: bool = True, delay: float = 0.0) -> list[dict]:
        """Paint what comes for a while; the headers of the pictures."""
        seen, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            header, _, _ = self.message()
            if "sequence" in header:
                time.sleep(delay)
                self.say(ack=header["id"], visible=visible)
                seen.append(header)
        return seen

    def until(self, name: str, seconds: float = 4.0):
        """Paint until a header brings this."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            header, _, _ = self.message()
            if "sequence" in header:
                self.say(ack=header["id"], visible=True)
            if name in header:
                return header[name]
        raise AssertionError(f"no {name} within {seconds} s")


def test_a_picture_decodes_to_the_scene_and_says_its_scale(server):
    with Screen(server.url) as screen:
        header, fl, wl = screen.message()
        while not fl:
            header, fl, wl = screen.message()
        index, colour = (cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_UNCHANGED) for part in (fl, wl))
        low, high = header["scale"]["low"], header["scale"]["high"]
        assert index[250, 175] == pytest.approx(239 * (4000 - low) / (high - low), abs=6)
        assert header["size"] == [640, 512]
        assert colour.shape == (512, 640, 3)
        assert 0 <= header["age_ms"] < 500


def test_who_keeps_up_sees_every_picture_in_order(server):
    with Screen(server.url) as screen:
        screen.look(1.0)
        seen = screen.look(2.0)
    numbers = [header["sequence"] for header in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 35  # 50 pairs; the machine may be busy


def test_who_never_acknowledges_gets_two_pictures_and_the_state_goes_on(server):
    with Screen(server.url) as screen:
        messages = []
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            messages.append(screen.message()[0])
        pictures = [header for header in messages if "sequence" in header]
        states = [header for header in messages if "strip" in header]
        assert len(pictures) == 2
        assert 4 <= len(states) <= 9


def test_a_slow_screen_gets_fewer_pictures_never_older_ones(server):
    with Screen(server.url) as slow:
        seen = slow.look(3.0, delay=0.2)
        assert 8 <= len(seen) <= 20
        ages = [header["age_ms"] for header in seen]
        assert max(ages) < 400
        assert np.median(ages) < 120


def test_a_slow_screen_does_not_hold_up_another(server):
    with Screen(server.url) as fast, Screen(server.url, "fedcba9876543210") as slow:
        slow.message()
        fast.look(0.5)
        assert len(fast.look(2.0)) >= 30
        assert len(server.live.viewers) == 2
    end = time.monotonic() + 3
    while server.live.viewers:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_viewer_that_vanishes_leaves_nothing_behind(server):
    screen = Screen(server.url)
    screen.look(0.5)
    screen.socket.socket.close()  # no closing handshake
    end = time.monotonic() + 5
    while server.live.viewers:
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.2)
    before = server.live.pictures.newest()
    time.sleep(0.3)
    assert server.live.pictures.newest() is before


def test_an_acknowledgement_of_a_visible_page_is_the_heartbeat_of_its_owner(server):
    with Screen(server.url) as screen:
        screen.look(0.5, visible=False)
        assert server.theatre.beats == []
        seen = screen.look(1.0)
        assert len(server.theatre.beats) >= 0.8 * len(seen)
        assert set(server.theatre.beats) == {live_owner(server.console.login.token, PAGE)}
        assert server.console.login.token not in server.theatre.beats[0]


def test_whoever_sees_the_past_does_not_keep_the_laser_alight(server):
    with Screen(server.url) as screen:
        screen.look(1.5, delay=0.7)
        assert server.theatre.beats == []


def test_an_acknowledgement_of_something_that_was_never_sent_counts_for_nothing(server):
    with Screen(server.url) as screen:
        for number in (999, -5, 999):
            screen.say(ack=number, visible=True)
        screen.message()
        time.sleep(0.2)
        assert server.theatre.beats == []
        assert server.live.times.stats().painted == 0


def test_times_are_measured_up_to_the_acknowledgement(server):
    with Screen(server.url) as screen:
        screen.look(2.0, delay=0.1)
        stats = server.live.times.stats()
        assert stats.painted >= 10
        assert 100 <= stats.p50_ms < 400
        assert screen.until("shown")["painted"] >= 10


def test_a_picture_that_was_skipped_is_not_counted_as_painted(server):
    with Screen(server.url) as screen:
        for _ in range(4):
            header, _, _ = screen.message()
            screen.say(ack=header["id"], visible=True, skipped=True)
        time.sleep(0.1)
        assert server.live.times.stats().painted == 0


def test_cursor_regions_and_tray_are_measured_from_real_counts(server):
    with Screen(server.url) as screen:
        screen.say(cursor=[120, 210], regions=[{"name": "1", "kind": "box", "points": [[120, 220], [230, 280]]}])
        assert screen.until("cursor")["counts"] == int(plate()[210, 120])
        (read,) = screen.until("regions")
        assert read["name"] == "1"
        assert read["signal"] == pytest.approx(3400, rel=0.01)
        screen.say(tray=True, cursor=[])
        assert len(screen.until("outlines")) >= 1
        screen.look(0.3)
        assert "cursor" not in screen.look(0.5)[-1]


def test_a_frozen_page_is_measured_from_the_picture_that_it_shows(server):
    with Screen(server.url) as screen:
        shown = screen.look(0.5)[-1]
        screen.say(frozen=shown["id"], cursor=[120, 210])
        screen.until("cursor")
        server.theatre.plate = np.zeros_like(plate())
        screen.look(0.5)
        header, fl, _ = screen.message()
        assert (header["frozen"], fl) == (True, b"")
        assert screen.until("cursor")["counts"] == int(plate()[210, 120])
        screen.say(frozen=-1)
        screen.look(0.5)
        assert screen.until("cursor")["counts"] == 0


def test_the_scale_is_for_all_and_only_the_operator_sets_it(server):
    with Screen(server.url) as screen, Screen(server.url, "fedcba9876543210") as other:
        screen.say(scale={"low": 100, "high": 2000, "gamma": 0.5})
        other.look(0.5)
        assert other.look(0.3)[-1]["scale"] == {"low": 100, "high": 2000, "gamma": 0.5}
        screen.say(scale={"low": 2000, "high": 100})
        assert "2000 to 100" in screen.until("said")
        server.console.login.actor = server.console.login.actor.__class__("sam", AccountRole.SURGEON)
        screen.say(scale={"low": 0, "high": 3000})
        assert "sam is surgeon" in screen.until("said")
        assert other.look(0.3)[-1]["scale"]["high"] == 2000


def test_the_socket_closes_when_the_session_ends(server):
    with Screen(server.url) as screen:
        screen.look(0.3)
        server.console.ended = True
        with pytest.raises(ConnectionClosed) as closed:
            screen.look(4.0)
    assert closed.value.rcvd.code == ENDED


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        '{"ack": "x y"}',
        '{"other": 1}',
        '{"regions": [{"name": "<b>", "kind": "box", "points": [[0,0],[1,1]]}]}',
        '{"cursor": [1e999, 0]}',
        '{"scale": {"low": 1}}',
        "x" * 20_000,
    ],
)
def test_a_message_that_cannot_be_closes_the_socket_and_is_logged_without_its_words(server, caplog, wrong):
    with caplog.at_level(logging.WARNING, "glioscope.console"), Screen(server.url) as screen:
        screen.socket.send(wrong)
        with pytest.raises(ConnectionClosed) as closed:
            screen.look(3.0)
    assert closed.value.rcvd.code == REFUSED
    assert "x y" not in caplog.text
    assert "<b>" not in caplog.text
    assert "live view of anna closed" in caplog.text


@pytest.mark.parametrize("page", ["", "short", "x" * 65, "..%2f..%2fetc"])
def test_a_page_without_a_proper_id_is_refused(server, page):
    with pytest.raises(InvalidStatus), Screen(server.url, page):
        pass


def test_nobody_without_a_log_in_is_let_in(server):
    server.console.login = None
    with pytest.raises(InvalidStatus), Screen(server.url):
        pass


def test_cameras_that_stop_leave_the_state_coming_and_no_picture(server):
    with Screen(server.url) as screen:
        screen.look(0.5)
        server.theatre.stopped = True
        screen.look(0.3)
        end, pictures, states = time.monotonic() + 1.0, 0, 0
        while time.monotonic() < end:
            header, _, _ = screen.message()
            pictures += "sequence" in header
            states += "strip" in header
        assert pictures == 0
        assert states >= 3


def test_a_message_is_packed_as_the_page_reads_it():
    data = pack({"id": 3}, b"abc", b"de")
    length = int.from_bytes(data[:4], "little")
    assert json.loads(data[4 : 4 + length]) == {"id": 3, "fl_bytes": 3, "wl_bytes": 2}
    assert data[4 + length :] == b"abcde"


def test_what_a_message_leaves_out_stays_as_it_was():
    assert read_message('{"ack": 4}') == PageMessage(ack=4)
    with pytest.raises(InputError):
        read_message('{"ack": null, "unknown": 1}')
