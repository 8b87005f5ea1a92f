"""Live frame sources against the laws of the simulator's cameras: exposure, light and place change what they should."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from glioscope.core import Exposure, FrameSource, InputError
from glioscope.sim import SimSettings
from glioscope.sim._cameras import Scene, Window, photograph_wl
from glioscope.sim._live import Ambient, FLSource, LiveScene, WLSource, lay_plate, make_sources
from glioscope.sim._trays import plain_light

SETTINGS = SimSettings()
BASE = Exposure(end_s=10.0, exposure_ms=20.0, gain=1.0, irradiance_mw_cm2=50.0, distance_mm=300.0)
ROOMLESS = Ambient(level=0.0)
CAMERA = SETTINGS.infrared


@pytest.fixture(scope="module")
def pair() -> tuple[FLSource, WLSource]:
    return make_sources(3, SETTINGS, ambient=ROOMLESS)


@pytest.fixture(scope="module")
def flat() -> FLSource:
    """An FL source over a plate that emits the same everywhere."""
    plate = lay_plate(0, SETTINGS, np.random.default_rng(0))
    even = replace(plate, emission=np.full_like(plate.emission, 3.0))
    return FLSource(LiveScene(even), SETTINGS, ROOMLESS, np.random.default_rng(1))


def _above_offset(source: FLSource, exposure: Exposure) -> float:
    """Mean counts of the middle of a frame over the offset and dark current, hot pixels left out."""
    dark = CAMERA.dark_current * exposure.exposure_ms / 1000 * exposure.gain / CAMERA.electrons_per_adu
    middle = source.render(exposure)[200:312, 250:390].astype(float)
    return float(np.median(middle)) - CAMERA.offset_adu - dark


def test_sources_are_frame_sources(pair: tuple[FLSource, WLSource]) -> None:
    sources: tuple[FrameSource, ...] = pair
    for source in sources:
        pixels = source.render(BASE)
        info = source.info
        assert pixels.shape[:2] == (info.rows, info.columns)
        assert (pixels.ndim == 3) == info.colour


def test_signal_is_proportional_to_irradiance_and_exposure_and_gain(flat: FLSource) -> None:
    per_unit = CAMERA.photons_per_unit * CAMERA.quantum_efficiency / CAMERA.electrons_per_adu
    expected = 3.0 * per_unit * 20 / 100
    assert _above_offset(flat, BASE) == pytest.approx(expected, rel=0.01)
    for share in (0.1, 0.5, 2.0):
        dimmed = replace(BASE, irradiance_mw_cm2=50 * share)
        longer = replace(BASE, exposure_ms=20 * share)
        assert _above_offset(flat, dimmed) == pytest.approx(share * expected, rel=0.02)
        assert _above_offset(flat, longer) == pytest.approx(share * expected, rel=0.02)
    assert _above_offset(flat, replace(BASE, gain=2.0)) == pytest.approx(2 * expected, rel=0.01)
    assert abs(_above_offset(flat, replace(BASE, irradiance_mw_cm2=0.0))) < 1.0


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_photon_transfer_gives_electrons_per_count_and_read_noise(flat: FLSource, gain: float) -> None:
    means, variances = [], []
    for irradiance in (0.0, 50.0, 200.0, 800.0):
        exposure = replace(BASE, irradiance_mw_cm2=irradiance, gain=gain)
        first, second = (flat.render(exposure)[150:362, 200:440].astype(float) for _ in range(2))
        cold = (first < 60000) & (np.abs(first - np.median(first)) < 2000)
        means.append(((first + second) / 2)[cold].mean() - CAMERA.offset_adu)
        variances.append((first - second)[cold].var() / 2)
    slope, floor = np.polyfit(means, variances, 1)
    assert gain / slope == pytest.approx(CAMERA.electrons_per_adu, rel=0.06)
    assert np.sqrt(floor) == pytest.approx(gain * CAMERA.read_noise / CAMERA.electrons_per_adu, rel=0.15)


def test_noise_of_frames_is_independent_of_each_other_and_no_frame_repeats(flat: FLSource) -> None:
    frames = [flat.render(BASE)[100:400, 100:500].astype(float) for _ in range(4)]
    mean = np.mean([flat.render(BASE)[100:400, 100:500] for _ in range(60)], axis=0)
    noise = [(f - mean).ravel() for f in frames]
    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.05
    neighbours = np.corrcoef(noise[0][:-1], noise[0][1:])[0, 1]
    assert abs(neighbours) < 0.02


def test_light_beyond_the_range_stays_at_the_white_level(flat: FLSource, pair: tuple[FLSource, WLSource]) -> None:
    bright = flat.render(replace(BASE, irradiance_mw_cm2=50_000.0))
    assert bright.max() == flat.info.white_level == 65535
    assert (bright == 65535).mean() > 0.99
    assert (pair[1].render(replace(BASE, exposure_ms=100.0, gain=8.0)) == 255).mean() > 0.5


def test_dark_current_and_hot_pixels_grow_with_exposure(flat: FLSource) -> None:
    dark = [flat.render(replace(BASE, irradiance_mw_cm2=0.0, exposure_ms=ms)).astype(float) for ms in (100.0, 1000.0)]
    cold = dark[0] < np.quantile(dark[0], 0.99)
    expected = CAMERA.dark_current * 0.9 / CAMERA.electrons_per_adu
    assert (dark[1] - dark[0])[cold].mean() == pytest.approx(expected, rel=0.05)
    hot = dark[0] > CAMERA.offset_adu + 2000
    assert hot.sum() == pytest.approx(CAMERA.hot_pixels, abs=5)
    unclipped = hot & (dark[1] < 65535)
    grown = (dark[1][unclipped] - CAMERA.offset_adu) / (dark[0][unclipped] - CAMERA.offset_adu)
    assert np.median(grown) == pytest.approx(10, rel=0.02)


def _lit(ambient: Ambient) -> FLSource:
    plate = lay_plate(0, SETTINGS, np.random.default_rng(0))
    return FLSource(LiveScene(plate), SETTINGS, ambient, np.random.default_rng(1))


def test_room_light_adds_its_level_without_the_laser() -> None:
    source = _lit(Ambient(level=2.0))
    per_unit = CAMERA.photons_per_unit * CAMERA.quantum_efficiency / CAMERA.electrons_per_adu * 20 / 100
    assert _above_offset(source, replace(BASE, irradiance_mw_cm2=0.0)) == pytest.approx(2.0 * per_unit, rel=0.01)


def test_flicker_cancels_in_whole_periods_only() -> None:
    source = _lit(Ambient(level=3.0, flicker=0.5))
    times = 10 + np.arange(12) / 1200

    def swing(exposure_ms: float) -> float:
        levels = [
            _above_offset(source, replace(BASE, irradiance_mw_cm2=0, exposure_ms=exposure_ms, end_s=t)) for t in times
        ]
        return (max(levels) - min(levels)) / float(np.mean(levels))

    for exposure_ms in (10.0, 20.0, 30.0):
        assert swing(exposure_ms) < 0.02
    assert swing(5.0) == pytest.approx(2 * 0.5 * 2 / np.pi, rel=0.1)
    assert swing(1.0) > 0.8


def test_drift_and_gradient_have_their_size() -> None:
    drifting = Ambient(level=1.0, drift=0.4, drift_period_s=40.0)
    assert drifting.mean(0.0, 20.0) == pytest.approx(1.4, rel=1e-3)
    assert drifting.mean(20.0, 20.0) == pytest.approx(0.6, rel=1e-3)
    dark = replace(BASE, irradiance_mw_cm2=0.0)
    tilted = np.mean([_lit(Ambient(level=5.0, gradient=0.5)).render(dark).astype(float) for _ in range(3)], axis=0)
    even = np.mean([_lit(Ambient(level=5.0)).render(dark).astype(float) for _ in range(3)], axis=0)
    ratio = (np.median(tilted, axis=0) - 600) / (np.median(even, axis=0) - 600)
    assert np.polyfit(np.linspace(-1, 1, 640), ratio, 1) == pytest.approx([0.5, 1.0], abs=0.02)


def _spread_mm2(source: FLSource | WLSource, labels: npt.NDArray[np.uint16], distance_mm: float) -> float:
    return float((labels > 0).sum()) * source.mm_per_px(distance_mm) ** 2


def test_distance_changes_the_scale_and_not_the_size_in_mm(pair: tuple[FLSource, WLSource]) -> None:
    fl, _ = pair
    assert fl.mm_per_px(300) == pytest.approx(0.1)
    assert fl.mm_per_px(330) == pytest.approx(0.11)
    plate = fl.scene.plate
    true_mm2 = (plate.labels > 0).sum() * plate.mm_per_px**2
    for distance_mm in (300.0, 330.0):
        for source in pair:
            seen = _spread_mm2(source, source.truth(distance_mm), distance_mm)
            assert seen == pytest.approx(true_mm2, rel=0.02)


def test_what_is_seen_lies_where_the_truth_says_at_every_place_of_the_unit(pair: tuple[FLSource, WLSource]) -> None:
    fl, wl = pair
    for distance_mm, rotation_deg in ((300.0, 0.0), (310.0, 30.0), (290.0, -100.0)):
        pose = replace(BASE, distance_mm=distance_mm, rotation_deg=rotation_deg, exposure_ms=100.0)
        labels = fl.truth(distance_mm, rotation_deg)
        seen = fl.render(pose).astype(float)
        inside = cv2.erode((labels > 0).astype(np.uint8), np.ones((9, 9))) > 0
        outside = cv2.dilate((labels > 0).astype(np.uint8), np.ones((41, 41))) == 0
        assert np.median(seen[inside]) > np.median(seen[outside]) + 300
        mask = wl.truth(distance_mm, rotation_deg) > 0
        grey = wl.render(replace(pose, exposure_ms=20.0)).astype(float)[..., 0]
        threshold = (np.median(grey[mask]) + np.median(grey[~mask])) / 2
        agreement = ((cv2.GaussianBlur(grey, (0, 0), 2) > threshold) == mask).mean()
        assert agreement > 0.985


def test_turning_the_unit_turns_the_scene(pair: tuple[FLSource, WLSource]) -> None:
    fl, _ = pair
    upright, turned = fl.truth(), fl.truth(rotation_deg=180.0)
    assert (upright[::-1, ::-1] == turned).mean() > 0.999


def test_out_of_focus_there_is_less_detail(pair: tuple[FLSource, WLSource]) -> None:
    def detail(distance_mm: float) -> float:
        picture = pair[1].render(replace(BASE, distance_mm=distance_mm))
        mask = cv2.erode((pair[1].truth(distance_mm) > 0).astype(np.uint8), np.ones((15, 15))) > 0
        return float(cv2.Laplacian(cv2.GaussianBlur(picture, (0, 0), 1.0)[..., 1], cv2.CV_32F)[mask].std())

    def fl_peak(distance_mm: float) -> float:
        frames = np.mean([pair[0].render(replace(BASE, distance_mm=distance_mm)) for _ in range(4)], axis=0)
        return float(np.quantile(frames[pair[0].truth(distance_mm) > 0], 0.97))

    assert detail(300.0) > 1.5 * detail(310.0)
    assert fl_peak(300.0) > 1.05 * fl_peak(312.0)


def test_white_light_agrees_with_the_cohorts_camera_in_level_and_noise() -> None:
    plate = lay_plate(0, SETTINGS, np.random.default_rng(0))
    for level in (0.04, 0.2, 0.6):
        grey = replace(plate, reflectance=np.full_like(plate.reflectance, level))
        source = WLSource(LiveScene(grey), SETTINGS, np.random.default_rng(1))
        ours = [source.render(BASE)[310:410, 560:720].astype(float) for _ in range(2)]
        shape = (720, 1280)
        scene = Scene(np.empty(shape, np.float32), np.full((*shape, 3), level, np.float32), np.empty(shape, np.float32))
        window = Window(0, 0, shape, 0.08, shape)
        theirs = [
            photograph_wl(scene, window, plain_light(), SETTINGS, np.random.default_rng(i))[310:410, 560:720]
            for i in range(2)
        ]
        assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.7)
        assert np.std(ours[0] - ours[1]) == pytest.approx(np.std(theirs[0].astype(float) - theirs[1]), rel=0.08)


def test_white_light_knows_exposure_and_gain_and_not_the_laser(pair: tuple[FLSource, WLSource]) -> None:
    def linear(exposure: Exposure) -> float:
        encoded = pair[1].render(exposure)[300:420, 540:740].astype(float) / 255
        return float(np.mean(np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)))

    usual = linear(BASE)
    assert linear(replace(BASE, irradiance_mw_cm2=0.0)) == pytest.approx(usual, rel=0.005)
    assert linear(replace(BASE, exposure_ms=10.0)) == pytest.approx(usual / 2, rel=0.04)
    assert linear(replace(BASE, exposure_ms=10.0, gain=2.0)) == pytest.approx(usual, rel=0.04)


def test_a_plate_is_changed_for_both_cameras_and_can_be_empty() -> None:
    fl, wl = make_sources(5, SETTINGS, n_specimens=4, ambient=ROOMLESS)
    assert len(fl.scene.plate.specimens) == 4
    before = fl.render(BASE).max(where=fl.truth() > 0, initial=0)
    where = fl.truth() > 0
    fl.scene.show(None)
    assert wl.scene.plate.specimens == () and not fl.truth().any() and not wl.truth().any()
    assert np.median(fl.render(BASE)[where]) < 0.5 * before
    grey = wl.render(BASE).astype(float)
    assert np.ptp(np.median(grey[200:500, 300:900], axis=(0, 1))) < 60
    other = lay_plate(6, SETTINGS, np.random.default_rng(9), touching_share=0.5)
    fl.scene.show(other)
    assert len(wl.scene.plate.specimens) == 6
    assert any(specimen.touching for specimen in other.specimens)


def test_a_seed_fixes_the_frames_and_another_gives_others() -> None:
    first, again, other = (make_sources(seed, SETTINGS, n_specimens=3)[0].render(BASE) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).mean() > 0.9


@pytest.mark.parametrize(
    "change",
    [{"exposure_ms": 0.0}, {"gain": -1.0}, {"distance_mm": float("nan")}, {"irradiance_mw_cm2": -1.0}],
)
def test_an_exposure_that_cannot_be_is_refused(pair: tuple[FLSource, WLSource], change: dict[str, float]) -> None:
    for source in pair:
        with pytest.raises(InputError, match="no camera can take"):
            source.render(replace(BASE, **change))


def test_wrong_rooms_and_plates_are_refused() -> None:
    with pytest.raises(InputError, match="ambient"):
        Ambient(flicker=1.5)
    with pytest.raises(InputError, match="ambient"):
        Ambient(mains_hz=0.0)
    with pytest.raises(InputError, match="13 specimens"):
        lay_plate(13, SETTINGS, np.random.default_rng(0))
