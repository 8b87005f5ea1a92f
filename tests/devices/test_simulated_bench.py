"""The simulated bench: one world behind all devices."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from glioscope.core import Camera, Handle, MotionStage, RangeFinder
from glioscope.devices._simulated_bench import SimulatedBench, SimulatedBenchSettings
from glioscope.devices._simulated_camera import SimulatedCamera
from glioscope.sim._live import make_sources

from .virtual_clock import PlainSource, VirtualClock


def _bench(**settings: float) -> tuple[SimulatedBench, VirtualClock]:
    clock = VirtualClock()
    bench = SimulatedBench(
        PlainSource(),
        PlainSource(colour=True),
        settings=SimulatedBenchSettings.model_validate(settings),
        clock=clock,
        wait=clock.wait,
    )
    for device in (bench.fl, bench.wl, bench.rangefinder, bench.stage, bench.handle):
        device.stage()
    return bench, clock


def test_its_devices_are_those_of_the_protocols_and_dark() -> None:
    bench, _ = _bench()
    assert isinstance(bench.fl, Camera) and isinstance(bench.wl, Camera) and isinstance(bench.handle, Handle)
    assert isinstance(bench.rangefinder, RangeFinder) and isinstance(bench.stage, MotionStage)
    bench.fl.start(25)
    frame = bench.fl.read(1.0)
    assert frame is not None and frame.laser_on is False


def test_the_tissue_breathes_by_its_amplitude_and_period() -> None:
    bench, _ = _bench(breathing_mm=0.5, breathing_hz=0.25)
    distances = np.array([bench.distance_mm(1000 + t) for t in np.arange(0, 4, 0.01)])
    assert np.ptp(distances) == pytest.approx(0.5, abs=1e-3)
    assert bench.distance_mm(1000.7) == pytest.approx(bench.distance_mm(1004.7))


def test_a_jump_of_the_tissue_shows_from_then_on() -> None:
    bench, clock = _bench(breathing_mm=0)
    then = clock()
    clock.wait(1)
    bench.jump(5.0)
    assert bench.distance_mm(then) == 300 and bench.distance_mm(clock()) == 295
    bench.jump(-2.0)
    assert bench.distance_mm(clock()) == 297


def test_stage_and_tissue_make_the_distance_that_rangefinder_and_frames_show() -> None:
    bench, clock = _bench(breathing_mm=0)
    bench.stage.move_to("distance", 320)
    bench.stage.move_to("rotation", 45)
    clock.wait(5)
    readings = []
    for _ in range(200):
        reading = bench.rangefinder.read()
        assert reading is not None
        readings.append(reading.distance_mm)
        clock.wait(0.01)
    assert np.mean(readings) == pytest.approx(320, abs=0.3)
    assert np.std(readings) == pytest.approx(1.0, abs=0.2)
    bench.wl.start(25)
    frame = bench.wl.read(1.0)
    source = bench.wl.source
    assert frame is not None and frame.distance_mm == pytest.approx(320)
    assert isinstance(source, PlainSource) and source.exposures[-1].rotation_deg == pytest.approx(45)


def test_light_follows_the_lasers_power_and_the_distance() -> None:
    bench, _ = _bench(breathing_mm=0)
    bench.power_mw = lambda start_s, end_s: 400.0
    bench.irradiance_mw_cm2 = lambda power_mw, distance_mm: power_mw * 300**2 / (8 * distance_mm**2)
    assert bench.irradiance(0, 1, 300) == pytest.approx(50)
    bench.jump(60)
    bench.fl.start(25)
    frame = bench.fl.read(1.0)
    assert frame is not None and frame.laser_on is True
    assert frame.irradiance_mw_cm2 == pytest.approx(50 * (300 / 240) ** 2)


def test_with_the_simulators_pictures_both_cameras_stream_in_real_time_on_one_trigger() -> None:
    fl, wl = make_sources(1, n_specimens=4)
    bench = SimulatedBench(fl, wl, power_mw=lambda start_s, end_s: 400.0, irradiance_mw_cm2=lambda power, d: power / 8)
    seen: dict[str, list[tuple[float, float]]] = {"fl": [], "wl": []}

    def stream(camera: SimulatedCamera) -> None:
        camera.stage()
        camera.start(25)
        for _ in range(30):
            frame = camera.read(1.0)
            assert frame is not None and frame.monotonic_s is not None
            seen[camera.name].append((frame.monotonic_s, time.monotonic() - frame.monotonic_s))
        camera.unstage()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(stream, (bench.fl, bench.wl)))
    ends = {name: {round(end, 6) for end, _ in frames} for name, frames in seen.items()}
    assert len(ends["fl"] & ends["wl"]) >= 15
    assert all(np.median([late for _, late in frames]) < 0.03 for frames in seen.values())


def test_a_seed_fixes_the_readings() -> None:
    first, second, other = (_bench(seed=seed)[0].rangefinder.read() for seed in (4, 4, 5))
    assert first == second != other
