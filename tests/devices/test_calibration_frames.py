"""Calibration frames of a sensor whose offset, gains, bad pixels and noise are known."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from glioscope.core import CameraInfo, FLPlan, Frame, ImageError, InputError
from glioscope.devices._bad_pixels import fill_bad_pixels
from glioscope.devices._calibration import Calibration, measure_calibration
from glioscope.devices._calibration_folder import read_calibration, write_calibration
from glioscope.devices._photon_transfer import photon_transfer
from glioscope.imaging import RawImage, fl_signal, read_fl

SHAPE, WHITE = (96, 128), 16383
INFO = CameraInfo("NIR-1", "S-7", *SHAPE, False, WHITE, (0.1, 500.0), (1.0, 4.0))
ELECTRONS, READ, OFFSET = 4.0, 6.0, 500.0
HOT, DEAD, NOISY = [(10, 10), (40, 77)], [(20, 100), (60, 3)], [(50, 50)]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Sensor:
    """Counts from light, with vignetting, column gains, a fixed offset pattern and bad pixels."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        fixed = np.random.default_rng(99)
        y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
        self.columns = np.broadcast_to(1 + 0.02 * fixed.standard_normal(SHAPE[1]), SHAPE)
        self.vignette = 1 - 0.15 * (x**2 + y**2)
        self.offset = OFFSET + 2 * fixed.standard_normal(SHAPE)

    def frame(self, light: np.ndarray | float, number: int = 0, **facts: object) -> Frame:
        response = self.columns * self.vignette
        for place in DEAD:
            response[place] *= 0.1
        electrons = ELECTRONS * np.asarray(light) * response
        noise = np.full(SHAPE, READ * ELECTRONS)
        for place in NOISY:
            noise[place] *= 40
        counts = (electrons + np.sqrt(electrons + noise**2) * self.rng.standard_normal(SHAPE)) / ELECTRONS + self.offset
        for place in HOT:
            counts[place] += 3000
        pixels = np.clip(np.rint(counts), 0, WHITE).astype(np.uint16)
        known = {"camera": "fl", "exposure_ms": 100.0, "gain": 1.0, "white_level": WHITE}
        return Frame(pixels, sequence=number, **(known | facts))  # type: ignore[arg-type]

    def frames(self, light: float, n: int = 24, **facts: object) -> list[Frame]:
        return [self.frame(light, k, **facts) for k in range(n)]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    sensor = Sensor()
    return measure_calibration(sensor.frames(0), sensor.frames(7000), info=INFO, temperature_c=-20.0, utc=NOW)


def places(mask: np.ndarray) -> list[tuple[int, int]]:
    return [(int(y), int(x)) for y, x in np.argwhere(mask)]


def test_dark_flat_and_bad_pixels_are_what_the_sensor_has(calibration: Calibration) -> None:
    sensor = Sensor()
    good = ~calibration.bad
    assert (calibration.dark - sensor.offset)[good].std() < 1.2 * np.hypot(READ / np.sqrt(24), 0.1)
    response = sensor.columns * sensor.vignette
    assert np.abs(calibration.flat / (response / np.median(response)) - 1)[good].max() < 0.02
    assert places(calibration.bad) == sorted(HOT + DEAD + NOISY)
    info = calibration.info
    assert (info.hot_pixels, info.dead_pixels, info.noisy_pixels) == (2, 2, 1)
    assert info.dark_counts == pytest.approx(OFFSET, abs=1)
    assert info.dark_noise_counts == pytest.approx(READ, rel=0.05)


def test_a_corrected_frame_is_flat_keeps_its_offset_and_has_no_bad_pixels(calibration: Calibration) -> None:
    raw = Sensor(5).frame(4000.0)
    corrected = calibration.apply(raw)
    assert corrected.pixels.dtype == np.uint16
    assert (corrected.sequence, corrected.exposure_ms, corrected.white_level) == (0, 100.0, WHITE)
    light = corrected.pixels - OFFSET
    noise = np.sqrt(4000 / ELECTRONS + READ**2)
    assert light.std() < 1.2 * noise < (raw.pixels - OFFSET).std() / 3
    for place in HOT + DEAD:
        assert abs(light[place] - np.median(light)) < 5 * noise


def test_the_formula_is_that_of_imaging_for_files(calibration: Calibration, tmp_path: Path) -> None:
    write_calibration(tmp_path / "c", calibration)
    raw = Sensor(6).frame(4000.0)
    plan = FLPlan(offset=0.0, repair_hot_pixels=False)
    dark, flat = (read_fl(tmp_path / "c" / name, allow_blank=True).pixels for name in ("dark.tif", "flat.tif"))
    files, _, _ = fl_signal(plan, RawImage(raw.pixels, WHITE), dark=dark, flat=flat)
    frames = calibration.apply(raw).pixels - calibration.info.dark_counts
    good = ~calibration.bad
    assert np.abs(files - frames)[good].max() < 2.5  # the files hold whole counts


