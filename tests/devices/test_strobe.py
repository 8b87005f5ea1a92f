"""Strobed subtraction on frames whose fluorescence, ambient light, noise and motion are known."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from glioscope.core import Frame, ImageError, InputError
from glioscope.devices._flicker import flicker_free_exposure_ms
from glioscope.devices._image_shift import find_shift
from glioscope.devices._strobe import (
    Strobe,
    StrobeSettings,
    Unpaired,
    subtract_ambient,
)

SHAPE = (160, 200)
OFFSET, ELECTRONS, READ = 600, 8.0, 15.0
NEVER = StrobeSettings(register_dark=False)


def frame(
    light: np.ndarray, number: int, *, lit: bool, rng: np.random.Generator | None = None, **facts: object
) -> Frame:
    """Counts above the offset become a frame, with shot and read noise where a generator is given."""
    counts = np.asarray(light, float)
    if rng is not None:
        counts = counts + np.sqrt(counts / ELECTRONS + READ**2) * rng.standard_normal(SHAPE)
    pixels = np.clip(np.rint(counts + OFFSET), 0, 65535).astype(np.uint16)
    known = {"camera": "fl", "monotonic_s": 0.1 * number, "white_level": 65535, "exposure_ms": 100.0, "gain": 1.0}
    return Frame(pixels, sequence=number, laser_on=lit, **(known | facts))  # type: ignore[arg-type]


def disc() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 4000.0 * np.exp(-((y - 80) ** 2 + (x - 100) ** 2) / 800)


def leaves(seed: int = 0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Ambient light reflected by something with structure of 4 px."""
    grain = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32), (0, 0), 4.0)
    picture = 5000 + 1500 * grain / grain.std()
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    return cv2.warpAffine(picture, matrix, SHAPE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def stream(ambient: list[float], settings: StrobeSettings = NEVER) -> tuple[Strobe, list]:
    """Dark, lit, dark, lit ... under these levels of ambient light."""
    strobe = Strobe(settings)
    given = [strobe.add(frame(level + disc() * (k % 2), k, lit=k % 2 == 1)) for k, level in enumerate(ambient)]
    return strobe, [each for each in given if each is not None]


def test_without_noise_the_difference_is_the_fluorescence_exactly() -> None:
    _, found = stream([3000.0] * 7)
    assert len(found) == 3
    for strobed in found:
        assert strobed.frame.pixels.dtype == np.uint16
        assert np.array_equal(strobed.frame.pixels, np.rint(disc()) + NEVER.pedestal_counts)


def test_two_neighbours_cancel_linear_drift_and_say_how_much_there_was() -> None:
    levels = [3000.0 + 40 * k for k in range(7)]
    _, found = stream(levels)
    assert all(np.array_equal(each.frame.pixels, np.rint(disc()) + 600) for each in found)
    assert [each.drift_counts for each in found] == [80.0] * 3
    _, single = stream(levels, NEVER.model_copy(update={"neighbours": 1}))
    assert all(np.array_equal(each.frame.pixels, np.rint(disc() + 40) + 600) for each in single)
    assert [each.drift_counts for each in single] == [None, 80.0, 80.0]


def test_interpolation_follows_the_clock_where_the_dark_frames_are_not_evenly_spaced() -> None:
    lit = frame(disc() + 1030, 1, lit=True, monotonic_s=0.3)
    darks = [frame(np.full(SHAPE, 1000.0), 0, lit=False, monotonic_s=0.0)]
    darks.append(frame(np.full(SHAPE, 1100.0), 2, lit=False, monotonic_s=1.0))
    assert np.array_equal(subtract_ambient(lit, darks, NEVER).frame.pixels, np.rint(disc()) + 600)


def test_output_keeps_the_lit_frame_s_facts() -> None:
    _, (found, *_rest) = stream([100.0] * 3)
    assert (found.frame.sequence, found.frame.monotonic_s, found.frame.exposure_ms) == (1, 0.1, 100.0)
    assert found.frame.laser_on is True
    assert found.dark_sequences == (0, 2)


@pytest.mark.parametrize("neighbours", [1, 2])
@pytest.mark.parametrize("known_camera", [True, False])
def test_the_stated_noise_is_the_noise_there_is(neighbours: int, known_camera: bool) -> None:
    settings = StrobeSettings(neighbours=neighbours, register_dark=False)
    if known_camera:
        settings = settings.model_copy(update={"electrons_per_count": ELECTRONS, "read_noise_counts": READ})
    rng = np.random.default_rng(3)
    lit = frame(np.full(SHAPE, 9000.0), 1, lit=True, rng=rng)
    darks = [frame(np.full(SHAPE, 8000.0), k, lit=False, rng=rng) for k in (0, 2)][:neighbours]
    strobed = subtract_ambient(lit, darks, settings)
    plain = math.sqrt(9000 / ELECTRONS + READ**2)
    truth = math.sqrt(plain**2 + (8000 / ELECTRONS + READ**2) / neighbours)
    assert strobed.frame.pixels.std() == pytest.approx(truth, rel=0.02)
    assert strobed.noise_counts == pytest.approx(truth, rel=0.03)
    assert strobed.plain_noise_counts == pytest.approx(plain, rel=0.03)
    assert strobed.noise_ratio == pytest.approx(truth / plain, rel=0.04)


@pytest.mark.parametrize("shift", [(1.3, -0.7), (-2.0, 0.0), (0.4, 1.9)])
def test_motion_between_the_frames_is_found_and_taken_off(shift: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    lit = frame(leaves() + disc(), 1, lit=True, rng=rng)
    darks = [frame(leaves(shift=shift), k, lit=False, rng=rng) for k in (0, 2)]
    strobed = subtract_ambient(lit, darks)
    assert strobed.unregistered == ""
    for found in strobed.shift_px:
        assert np.hypot(found[0] + shift[0], found[1] + shift[1]) < 0.06
    inside = (slice(8, -8), slice(8, -8))
    error = (strobed.frame.pixels - 600.0 - disc())[inside].std()
    unmoved = (subtract_ambient(lit, darks, NEVER).frame.pixels - 600.0 - disc())[inside].std()
    plain_noise = np.sqrt(5000 / ELECTRONS + READ**2)
    assert error < 1.4 * np.sqrt(1.5) * plain_noise
    assert unmoved > 5 * error


def test_what_is_fixed_in_the_sensor_is_subtracted_in_place_while_the_scene_moves() -> None:
    hot = np.zeros(SHAPE)
    hot[20:140:10, 20:180:10] = 20_000
    lit = frame(leaves() + disc() + hot, 1, lit=True)
    darks = [frame(leaves(shift=(1.5, 0.5)) + hot, k, lit=False) for k in (0, 2)]
    strobed = subtract_ambient(lit, darks)
    error = np.abs(strobed.frame.pixels - 600.0 - disc())[hot > 0]
    assert error.max() < 1500  # of 20,000: the 3 x 3 median at the hot pixel differs a little from its scene


def test_nothing_to_register_on_leaves_the_frame_where_it_is_and_says_so() -> None:
    rng = np.random.default_rng(2)
    lit = frame(np.full(SHAPE, 4000.0) + disc(), 1, lit=True, rng=rng)
    strobed = subtract_ambient(lit, [frame(np.full(SHAPE, 4000.0), 0, lit=False, rng=rng)])
    assert strobed.shift_px == ((0.0, 0.0),)
    assert "nothing to register on" in strobed.unregistered


def test_frames_of_one_value_or_too_small_are_not_registered() -> None:
    even, uneven = np.full(SHAPE, 500, np.float32), np.asarray(leaves(), np.float32)
    for pair in ((even, even), (even, uneven), (uneven, even)):
        shift, reason = find_shift(*pair, max_shift_px=4.0)
        assert (shift, reason.split(":")[0]) == ((0.0, 0.0), "nothing to register on")
    assert "too small" in find_shift(uneven[:12], uneven[:12], 4.0)[1]


def test_a_shift_beyond_the_limit_is_not_believed() -> None:
    shift, reason = find_shift(*(np.asarray(leaves(shift=s), np.float32) for s in ((0, 0), (7, 0))), max_shift_px=4.0)
    assert shift == (0.0, 0.0)
    assert "over the limit of 4 px" in reason


def test_saturated_pixels_of_either_frame_never_become_plausible() -> None:
    lit, dark = frame(disc() + 3000, 1, lit=True), frame(np.full(SHAPE, 3000.0), 0, lit=False)
    lit.pixels[10:14, 10:14] = 65535
    dark.pixels[50:54, 60:64] = 65535
    strobed = subtract_ambient(lit, [dark], NEVER)
    expected = np.zeros(SHAPE, bool)
    expected[10:14, 10:14] = expected[50:54, 60:64] = True
    assert np.array_equal(strobed.saturated, expected)
    assert np.array_equal(strobed.frame.pixels == strobed.frame.white_level, expected)


def test_a_saturated_area_of_a_moved_dark_frame_is_masked_where_it_lands() -> None:
    light = leaves()
    lit, dark = frame(light + disc(), 1, lit=True), frame(leaves(shift=(2.0, 0.0)), 0, lit=False)
    dark.pixels[60:70, 82:92] = 65535
    strobed = subtract_ambient(lit, [dark])
    assert strobed.shift_px[0] != (0.0, 0.0)
    assert strobed.saturated[60:70, 80:90].all()


def test_white_level_of_a_12_bit_camera_moves_up_by_the_pedestal() -> None:
    lit = frame(np.full(SHAPE, 4095.0 - OFFSET), 1, lit=True, white_level=4096)
    dark = frame(np.full(SHAPE, -float(OFFSET)), 0, lit=False, white_level=4096)
    strobed = subtract_ambient(lit, [dark], NEVER)
    assert strobed.frame.white_level == 4696
    assert not strobed.saturated.any()
    assert (strobed.frame.pixels == 4695).all()


def test_a_pedestal_that_is_too_low_is_shown_by_the_share_that_was_cut_off() -> None:
    rng = np.random.default_rng(0)
    frames = [frame(np.full(SHAPE, 9000.0), k, lit=k == 1, rng=rng) for k in (0, 1)]
    low = subtract_ambient(frames[1], frames[:1], StrobeSettings(pedestal_counts=0, register_dark=False))
    assert low.clipped_fraction == pytest.approx(0.5, abs=0.02)
    assert subtract_ambient(frames[1], frames[:1], NEVER).clipped_fraction == 0


def pattern(*kinds: tuple[int, bool | None], **facts: object) -> Strobe:
    strobe = Strobe(NEVER)
    for number, lit in kinds:
        strobe.add(replace(frame(np.full(SHAPE, 100.0), number, lit=True, **facts), laser_on=lit))
    return strobe


def test_frames_that_make_no_pair_are_counted_with_their_reason() -> None:
    usual = [(0, False), (1, True), (2, False)]
    assert (pattern(*usual).pairs, pattern(*usual).unpaired) == (1, {})
    assert pattern((0, False), (1, True), (3, False)).unpaired == {Unpaired.GAP: 1}
    assert pattern((0, False), (1, True), (3, False)).pairs == 0
    assert pattern((0, False), (1, True), (2, True), (3, False)).unpaired == {Unpaired.TWO_ON: 1, Unpaired.NO_DARK: 1}
    two_off = pattern((0, False), (1, False), (2, True), (3, False))
    assert (two_off.pairs, two_off.unpaired) == (1, {Unpaired.TWO_OFF: 1})
    assert pattern((0, True), (1, False), (2, True), (3, False)).unpaired == {Unpaired.NO_DARK: 1}
    assert pattern((0, False), (1, None), (2, False)).unpaired == {Unpaired.LASER_UNKNOWN: 1}


@pytest.mark.parametrize("changed", [{"exposure_ms": 50.0}, {"gain": 2.0}, {"camera": "other"}, {"white_level": 4095}])
def test_frames_of_another_setting_are_never_subtracted(changed: dict[str, object]) -> None:
    strobe = Strobe(NEVER)
    strobe.add(frame(disc(), 0, lit=False))
    assert strobe.add(frame(disc(), 1, lit=True, **changed)) is None
    assert strobe.add(frame(disc(), 2, lit=False, **changed)) is None
    assert strobe.unpaired[Unpaired.CHANGED] == 1
    assert strobe.pairs == 0


def test_a_clock_that_goes_back_breaks_the_pair() -> None:
    strobe = Strobe(NEVER)
    strobe.add(frame(disc(), 0, lit=False, monotonic_s=5.0))
    assert strobe.add(frame(disc(), 1, lit=True, monotonic_s=4.9)) is None
    assert strobe.unpaired[Unpaired.GAP] == 1


def test_half_the_rate_comes_out_and_a_gap_costs_one_pair_only() -> None:
    strobe, found = stream([1000.0] * 41)
    assert len(found) == 20
    strobe = Strobe(NEVER)
    numbers = [k for k in range(41) if k != 20]
    given = [strobe.add(frame(disc(), k, lit=k % 2 == 1)) for k in numbers]
    assert sum(each is not None for each in given) == 18
    assert strobe.unpaired == {Unpaired.GAP: 1, Unpaired.NO_DARK: 1}


def test_other_pixels_are_refused() -> None:
    good = frame(disc(), 0, lit=False)
    with pytest.raises(ImageError, match="uint16"):
        Strobe().add(replace(good, pixels=np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(ImageError, match="the lit one is"):
        subtract_ambient(good, [replace(good, pixels=good.pixels[:50])])
    with pytest.raises(InputError, match="1 or 2"):
        subtract_ambient(good, [])


@pytest.mark.parametrize(
    ("wanted", "hz", "period", "expected"),
    [
        (100.0, 50.0, None, 100.0),
        (104.0, 50.0, None, 100.0),
        (105.0, 50.0, None, 110.0),
        (3.0, 50.0, None, 10.0),
        (100.0, 50.0, 95.0, 90.0),
        (100.0, 50.0, 100.0, 100.0),
        (8.0, 60.0, None, 1000 / 120),
        (40.0, 60.0, 40.0, 4 * 1000 / 120),
    ],
)
def test_flicker_free_exposures(wanted: float, hz: float, period: float | None, expected: float) -> None:
    found = flicker_free_exposure_ms(wanted, hz, period)
    assert found == pytest.approx(expected)
    # The integral of the lamp's light over the exposure is the same whenever it begins.
    start = np.linspace(0, 0.02, 50)
    light = np.cos(4 * np.pi * hz * start) - np.cos(4 * np.pi * hz * (start + found / 1000))
    assert np.abs(light).max() < 1e-9


def test_flicker_free_exposures_refuse_what_cannot_be() -> None:
    with pytest.raises(InputError, match="shorter than a half wave"):
        flicker_free_exposure_ms(5.0, 50.0, 8.0)
    with pytest.raises(InputError, match="45 to 65"):
        flicker_free_exposure_ms(5.0, 100.0)
    with pytest.raises(InputError, match="more than 0"):
        flicker_free_exposure_ms(0.0, 50.0)
