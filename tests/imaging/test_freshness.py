from dataclasses import replace

import numpy as np
import pytest

from glioscope.core import Frame, InputError
from glioscope.imaging._freshness import FrameWatch


def frames(n, *, camera="nir", start=0, colour=False, seed=0, period_s=0.05):
    """A still scene with the noise of a camera."""
    rng = np.random.default_rng(seed)
    shape = (32, 40, 3) if colour else (32, 40)
    dtype, level, noise = (np.uint8, 120, 2) if colour else (np.uint16, 1200, 15)
    return [
        Frame(
            (level + noise * rng.standard_normal(shape)).clip(0, np.iinfo(dtype).max).astype(dtype),
            camera,
            start + k,
            monotonic_s=10.0 + period_s * k,
        )
        for k in range(n)
    ]


def names(reasons):
    return [reason.name for reason in reasons]


def run(watch, given, delay_s=0.01):
    return [names(watch.check(frame, frame.monotonic_s + delay_s)) for frame in given]


def test_two_thousand_frames_of_a_still_scene_raise_nothing():
    assert not any(run(FrameWatch(), frames(2000)))


def test_a_frame_is_stale_beyond_the_limit_and_not_at_it():
    frame = frames(1)[0]
    assert FrameWatch(max_age_s=1.0).check(frame, 11.0) == ()
    (reason,) = FrameWatch(max_age_s=1.0).check(frame, 11.0 + 1e-6)
    assert (reason.name, reason.slot, reason.limit, reason.unit) == ("frame_stale", "fl", 1.0, "s")
    assert reason.value == pytest.approx(1.0)
    assert "1.0 s old" in reason.sentence


def test_a_frame_without_a_clock_is_not_judged_by_age():
    assert FrameWatch().check(replace(frames(1)[0], monotonic_s=None), 1e9) == ()


def test_a_frame_ahead_of_the_clock_is_refused_and_a_rounding_error_is_not():
    frame = frames(1)[0]
    assert FrameWatch().check(frame, frame.monotonic_s - 0.001) == ()
    assert names(FrameWatch().check(frame, frame.monotonic_s - 0.5)) == ["frame_ahead"]


def test_a_frozen_camera_is_found_at_its_first_repetition_although_its_numbers_rise():
    first, second, third = frames(3)
    watch = FrameWatch()
    assert run(watch, [first, second]) == [[], []]
    frozen = replace(third, pixels=second.pixels.copy())
    assert run(watch, [frozen, replace(frozen, sequence=3)]) == [["frame_repeated"], ["frame_repeated"]]


def test_a_ring_of_buffers_that_goes_round_is_found():
    ring = frames(32)
    watch = FrameWatch()
    run(watch, ring)
    again = [replace(frame, sequence=32 + k, monotonic_s=20.0 + k) for k, frame in enumerate(ring)]
    assert run(watch, again) == [["frame_repeated"]] * 32


def test_the_same_number_is_repeated_even_with_other_pixels():
    first, second = frames(2)
    assert run(FrameWatch(), [first, replace(second, sequence=0)]) == [[], ["frame_repeated"]]


def test_one_pixel_by_one_count_makes_a_new_frame():
    first = frames(1)[0]
    changed = first.pixels.copy()
    changed[17, 23] += 1
    assert run(FrameWatch(), [first, replace(first, pixels=changed, sequence=1)]) == [[], []]


def test_the_buffer_of_a_camera_may_be_used_again():
    first, second = frames(2)
    buffer = first.pixels.copy()
    watch = FrameWatch()
    assert watch.check(replace(first, pixels=buffer), first.monotonic_s) == ()
    buffer[:] = second.pixels
    assert watch.check(replace(second, pixels=buffer), second.monotonic_s) == ()


def test_a_strided_view_equals_its_copy():
    first, second = frames(2)
    wide = np.repeat(first.pixels, 2, axis=1)
    watch = FrameWatch()
    assert run(watch, [first, replace(second, pixels=wide[:, ::2])]) == [[], ["frame_repeated"]]


def test_numbers_and_clocks_that_go_backwards_are_found_once():
    a, b, c, d = frames(4)
    assert run(FrameWatch(), [a, c, b, d]) == [[], [], ["frame_backwards"], []]
    late = replace(d, monotonic_s=a.monotonic_s - 1)
    watch = FrameWatch(max_age_s=5)
    run(watch, [a, b])
    assert names(watch.check(late, 10.2)) == ["frame_backwards"]


def test_black_pictures_are_left_to_the_gate():
    black = [replace(frame, pixels=np.zeros_like(frame.pixels)) for frame in frames(3)]
    assert not any(run(FrameWatch(), black))


def test_cameras_are_watched_apart():
    fl, wl = frames(3), frames(3, colour=True)
    watch = FrameWatch()
    assert not any(names(watch.check_pair(a, b, a.monotonic_s)) for a, b in zip(fl, wl, strict=True))
    assert not any(run(watch, frames(3, camera="other")))


def test_a_pair_that_was_taken_apart_is_refused():
    fl, wl = frames(1)[0], frames(1, colour=True)[0]
    late = replace(wl, monotonic_s=wl.monotonic_s + 0.25)
    (reason,) = FrameWatch(max_apart_s=0.1).check_pair(fl, late, 10.3)
    assert (reason.name, reason.slot, reason.limit) == ("pair_apart", "pair", 0.1)
    assert reason.value == pytest.approx(0.25)


def test_a_camera_that_was_opened_again_counts_from_zero():
    watch = FrameWatch()
    run(watch, frames(5))
    watch.forget()
    assert run(watch, frames(1, seed=1)) == [[]]


@pytest.mark.parametrize("limits", [{"max_age_s": 0.0}, {"max_age_s": float("nan")}, {"max_apart_s": -1.0}])
def test_limits_that_cannot_hold_are_refused(limits):
    with pytest.raises(InputError, match="more than 0 is needed"):
        FrameWatch(**limits)
