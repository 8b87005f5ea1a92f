"""Pictures of the live view: an absolute scale, made once a pair, and only while somebody looks."""

import threading
import time

import cv2
import numpy as np
import pytest

from glioscope.console._live_pictures import LivePictures
from glioscope.console._live_scale import LEVELS, SATURATED_FROM, LiveScale, colours, default_scale
from glioscope.console._live_stats import PaintTimes
from glioscope.console._live_strip import strip
from glioscope.console._regions import DrawnRegion, TrayFinder, counts_at, read_regions
from glioscope.console._status import (
    DistanceStatus,
    LightStatus,
    PhantomStatus,
    QualityStatus,
    RecordingStatus,
    SuiteStatus,
)
from glioscope.console._words import Words
from glioscope.core import ImageError, InputError
from glioscope.imaging import box_mask, quantify_region
from glioscope.sim import SimSettings, render_tray

from .live_console import OFFSET, PlateTheatre, pair_of, plate, status_of


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)


def until(true, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.005)


class OnePair(PlateTheatre):
    """Gives the pair that it is told, and counts how often white light was registered."""

    def __init__(self, fl: np.ndarray) -> None:
        super().__init__()
        self.pair, self.registered, self.error = pair_of(fl), 0, None

    def newest(self):
        return self.pair

    def register_wl(self, frame):
        self.registered += 1
        if self.error is not None:
            raise self.error
        return super().register_wl(frame)


# ---- scale


def test_the_same_counts_have_the_same_index_whatever_else_is_in_the_picture():
    scale = LiveScale(600, 8600)
    dim, bright = plate(), plate()
    bright[:, 320:] = 60_000
    pictures = [made_of(fl, scale) for fl in (dim, bright)]
    square = [decoded(picture.fl_jpeg)[220:280, 120:230].astype(float).mean() for picture in pictures]
    assert square[0] == pytest.approx(square[1], abs=0.5)
    assert square[0] == pytest.approx((LEVELS - 1) * (4000 - 600) / 8000, abs=1)


def made_of(fl: np.ndarray, scale: LiveScale):
    pictures = LivePictures(OnePair(fl))
    pictures.set_scale(scale)
    leave = pictures.watch(lambda: None)
    pictures.want()
    until(lambda: pictures.newest() is not None)
    picture = pictures.newest()
    leave()
    return picture


def test_the_table_is_the_stated_formula_and_rises():
    scale = LiveScale(500, 4500, 0.5)
    table = scale.table(65535).astype(int)
    for counts in (0, 500, 501, 1500, 2500, 4500, 60_000):
        share = min(max((counts - 500) / 4000, 0), 1)
        assert table[counts] == round((LEVELS - 1) * share**0.5)
    assert (np.diff(table) >= 0).all()
    assert table[65535] == 255


def test_saturated_pixels_are_told_from_the_brightest_ones_after_jpeg():
    fl = np.full((512, 640), 20_000, np.uint16)  # over the scale's top, and not saturated
    fl[100:200, 100:200] = 65535
    index = decoded(made_of(fl, LiveScale(0, 8000)).fl_jpeg)
    assert (index[104:196, 104:196] >= SATURATED_FROM).all()
    away = np.ones(index.shape, bool)
    away[92:208, 92:208] = False
    assert (index[away] < SATURATED_FROM).all()


@pytest.mark.parametrize("wrong", [(-1, 100, 1.0), (100, 100, 1.0), (0, 65536, 1.0), (0, 100, 0.1), (0, 100, np.nan)])
def test_a_scale_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        LiveScale(*wrong)


def test_the_default_scale_depends_on_the_camera_alone():
    assert default_scale(65535, 560.0) == LiveScale(560, 8191)
    assert default_scale(4095, None) == LiveScale(0, 511)


def test_colours_rise_in_lightness_and_the_warning_is_none_of_them():
    table = colours().astype(np.uint8)
    lightness = cv2.cvtColor(table[None, :LEVELS], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= -1).all()
    assert lightness[-1] - lightness[0] > 200
    apart = np.linalg.norm(table[:LEVELS].astype(float) - table[255].astype(float), axis=1)
    assert apart.min() > 120


# ---- pictures


def test_a_pair_is_drawn_once_for_all_who_look_and_not_at_all_when_nobody_does():
    theatre = OnePair(plate())
    pictures = LivePictures(theatre)
    time.sleep(0.05)
    assert theatre.registered == 0
    told = [0, 0]

    def one() -> None:
        told[0] += 1

    def two() -> None:
        told[1] += 1

    leaves = [pictures.watch(one), pictures.watch(two)]
    for _ in range(5):
        pictures.want()
        time.sleep(0.02)
    until(lambda: told == [1, 1])
    assert theatre.registered == 1
    for number in (1, 2):
        theatre.pair = pair_of(plate(), number)
        pictures.want()
        until(lambda number=number: told[0] == number + 1)
    for leave in leaves:
        leave()
    until(lambda: not any(thread.name == "live pictures" for thread in threading.enumerate()))
    theatre.pair = pair_of(plate(), 9)
    pictures.want()
    time.sleep(0.05)
    assert theatre.registered == 3


