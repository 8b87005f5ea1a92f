"""Registration of the two cameras, on SIMULATED photographs of a target whose true mapping is known."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glioscope.core import ImageError, InputError
from glioscope.imaging import (
    Registration,
    Residual,
    Target,
    check_registration,
    read_registration,
    register_cameras,
    write_registration,
)
from glioscope.sim import Lens, TargetPair, photograph_target
from glioscope.sim._target import FL_LENS, WL_LENS

CHARUCO = Target("charuco", 11, 8, 5.0)
OVERSIZED = Target("charuco", 17, 13, 5.0)
CIRCLES = Target("circles", 5, 9, 4.8)
STRAIGHT = Registration(
    fl_size=(40, 32),
    wl_size=(80, 64),
    homography=((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0)),
    fl_distortion=0.0,
    wl_distortion=0.0,
    residual=Residual(0.1, 0.3, 20),
    target=CHARUCO,
    mm_per_px=0.1,
    created="2024-01-01T00:00:00+00:00",
)


@cache
def photographed(target: Target, seed: int = 1, **changes: object) -> TargetPair:
    return photograph_target(target, np.random.default_rng(seed), **changes)  # type: ignore[arg-type]


def true_errors(registration: Registration, pair: TargetPair) -> NDArray[np.float64]:
    """Distance in FL px from the truth, at points all over the FL frame, on the target or not."""
    y, x = np.mgrid[:512:16, :640:16]
    fl = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    wl = pair.wl_lens.to_px(pair.fl_lens.to_plate(fl))
    return np.hypot(*(registration.to_fl(wl) - fl).T)


@pytest.fixture(scope="module")
def pair() -> TargetPair:
    return photographed(CHARUCO)


@pytest.fixture(scope="module")
def registration(pair: TargetPair) -> Registration:
    return register_cameras(pair.fl, pair.wl, CHARUCO)


@pytest.mark.parametrize("inverted", [True, False], ids=["ink bright in FL", "ink dark in FL"])
@pytest.mark.parametrize("target", [CHARUCO, OVERSIZED, CIRCLES], ids=["charuco", "larger than the frame", "circles"])
def test_the_mapping_is_true_all_over_the_frame(target, inverted):
    pair = photographed(target, inverted_in_fl=inverted)
    found = register_cameras(pair.fl, pair.wl, target)
    errors = true_errors(found, pair)
    assert np.sqrt(np.mean(errors**2)) < 0.2
    assert errors.max() < 1.0  # the corners of the frame, off the smaller targets
    assert found.residual.rms_px < 0.15
    assert found.residual.n_points >= 45
    assert found.fl_size == (640, 512)
    assert found.wl_size == (1280, 720)


@pytest.mark.parametrize(("target", "turned"), [(CHARUCO, 8), (CHARUCO, 180), (CIRCLES, -4), (CIRCLES, 180)])
def test_a_turned_target_gives_the_same_mapping(target, turned):
    pair = photographed(target, turned_deg=turned)
    assert true_errors(register_cameras(pair.fl, pair.wl, target), pair).max() < 1.0


@pytest.mark.parametrize("target", [CHARUCO, CIRCLES], ids=["charuco", "circles"])
def test_a_camera_that_stands_upside_down_is_no_other_mapping(target):
    pair = photographed(target, fl_lens=replace(FL_LENS, roll_deg=180.0))
    assert true_errors(register_cameras(pair.fl, pair.wl, target), pair).max() < 1.0


def test_the_residual_is_that_of_points_left_out(pair, registration):
    again = check_registration(registration, pair.fl, pair.wl)
    assert again.n_points == registration.residual.n_points
    assert again.rms_px < registration.residual.rms_px  # points of the fit itself lie closer
    other = photographed(CHARUCO, seed=9, shift_mm=(1.5, -0.8), turned_deg=3)
    assert check_registration(registration, other.fl, other.wl).rms_px < 3 * registration.residual.rms_px


def test_distortion_is_fitted_where_the_lenses_have_it_and_left_out_where_not(registration):
    assert registration.wl_distortion < -0.005  # barrel
    assert registration.fl_distortion > 0.005  # pincushion
    straight = {"fl_lens": replace(FL_LENS, k1=0.0, k2=0.0), "wl_lens": replace(WL_LENS, k1=0.0, k2=0.0)}
    pair = photographed(CHARUCO, **straight)
    found = register_cameras(pair.fl, pair.wl, CHARUCO)
    assert (found.fl_distortion, found.wl_distortion) == (0.0, 0.0)
    assert true_errors(found, pair).max() < 0.3


def test_the_scale_is_that_of_the_lens(registration):
    middle = np.array([[319.0, 255.5], [320.0, 255.5], [319.5, 255.0], [319.5, 256.0]])
    left, right, top, bottom = FL_LENS.to_plate(middle)
    true = np.sqrt(abs(np.linalg.det([right - left, bottom - top])))
    assert registration.mm_per_px == pytest.approx(true, rel=0.005)


def test_both_directions_are_inverse_to_each_other(registration):
    points = np.random.default_rng(0).uniform(0, [639, 511], (50, 2))
    np.testing.assert_allclose(registration.to_fl(registration.to_wl(points)), points, atol=1e-8)


def test_a_white_light_frame_comes_out_in_the_geometry_of_fl(pair, registration):
    y, x = np.mgrid[:720, :1280].astype(np.float32)
    ramps = np.stack([x / 5, y / 3, x * 0], axis=2)
    out = registration.apply(np.rint(ramps).astype(np.uint8))
    assert out.shape == (512, 640, 3)
    rows, columns = np.mgrid[:512:32, :640:32]
    fl = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
    wl = pair.wl_lens.to_px(pair.fl_lens.to_plate(fl))
    seen = out[rows.ravel(), columns.ravel()].astype(np.float64)
    np.testing.assert_allclose(seen[:, 0], wl[:, 0] / 5, atol=1.0)
    np.testing.assert_allclose(seen[:, 1], wl[:, 1] / 3, atol=1.0)
    assert registration.seen_share == 1.0


def test_what_white_light_does_not_see_is_black_and_counted():
    half = replace(STRAIGHT, homography=((0.5, 0.0, 20.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0)))
    out = half.apply(np.full((64, 80, 3), 200, np.uint8))
    assert (out[:, :19] == 0).all()
    assert (out[:, 21:] == 200).all()
    assert half.seen_share == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("wl", "words"),
    [
        (np.zeros((64, 81, 3), np.uint8), "81 x 64 px, the registration is for 80 x 64 px"),
        (np.zeros((64, 80), np.uint8), r"uint8 \(H, W, 3\) is needed"),
        (np.zeros((64, 80, 3), np.uint16), r"uint8 \(H, W, 3\) is needed"),
    ],
)
def test_frames_that_do_not_fit_are_refused(wl, words):
    with pytest.raises(ImageError, match=words):
        STRAIGHT.apply(wl)


@pytest.mark.parametrize("target", [CHARUCO, CIRCLES], ids=["charuco", "circles"])
def test_a_moved_camera_is_noticed(target):
    pair = photographed(target)
    found = register_cameras(pair.fl, pair.wl, target)
    kept = photographed(target, seed=5, shift_mm=(0.3, 0.2))
    assert check_registration(found, kept.fl, kept.wl).rms_px < 0.2
    moved = photographed(target, seed=5, wl_lens=replace(WL_LENS, looks_at_mm=(1.1, -0.6)))
    with pytest.raises(ImageError, match=r"residual is 3\.\d\d px RMS over \d+ points, the limit is 1 px"):
        check_registration(found, moved.fl, moved.wl)
    farther = {"fl_lens": replace(FL_LENS, distance_mm=312.0), "wl_lens": replace(WL_LENS, distance_mm=312.0)}
    lifted = photographed(target, seed=5, **farther)
    with pytest.raises(ImageError, match=r"the scale is 0\.103"):
        check_registration(found, lifted.fl, lifted.wl)
    with pytest.raises(ImageError, match="white-light frame is 1280 x 700 px, the registration is for 1280 x 720 px"):
        check_registration(found, kept.fl, kept.wl[:700])


@pytest.mark.parametrize(("target", "blur_px"), [(CHARUCO, 4.0), (CIRCLES, 30.0)], ids=["charuco", "circles"])
def test_a_blurred_target_is_refused(target, blur_px):
    pair = photographed(target, fl_lens=replace(FL_LENS, blur_px=blur_px))
    with pytest.raises(ImageError, match=r"fluorescence frame: \d+ of \d+ points of the .* target found, at least 12"):
        register_cameras(pair.fl, pair.wl, target)


def test_a_soft_picture_of_large_squares_or_circles_will_do():
    for target, blur_px in ((Target("charuco", 10, 8, 6.4), 1.5), (CIRCLES, 10.0)):
        pair = photographed(target, fl_lens=replace(FL_LENS, blur_px=blur_px))
        assert true_errors(register_cameras(pair.fl, pair.wl, target), pair).max() < 1.0


@pytest.mark.parametrize("target", [CHARUCO, CIRCLES], ids=["charuco", "circles"])
def test_a_target_half_outside_is_refused(target):
    pair = photographed(target, shift_mm=(32.0, 0.0))
    with pytest.raises(ImageError, match=r"span \d+ % of the fluorescence frame, at least 35 %|0 of 45 points"):
        register_cameras(pair.fl, pair.wl, target)


def test_a_small_target_is_refused():
    small = replace(CIRCLES, square_mm=2.0)
    pair = photographed(small)
    with pytest.raises(ImageError, match="span 9 % of the fluorescence frame, at least 35 % is needed"):
        register_cameras(pair.fl, pair.wl, small)


@pytest.mark.parametrize(("columns", "rows"), [(10, 8), (12, 8), (8, 11), (14, 10)])
def test_a_board_of_another_size_is_refused(pair, columns, rows):
    with pytest.raises(ImageError, match="fluorescence frame: "):
        register_cameras(pair.fl, pair.wl, Target("charuco", columns, rows, 5.0))


@pytest.mark.parametrize(("columns", "rows"), [(4, 9), (6, 9), (5, 7), (5, 11)])
def test_a_grid_of_another_size_is_refused(columns, rows):
    pair = photographed(CIRCLES)
    with pytest.raises(ImageError, match="fluorescence frame: "):
        register_cameras(pair.fl, pair.wl, Target("circles", columns, rows, 4.8))


def test_a_residual_above_the_limit_is_refused(pair):
    with pytest.raises(ImageError, match=r"residual is 0\.0\d px RMS over 70 points, the limit is 0\.01 px"):
        register_cameras(pair.fl, pair.wl, CHARUCO, max_rms_px=0.01)


def test_frames_of_the_wrong_type_are_refused(pair):
    with pytest.raises(ImageError, match=r"fluorescence frame is float64 \(512, 640\)"):
        register_cameras(pair.fl.astype(float), pair.wl, CHARUCO)
    with pytest.raises(ImageError, match=r"white-light frame is uint16 \(512, 640\)"):
        register_cameras(pair.fl, pair.fl, CHARUCO)
    with pytest.raises(ImageError, match="0 of 70 points"):
        register_cameras(np.zeros_like(pair.fl), pair.wl, CHARUCO)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chess", 8, 6, 5.0), "neither 'charuco' nor 'circles'"),
        (("charuco", 2, 6, 5.0), "outside the limits of 3 to 60"),
        (("charuco", 30, 30, 5.0), "450 markers, over 250"),
        (("charuco", 8, 6, float("nan")), "square of nan mm"),
        (("circles", 5, 8, 5.0), "8 rows of circles look the same upside down"),
    ],
)
def test_impossible_targets_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Target(*arguments)


def test_what_is_written_is_read_back(registration, tmp_path):
    write_registration(tmp_path / "r.json", registration)
    assert read_registration(tmp_path / "r.json") == registration
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def _changed(path: Path, *, rehash: bool, **changes: object) -> None:
    from glioscope.core._sealed import sha256_of_content

    document = json.loads(path.read_text())
    document["registration"].update(changes)
    if rehash:
        document["sha256"] = sha256_of_content(document["registration"])
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mm_per_px": float("nan")}, "mm_per_px is nan"),
        ({"mm_per_px": 0.0}, "mm_per_px is 0, 0.001 to 5"),
        ({"fl_distortion": 3.0}, "distortion of the FL lens is 3, at most 0.4"),
        ({"homography": [[1, 0, 0], [0, 1, 0], [0, 0, float("inf")]]}, "not finite"),
        ({"homography": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}, "does not map the whole FL frame"),
        ({"homography": [[1, 0, 0], [0, 1, 0], [0.1, 0, 1]]}, "does not map the whole FL frame"),
        ({"homography": [[1, 0], [0, 1]]}, "homography"),
        ({"fl_size": [0, 32]}, "outside the limits of 4 to 16384"),
        ({"residual": {"rms_px": -1, "worst_px": 0, "n_points": 9}}, "is impossible"),
        ({"target": {"kind": "chess", "columns": 8, "rows": 6, "square_mm": 5}}, "charuco"),
        ({"created": 5}, "created"),
    ],
)
def test_a_file_with_impossible_values_is_refused(tmp_path, changes, words):
    path = tmp_path / "r.json"
    write_registration(path, STRAIGHT)
    _changed(path, rehash=True, **changes)
    with pytest.raises(InputError, match=words) as caught:
        read_registration(path)
    assert str(caught.value).startswith(str(path))


def test_a_changed_file_another_schema_and_no_file_are_refused(tmp_path):
    path = tmp_path / "r.json"
    write_registration(path, STRAIGHT)
    _changed(path, rehash=False, mm_per_px=0.2)
    with pytest.raises(InputError, match="was changed after it was written"):
        read_registration(path)
    path.write_text('{"schema_version": 2}')
    with pytest.raises(InputError, match="schema_version is 2, 1 is needed"):
        read_registration(path)
    for text in ("[]", "{}", "null"):
        path.write_text(text)
        with pytest.raises(InputError, match="schema_version is None"):
            read_registration(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="is not a registration file"):
        read_registration(path)
    with pytest.raises(InputError, match="does not exist"):
        read_registration(tmp_path / "none.json")


def test_a_lens_of_the_simulator_is_its_own_inverse():
    lens = Lens((640, 512), 3000.0, tilt_deg=(3.0, -4.0), roll_deg=10.0, k1=0.5, k2=-2.0)
    px = np.random.default_rng(1).uniform(0, [639, 511], (100, 2))
    np.testing.assert_allclose(lens.to_px(lens.to_plate(px)), px, atol=1e-9)
