"""The scan of the eight sectors, on the simulated bench in virtual time."""

from collections.abc import Callable

import pytest

from glioscope.core import Axis, DeviceError, InputError
from glioscope.devices._scan import SectorTaken, scan_sectors
from glioscope.devices._simulated_stage import DISTANCE, SimulatedStage

from .test_motion import Rig, rig


def _scan(r: Rig, take: Callable[[float], float | None], **options: float) -> list[SectorTaken[float]]:
    return list(scan_sectors(r.motion, take, clock=r.clock, wait=r.clock.wait, **options))  # type: ignore[arg-type]


def test_it_visits_eight_sectors_and_takes_what_was_exposed_there_at_rest() -> None:
    r = rig(breathing_mm=0.3)
    seen: list[tuple[float, float, bool]] = []

    def take(since_s: float) -> float | None:
        if r.clock() - since_s < 0.04:
            return None
        seen.append((r.bench.stage.position("rotation"), r.distance, r.bench.stage.moving("rotation")))
        return r.clock()

    sectors = _scan(r, take, distance_mm=285.0)
    assert [s.sector for s in sectors] == list(range(1, 9))
    assert [s.rotation_deg for s in sectors] == [0, 45, 90, 135, 180, 225, 270, 315]
    assert all(s.taken is not None and s.reason == "" for s in sectors)
    assert [at for at, _, _ in seen] == pytest.approx([s.rotation_deg for s in sectors], abs=0.06)
    assert all(abs(distance - 285) < 1.2 and not moving for _, distance, moving in seen)
    assert [s.distance_mm for s in sectors] == pytest.approx([285] * 8, abs=1)


def test_a_sector_out_of_reach_is_skipped_with_a_reason() -> None:
    r = rig()
    short = SimulatedStage("stage", axes=(DISTANCE, Axis("rotation", "deg", 0, 200, 30)), clock=r.clock)
    short.stage()
    r.motion._stage = short
    sectors = _scan(r, lambda since_s: since_s)
    assert [s.sector for s in sectors if s.taken is not None] == [1, 2, 3, 4, 5]
    assert all("outside the soft limits of 0 to 200" in s.reason for s in sectors[5:])


def test_a_stop_in_the_middle_skips_what_is_left() -> None:
    r = rig()
    taken: list[float] = []

    def take(since_s: float) -> float:
        taken.append(since_s)
        if len(taken) == 3:
            r.motion.stop("enough")
        return since_s

    sectors = _scan(r, take)
    assert len(taken) == 3
    assert ["enough" in s.reason for s in sectors] == [False] * 3 + [True] * 5
    r.run(0.3)
    assert r.still()


def test_a_stall_on_the_way_is_the_reason() -> None:
    r = rig()
    scan = scan_sectors(r.motion, lambda since_s: since_s, clock=r.clock, wait=r.clock.wait)
    assert next(scan).reason == ""
    r.bench.stage.stall("rotation")
    assert all("stalled" in s.reason and s.taken is None for s in scan)


def test_the_hand_on_the_handle_skips_a_sector() -> None:
    r = rig()
    scan = scan_sectors(r.motion, lambda since_s: since_s, clock=r.clock, wait=r.clock.wait)
    next(scan)
    r.bench.handle.push(True, rotation=1.0)
    r.run(0.1)
    assert next(scan).reason == "the handle moved it"
    r.bench.handle.push(False)
    r.run(0.1)
    assert next(scan).reason == ""


def test_without_frames_a_sector_is_skipped_and_the_scan_goes_on() -> None:
    r = rig()
    sectors = _scan(r, lambda since_s: None if r.bench.stage.position("rotation") > 100 else since_s)
    assert [s.sector for s in sectors if s.taken is not None] == [1, 2, 3]
    assert "no pair of frames" in sectors[3].reason


def test_given_up_it_leaves_the_unit_where_it_is() -> None:
    r = rig()
    scan = scan_sectors(r.motion, lambda since_s: since_s, clock=r.clock, wait=r.clock.wait)
    next(scan)
    next(scan)
    del scan
    r.run(1)
    assert r.bench.stage.position("rotation") == pytest.approx(45, abs=0.06)


def test_impossible_scans_are_refused() -> None:
    r = rig()
    with pytest.raises(InputError, match="0 sectors"):
        _scan(r, lambda since_s: since_s, sectors=0)
    with pytest.raises(InputError, match="distance 100"):
        _scan(r, lambda since_s: since_s, distance_mm=100.0)
    r.motion.stop()
    with pytest.raises(DeviceError, match="resume first"):
        _scan(r, lambda since_s: since_s, distance_mm=300.0)
