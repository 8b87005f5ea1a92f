"""The moment of an exposure from a camera's stamps, against clocks that are known."""

import pytest

from glioscope.devices._camera_clock import CameraClock, Timed


class Clocks:
    """A monotonic and a wall clock that the test sets."""

    def __init__(self):
        self.now, self.wall_offset = 1000.0, 5e8

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now + self.wall_offset


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def clock(clocks):
    return CameraClock(monotonic=clocks.monotonic, wall=clocks.wall)


def stamp(clock, clocks, exposed, *, camera_zero=-70.0, received=None, read=None):
    """Feed one frame exposed at `exposed`, received and read at those monotonic times."""
    received = exposed if received is None else received
    clocks.now = received if read is None else read
    return clock.stamp(exposed + camera_zero, received + clocks.wall_offset)


def test_a_frame_gets_the_time_of_its_reception_however_late_it_is_read(clock, clocks):
    assert stamp(clock, clocks, 1000.0, received=1000.002, read=1003.0) == pytest.approx(1000.002)


def test_jitter_of_the_reception_is_taken_out(clock, clocks):
    delays = [0.001, 0.009, 0.004, 0.030, 0.002]
    ends = [
        stamp(clock, clocks, 1000 + 0.04 * frame, received=1000 + 0.04 * frame + delay)
        for frame, delay in enumerate(delays)
    ]
    assert ends == pytest.approx([1000.001 + 0.04 * frame for frame in range(5)], abs=1e-4)


def test_a_batch_that_was_held_up_keeps_its_age(clock, clocks):
    for frame in range(25):
        stamp(clock, clocks, 1000 + 0.04 * frame)
    late = [stamp(clock, clocks, 1001 + 0.04 * frame, received=1004.0) for frame in range(25)]
    assert max(end - (1001 + 0.04 * frame) for frame, end in enumerate(late)) < 1e-3


def test_a_drifting_camera_clock_is_followed(clock, clocks):
    for frame in range(15_000):
        exposed = 1000 + 0.04 * frame
        clocks.now = exposed + 0.001
        end = clock.stamp(exposed * (1 - 1e-4), clocks.now + clocks.wall_offset)
    assert abs(end - exposed) < 0.002


def test_a_camera_that_counts_anew_is_dated_by_its_reception(clock, clocks):
    stamp(clock, clocks, 1000.0, camera_zero=0.0)
    assert stamp(clock, clocks, 1001.0, camera_zero=-900.0) == pytest.approx(1001.0)


@pytest.mark.parametrize("step", [-3600.0, 3600.0, -0.5, 0.5])
def test_setting_the_wall_clock_moves_no_frame(clock, clocks, step):
    ends = []
    for frame in range(100):
        exposed = 1000 + 0.04 * frame
        clocks.now = exposed + 0.002
        received = clocks.now + clocks.wall_offset
        if frame == 50:
            clocks.wall_offset += step  # between the reception and the reading
        ends.append(clock.stamp(exposed, received))
    assert ends == pytest.approx([1000.002 + 0.04 * frame for frame in range(100)], abs=2e-3)


def test_after_a_new_exposure_the_clocks_are_compared_again(clock, clocks):
    stamp(clock, clocks, 1000.0)
    clock.restart(settle_s=0.1)
    old = stamp(clock, clocks, 1000.04)
    clocks.now = 1000.2
    new = [stamp(clock, clocks, 1000.2 + 0.04 * frame, camera_zero=-70.02) for frame in range(3)]
    assert [old, *new] == pytest.approx([1000.04, 1000.2, 1000.24, 1000.28], abs=1e-4)


def test_without_stamps_a_frame_is_dated_when_it_is_read(clock, clocks):
    clocks.now = 1234.5
    assert clock.stamp(None, None) == 1234.5


def test_a_known_delay_is_taken_off(clocks):
    clock = CameraClock(0.012, monotonic=clocks.monotonic, wall=clocks.wall)
    assert stamp(clock, clocks, 1000.0, received=1000.012) == pytest.approx(1000.0)


def test_the_same_moment_is_told_on_the_wall_clock(clock, clocks):
    assert clock.utc(clocks.now - 2).timestamp() == pytest.approx(clocks.wall() - 2)


def test_a_setting_is_remembered_as_it_was(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("glioscope.devices._camera_clock.time.monotonic", lambda: now[0])
    exposure = Timed(20.0)
    exposure.change(30.0)
    now[0] = 11.0
    exposure.change(40.0)
    assert [exposure.at(when) for when in (9.0, 10.5, 11.5)] == [20.0, 30.0, 40.0]
    assert exposure.value == 40.0