def test_without_anybody_waiting_pairs_are_skipped_and_the_next_picture_is_the_newest():
    theatre = OnePair(plate())
    pictures = LivePictures(theatre)
    leave = pictures.watch(lambda: None)
    pictures.want()
    until(lambda: pictures.newest() is not None)
    for number in range(1, 6):
        theatre.pair = pair_of(plate(), number)
        time.sleep(0.01)
    assert pictures.newest().pair.fl.sequence == 0
    pictures.want()
    until(lambda: pictures.newest().pair.fl.sequence == 5)
    assert theatre.registered == 2
    leave()


def test_a_frame_that_does_not_fit_is_told_and_the_next_goes_on():
    theatre = OnePair(plate())
    theatre.error = ImageError(None, "white-light frame is 5 x 5 px, the registration is for 1280 x 720 px")
    pictures = LivePictures(theatre)
    leave = pictures.watch(lambda: None)
    pictures.want()
    until(lambda: "registration" in pictures.fault)
    theatre.error = None
    until(lambda: pictures.newest() is not None)
    assert pictures.fault == ""
    leave()


def test_an_unforeseen_error_is_told_and_whoever_comes_next_sees_pictures_again(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    theatre = OnePair(plate())
    theatre.error = RuntimeError("broken")
    pictures = LivePictures(theatre)
    leave = pictures.watch(lambda: None)
    pictures.want()
    until(lambda: "broken" in pictures.fault)
    leave()
    theatre.error = None
    leave = pictures.watch(lambda: None)
    pictures.want()
    until(lambda: pictures.newest() is not None)
    leave()


# ---- times


def test_percentiles_of_the_times_are_those_of_numpy():
    times, rng = PaintTimes(), np.random.default_rng(0)
    drawn = rng.gamma(4, 15, 5000)
    for value in drawn:
        times.add(value)
    stats = times.stats()
    assert stats.painted == 5000
    for found, share in ((stats.p50_ms, 50), (stats.p95_ms, 95), (stats.p99_ms, 99)):
        assert 0 <= found - np.percentile(drawn, share, method="inverted_cdf") <= 1.0001


def test_nothing_painted_has_no_times():
    assert PaintTimes().stats().p99_ms is None


# ---- what is measured


def region(name: str, *points: tuple[float, float], kind: str = "box", background: bool = False) -> DrawnRegion:
    return DrawnRegion(name=name, kind=kind, points=points, background=background)


def test_counts_under_the_cursor_are_those_of_the_frame():
    frame = pair_of(plate()).fl
    assert counts_at(frame, 120, 210) == {"x": 120, "y": 210, "counts": int(plate()[210, 120]), "saturated": False}
    assert counts_at(frame, 505, 405)["saturated"]
    assert counts_at(frame, 640, 0) is None
    assert counts_at(frame, 0, -1) is None


def test_the_ratio_of_a_region_is_that_of_the_scene():
    fl = plate()
    fl[400:420, 500:520] = 1000
    frame = pair_of(fl).fl
    drawn = [region("1", (230, 280), (120, 220)), region("B", (300, 100), (600, 300), background=True)]
    (read,) = read_regions(frame, drawn, OFFSET)
    assert read.name == "1"
    assert read.sbr == pytest.approx((4000 - OFFSET) / (1000 - OFFSET), rel=0.01)
    assert abs(read.sbr - 8.5) < 5 * read.sbr_error + 0.01
    mask, around = box_mask(fl.shape, (120, 220, 111, 61)), box_mask(fl.shape, (300, 100, 301, 201))
    known = quantify_region(fl, mask, around, white_level=65535, offset_counts=OFFSET)
    assert (read.sbr, read.sbr_error) == (known.sbr.value, known.sbr.standard_error)


def test_without_the_counts_without_light_there_is_a_contrast_and_no_ratio():
    frame = pair_of(plate()).fl
    (read,) = read_regions(frame, [region("1", (120, 220), (120, 270), (230, 270), kind="polygon")], None)
    assert read.sbr is None
    assert read.contrast == pytest.approx(3000, rel=0.15)
    assert read.saturated  # the spot lies in its background


def test_a_region_of_a_few_pixels_says_so_instead_of_a_number():
    frame = pair_of(plate()).fl
    (read,) = read_regions(frame, [region("1", (10, 10), (11, 11))], OFFSET)
    assert "at least 9" in read.sentence
    assert read.sbr is None


def test_two_regions_are_no_background_of_each_other():
    fl = plate()
    fl[400:420, 500:520] = 1000
    fl[300:512, 300:640] = 5000
    frame = pair_of(fl).fl
    drawn = [region("1", (120, 220), (230, 280)), region("2", (300, 300), (639, 511))]
    first, _ = read_regions(frame, drawn, OFFSET)
    alone, _ = read_regions(frame, [drawn[0], region("2", (0, 0), (20, 20))], OFFSET)
    assert first.sbr > 1.5 * alone.sbr


def test_specimens_of_a_tray_are_outlined_and_found_at_most_twice_a_second():
    tray = render_tray(6, (512, 640), 0.1, SimSettings(), np.random.default_rng(0))
    finder, first = TrayFinder(every_s=10.0), pair_of(tray.fl, 0, tray.wl)
    found = finder.outlines(first.fl, tray.wl)
    assert len(found) == 6
    inside = np.zeros((512, 640), np.uint8)
    for outline in found:
        cv2.fillPoly(inside, [np.asarray(outline, np.int32)], 1)
    assert tray.fl[inside == 1].mean() > 1.5 * tray.fl[inside == 0].mean()
    assert finder.outlines(pair_of(plate(), 1).fl, tray.wl) is found


# ---- status strip


def items(**changed) -> dict:
    return {item.name: item for item in strip(status_of(**changed), Words(), 24.6)}


def test_everything_that_must_be_in_sight_is_in_the_strip():
    shown = items()
    assert set(shown) == {
        *("laser", "irradiance", "distance", "exposure", "rate", "recording"),
        *("suite", "phantom", "lost", "case", "quality"),
    }
    assert (shown["laser"].value, shown["laser"].sign, shown["laser"].tone) == ("LIGHT ON", "☀", "light")
    assert shown["irradiance"].value == "50.6 mW/cm²"
    assert (shown["distance"].value, shown["distance"].tone) == ("300 mm (250–350)", "good")
    assert shown["distance"].share == pytest.approx(0.498)
    assert shown["exposure"].value == "5 × 20 ms"
    assert shown["rate"].value == "25.0/s, shown 24.6/s"
    assert shown["suite"].value == "demo 3fa9c1d2e4b7, SIMULATED"
    assert shown["recording"].value == "412 min left"


@pytest.mark.parametrize(
    ("changed", "name", "word", "tone"),
    [
        ({"light": LightStatus("fault", "key off", 0, None, False)}, "laser", "FAULT", "bad"),
        ({"light": LightStatus("fault", "key off", 0, None, False)}, "fault", "key off", "bad"),
        ({"light": LightStatus("armed", "", 0, None, False)}, "laser", "ARMED", "warn"),
        ({"light": None}, "laser", "none", ""),
        ({"distance": DistanceStatus(400, 250, 300, 350, False)}, "distance", "400 mm", "bad"),
        ({"distance": DistanceStatus()}, "distance", "–", ""),
        ({"phantom": None}, "phantom", "never", "warn"),
        ({"phantom": PhantomStatus("fail", 1, True, ("dim",))}, "phantom", "FAILED", "bad"),
        ({"phantom": PhantomStatus("ok", 30, False, ())}, "phantom", "30 h", "warn"),
        ({"quality": QualityStatus(1, ("the specimen is blurred",), 0.2)}, "quality", "blurred", "warn"),
        ({"quality": QualityStatus(1, (), 9.0)}, "quality", "–", ""),
        ({"quality": QualityStatus(4, (), 0.2)}, "quality", "4 specimens", ""),
        ({"recording": RecordingStatus("full", "no room", 4, None)}, "recording", "FULL", "bad"),
        ({"recording": RecordingStatus("recording", "", 4, 5.0)}, "recording", "4 dropped", "warn"),
        ({"recording": None}, "recording", "off", ""),
        ({"lost": 3}, "lost", "3", "warn"),
        ({"case_id": None}, "case", "none open", "warn"),
        ({"suite": SuiteStatus("demo", "ab" * 32, "", "real", True)}, "suite", "demo", "bad"),
        ({"clock": "the clock jumped by 60 s"}, "fault", "clock", "bad"),
        ({"faults": ("fl: unplugged", "fl: unplugged")}, "fault", "fl: unplugged", "bad"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_by_its_tone(changed, name, word, tone):
    item = items(**changed)[name]
    assert word in item.value
    assert item.tone == tone
    assert tone in ("", "good") or item.sign