def test_saturated_pixels_stay_saturated_and_no_other_becomes_so(calibration: Calibration) -> None:
    light = np.full(SHAPE, 15_000.0)
    light[30:40, 30:40] = 50_000
    raw = Sensor(7).frame(light)
    corrected = calibration.apply(raw)
    assert np.array_equal(corrected.pixels == WHITE, (raw.pixels == WHITE) & ~calibration.bad)
    assert (raw.pixels == WHITE).any()


def test_flat_kinds_divide_the_measured_flat_between_them() -> None:
    sensor = Sensor()
    darks, flats = sensor.frames(0), sensor.frames(7000)
    whole, smooth, pixels = (
        measure_calibration(darks, flats, info=INFO, flat_kind=kind) for kind in ("all", "illumination", "pixels")
    )
    good = ~whole.bad
    ratio = whole.flat / (smooth.flat * pixels.flat)
    assert (ratio / np.median(ratio))[good] == pytest.approx(1.0, abs=0.005)
    vignette = sensor.vignette / np.median(sensor.vignette)
    assert np.abs(smooth.flat / vignette - 1)[8:-8, 8:-8].max() < 0.03
    inner = (slice(16, -16), slice(16, -16))
    columns = (sensor.columns / np.median(sensor.columns))[inner]
    assert np.corrcoef(pixels.flat[inner].mean(0), columns.mean(0))[0, 1] > 0.97


def test_without_flat_frames_only_the_dark_is_taken_off() -> None:
    calibration = measure_calibration(Sensor().frames(0), info=INFO)
    assert (calibration.flat == 1).all()
    assert calibration.info.n_flats == 0


def test_bad_pixels_take_the_median_of_their_good_neighbours_only() -> None:
    counts = np.arange(49, dtype=np.float32).reshape(7, 7)
    bad = np.zeros((7, 7), bool)
    bad[3, 3] = bad[3, 4] = bad[0, 0] = True
    counts[bad] = 9999
    fill_bad_pixels(counts, bad)
    assert counts[3, 3] == np.median([16, 17, 18, 23, 30, 31, 32])
    assert counts[0, 0] == np.median([1, 7, 8])
    block = np.zeros((7, 7), bool)
    block[2:5, 2:5] = True
    counts[block] = 9999
    fill_bad_pixels(counts, block)
    assert counts.max() < 49


def refused(darks: list[Frame], flats: list[Frame], match: str, **facts: object) -> None:
    with pytest.raises(InputError, match=match):
        measure_calibration(darks, flats, info=INFO, **facts)  # type: ignore[arg-type]


def test_nonsense_is_refused() -> None:
    sensor = Sensor()
    darks, flats = sensor.frames(0, 8), sensor.frames(7000, 8)
    refused(darks[:1], [], "1 dark frames are given, at least 8")
    refused(darks, flats[:3], "3 flat frames are given")
    refused(darks, sensor.frames(40_000, 8), "saturated")
    refused(darks, sensor.frames(500, 8), "of the range, 10 to 90 % is needed")
    refused(sensor.frames(5000, 8), flats, "is there light")
    glow = np.zeros(SHAPE)
    glow[:, :64] = 60
    refused([sensor.frame(glow, k) for k in range(8)], flats, "across the sensor.*is there light")
    refused([replace(darks[0], laser_on=True), *darks[1:]], flats, "laser was on")
    refused(darks, [replace(frame, exposure_ms=50.0) for frame in flats], "camera, exposure, gain")
    refused([replace(frame, exposure_ms=None) for frame in darks], [], "do not say their exposure")
    refused(darks, [sensor.frame(7000 + 200 * k, k) for k in range(8)], "is the light steady")
    broken = [replace(frame, pixels=frame.pixels.copy()) for frame in flats]
    for frame in broken:
        frame.pixels[40:47, 40:47] = 520
    refused(darks, broken, "cluster of bad pixels")
    with pytest.raises(ImageError, match="uint16"):
        measure_calibration([replace(darks[0], pixels=darks[0].pixels.astype(np.float32))] * 8, info=INFO)


def test_a_frame_of_another_setting_is_refused(calibration: Calibration) -> None:
    frame = Sensor().frame(100.0)
    for change, match in (
        ({"exposure_ms": 50.0}, "for 100 ms, the exposure is 50 ms"),
        ({"gain": 2.0}, "for gain 1"),
        ({"white_level": 65535}, "white level"),
    ):
        with pytest.raises(InputError, match=match):
            calibration.apply(replace(frame, **change))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="is needed"):
        calibration.apply(replace(frame, pixels=frame.pixels[:50]))


