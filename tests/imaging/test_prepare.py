import cv2
import numpy as np
import pytest
import tifffile

from glioscope.core import Canvas, FLPlan, ImageError, WLPlan
from glioscope.imaging import SpecimenSource, cut, find_specimens, prepare_specimen

from .scenes import MM_PER_PX, Scene, draw

FL, WL = FLPlan(), WLPlan(canvas=Canvas(size_px=96))


def written(folder, scene: Scene, name: str = "a"):
    tifffile.imwrite(folder / f"{name}.tif", scene.fl, compression="zlib")
    cv2.imwrite(str(folder / f"{name}.png"), scene.wl[..., ::-1])
    return folder / f"{name}.tif", folder / f"{name}.png"


def test_full_frame_gives_the_bytes_of_the_cut_image(tmp_path):
    scene = draw([(300, 250, 40, 4000)], hot=100)
    fl, wl = written(tmp_path, scene)
    full = prepare_specimen(SpecimenSource("s", fl, wl, framing="full", mm_per_px=MM_PER_PX), fl_plan=FL, wl_plan=WL)
    box = find_specimens(scene.fl, scene.wl, mm_per_px=MM_PER_PX)[0].box
    assert full.box == box
    cut_fl, cut_wl = written(tmp_path, Scene(cut(scene.fl, box), cut(scene.wl, box), []), "b")
    small = prepare_specimen(SpecimenSource("s", cut_fl, cut_wl), fl_plan=FL, wl_plan=WL)
    roi = prepare_specimen(SpecimenSource("s", fl, wl, framing="full", roi=box), fl_plan=FL, wl_plan=WL)
    for other in (small, roi):
        assert other.fl.image.tobytes() == full.fl.image.tobytes()
        assert other.wl.image.tobytes() == full.wl.image.tobytes()


def test_only_what_has_a_plan_is_prepared(tmp_path):
    fl, wl = written(tmp_path, draw([(80, 64, 38, 3000)], shape=(128, 160)))
    prepared = prepare_specimen(SpecimenSource("s", fl, wl), fl_plan=FL)
    assert prepared.wl is None
    assert prepared.fl.image.shape == (160, 160)
    assert prepare_specimen(SpecimenSource("s", None, wl), fl_plan=FL, wl_plan=WL).fl is None


@pytest.mark.parametrize(
    ("places", "words"),
    [([], "has 0 specimens"), ([(150, 150, 40, 3000), (450, 300, 40, 3000)], "has 2 specimens")],
)
def test_a_full_frame_needs_exactly_one_specimen(tmp_path, places, words):
    fl, wl = written(tmp_path, draw(places))
    with pytest.raises(ImageError, match=words):
        prepare_specimen(SpecimenSource("s", fl, wl, framing="full", mm_per_px=MM_PER_PX), fl_plan=FL)


def test_a_full_frame_needs_a_scale_or_a_roi_inside(tmp_path):
    fl, wl = written(tmp_path, draw([(300, 250, 40, 4000)]))
    with pytest.raises(ImageError, match="mm_per_px is needed"):
        prepare_specimen(SpecimenSource("s", fl, wl, framing="full"), fl_plan=FL)
    with pytest.raises(ImageError, match="roi 700,10,20,20 is outside the frame of 640 x 512 px"):
        prepare_specimen(SpecimenSource("s", fl, wl, framing="full", roi=(700, 10, 20, 20)), fl_plan=FL)


def test_dark_and_flat_frames_are_cut_with_the_image(tmp_path):
    scene = draw([(300, 250, 40, 4000)])
    fl, wl = written(tmp_path, scene)
    tifffile.imwrite(tmp_path / "dark.tif", np.full(scene.fl.shape, 600, np.uint16))
    tifffile.imwrite(tmp_path / "flat.tif", np.full(scene.fl.shape, 9000, np.uint16))
    source = SpecimenSource(
        "s", fl, wl, framing="full", mm_per_px=MM_PER_PX, fl_dark=tmp_path / "dark.tif", fl_flat=tmp_path / "flat.tif"
    )
    corrected = prepare_specimen(source, fl_plan=FL)
    plain = prepare_specimen(SpecimenSource("s", fl, wl, framing="full", mm_per_px=MM_PER_PX), fl_plan=FL)
    assert np.abs(corrected.fl.image.astype(int) - plain.fl.image).max() <= 1
    assert corrected.fl.record.offset == pytest.approx(plain.fl.record.offset)
    tifffile.imwrite(tmp_path / "flat.tif", np.full((9, 9), 9000, np.uint16))
    with pytest.raises(ImageError, match=r"flat\.tif: is 9 x 9 px, the frame it corrects"):
        prepare_specimen(source, fl_plan=FL)