def test_what_is_stored_comes_back_and_is_dated(calibration: Calibration, tmp_path: Path) -> None:
    write_calibration(tmp_path / "nir", calibration)
    found = read_calibration(tmp_path / "nir", INFO, exposure_ms=100.0, gain=1.0, now=NOW + timedelta(days=3))
    for name in ("dark", "flat", "bad"):
        assert np.array_equal(getattr(found, name), getattr(calibration, name))
    assert found.info.model_copy(update={"sha256": {}}) == calibration.info
    stored = json.loads((tmp_path / "nir" / "calibration.json").read_text())
    assert stored["utc"].startswith("2026-03-01T12:00:00")
    assert (stored["serial"], stored["n_darks"], stored["n_flats"], stored["temperature_c"]) == ("S-7", 24, 24, -20.0)
    assert set(stored["sha256"]) == {"frames.npz", "dark.tif", "flat.tif"}


def test_a_calibration_that_does_not_fit_is_refused_with_the_reason(calibration: Calibration, tmp_path: Path) -> None:
    folder = tmp_path / "nir"
    write_calibration(folder, calibration)

    def refuses(match: str, camera: CameraInfo = INFO, days: float = 1.0, **facts: float) -> None:
        with pytest.raises(InputError, match=match):
            read_calibration(folder, camera, now=NOW + timedelta(days=days), **facts)

    refuses("serial number S-7, the camera has S-8", replace(INFO, serial="S-8"))
    refuses("size", replace(INFO, rows=512, columns=640))
    refuses("white level", replace(INFO, white_level=65535))
    refuses("for 100 ms, the exposure is 20 ms", exposure_ms=20.0)
    refuses("for gain 1, the gain is 2", gain=2.0)
    refuses("40.0 days old, over the limit of 30 days", days=40.0)
    refuses("in the future", days=-10.0)
    assert read_calibration(folder, INFO, now=NOW + timedelta(days=40), max_age_days=60).info.serial == "S-7"
    (folder / "frames.npz").write_bytes(b"other")
    refuses("frames.npz: is missing or was changed")
    (folder / "calibration.json").write_text("{}")
    refuses("calibration.json: camera: Field required")
    (folder / "calibration.json").write_text("{")
    refuses("is not a calibration")
    with pytest.raises(InputError, match="does not exist"):
        read_calibration(tmp_path / "nothing", INFO)


def test_an_interrupted_write_leaves_the_old_calibration(
    calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_calibration(tmp_path / "nir", calibration)
    before = (tmp_path / "nir" / "calibration.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        write_calibration(tmp_path / "nir", calibration)
    assert (tmp_path / "nir" / "calibration.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["nir"]


def pairs(levels: np.ndarray, sensor: Sensor) -> list[tuple[Frame, Frame]]:
    return [(sensor.frame(float(level)), sensor.frame(float(level))) for level in levels]


def test_photon_transfer_gives_back_gain_and_read_noise(calibration: Calibration) -> None:
    found = photon_transfer(pairs(np.geomspace(20, 9000, 12), Sensor(3)), calibration.dark, white_level=WHITE)
    assert found.electrons_per_count == pytest.approx(ELECTRONS, abs=4 * found.standard_error)
    assert found.standard_error < 0.02 * ELECTRONS
    assert found.read_noise_counts == pytest.approx(READ, rel=0.15)
    assert found.n_pairs == 12


def test_photon_transfer_refuses_what_is_no_series(calibration: Calibration) -> None:
    sensor, dark = Sensor(4), calibration.dark
    with pytest.raises(InputError, match="factor of 4"):
        photon_transfer(pairs(np.linspace(3000, 5000, 6), sensor), dark, white_level=WHITE)
    with pytest.raises(InputError, match="4 needed"):
        photon_transfer(pairs(np.array([100, 1000, 40_000, 50_000, 60_000.0]), sensor), dark, white_level=WHITE)
    steady = [(pair[0], pair[0]) for pair in pairs(np.geomspace(100, 9000, 6), sensor)]
    with pytest.raises(InputError, match="are the same"):
        photon_transfer(steady, dark, white_level=WHITE)
    falling = pairs(np.geomspace(100, 9000, 6), sensor)
    falling[-1] = (falling[-1][0], sensor.frame(np.random.default_rng(0).uniform(4000, 14_000, SHAPE)))
    with pytest.raises(InputError, match="no rising straight line"):
        photon_transfer(falling, dark, white_level=WHITE)
