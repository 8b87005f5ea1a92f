"""Formats written by tifffile, OpenCV and pydicom, read back bit for bit."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from glioscope.core import ImageError
from glioscope.imaging import probe_image, read_fl, read_wl

from .dicoms import write_dicom

RNG = np.random.default_rng(0)
FULL = RNG.integers(0, 65536, (37, 53)).astype(np.uint16)
TWELVE = RNG.integers(0, 4096, (37, 53)).astype(np.uint16)
EIGHT = RNG.integers(0, 256, (37, 53)).astype(np.uint8)
RGB = RNG.integers(0, 256, (37, 53, 3)).astype(np.uint8)


@pytest.mark.parametrize("compression", [None, "packbits", "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("pixels", [FULL, EIGHT], ids=["16", "8"])
def test_grey_tiff(tmp_path, compression, byteorder, tile, pixels):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=compression, byteorder=byteorder, tile=tile, photometric="minisblack")
    image = read_fl(path)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.flags.c_contiguous
    assert image.white_level == (65535 if pixels is FULL else 255)


@pytest.mark.parametrize("kwargs", [{}, {"planarconfig": "separate"}, {"compression": "lzw", "predictor": True}])
def test_rgb_tiff(tmp_path, kwargs):
    path = tmp_path / "a.tif"
    data = np.moveaxis(RGB, -1, 0) if "planarconfig" in kwargs else RGB
    tifffile.imwrite(path, data, photometric="rgb", **kwargs)
    np.testing.assert_array_equal(read_wl(path).pixels, RGB)


def test_ome_tiff_states_size_and_bits(tmp_path):
    path = tmp_path / "a.ome.tif"
    meta = {"PhysicalSizeX": 100.0, "PhysicalSizeXUnit": "µm", "SignificantBits": 12}
    tifffile.imwrite(path, TWELVE // 8, ome=True, metadata=meta)
    image = read_fl(path)
    np.testing.assert_array_equal(image.pixels, TWELVE // 8)
    assert image.mm_per_px == pytest.approx(0.1)
    assert (image.white_level, image.white_stated) == (4095, True)


def test_white_is_zero_tiff_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", 65535 - FULL, photometric="miniswhite")
    np.testing.assert_array_equal(read_fl(tmp_path / "a.tif").pixels, FULL)


@pytest.mark.parametrize(("dpi", "expected"), [(254.0, 0.1), (72.0, None), (96.0, None)])
def test_resolution_is_believed_unless_a_printers(tmp_path, dpi, expected):
    tifffile.imwrite(tmp_path / "a.tif", FULL, resolution=(dpi, dpi), resolutionunit="inch", metadata=None)
    assert read_fl(tmp_path / "a.tif").mm_per_px == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize("pixels", [FULL, EIGHT], ids=["16", "8"])
def test_grey_png(tmp_path, pixels):
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(read_fl(tmp_path / "a.png").pixels, pixels)


def test_rgb_png_and_the_order_of_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1])
    np.testing.assert_array_equal(read_wl(tmp_path / "a.png").pixels, RGB)


def test_opaque_alpha_is_dropped(tmp_path):
    rgba = np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 255, np.uint8)])
    cv2.imwrite(str(tmp_path / "a.png"), rgba)
    np.testing.assert_array_equal(read_wl(tmp_path / "a.png").pixels, RGB)


def test_jpeg(tmp_path):
    smooth = cv2.resize(RGB[:8, :8], (64, 48))
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    image = read_wl(tmp_path / "a.jpg")
    assert np.abs(image.pixels.astype(int) - smooth).mean() < 3
    cv2.imwrite(str(tmp_path / "g.jpg"), smooth[..., 0])
    assert read_fl(tmp_path / "g.jpg").white_level == 255


def test_three_equal_channels_are_grey(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), cv2.merge([EIGHT] * 3))
    np.testing.assert_array_equal(read_fl(tmp_path / "a.png").pixels, EIGHT)


def test_name_does_not_matter(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), EIGHT)
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    assert probe_image(tmp_path / "a.tif").kind == "png"


def test_twelve_bits_in_sixteen(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", TWELVE)
    tifffile.imwrite(tmp_path / "b.tif", TWELVE << 4)
    low, shifted = read_fl(tmp_path / "a.tif"), read_fl(tmp_path / "b.tif")
    assert (low.white_level, low.white_stated) == (4095, False)
    np.testing.assert_array_equal(shifted.pixels, TWELVE << 4)
    assert shifted.white_level == 65535


def test_signed_counts_moved_by_half_the_range(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", (FULL.astype(np.int32) - 32768).astype(np.int16))
    image = read_fl(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, FULL)
    assert image.white_level == 65535


def test_signed_noise_round_a_subtracted_dark_level(tmp_path):
    signed = RNG.integers(-40, 3000, (37, 53)).astype(np.int16)
    tifffile.imwrite(tmp_path / "a.tif", signed)
    np.testing.assert_array_equal(read_fl(tmp_path / "a.tif").pixels, np.maximum(signed, 0))


class TestDicom:
    def test_twelve_bits(self, tmp_path):
        image = read_fl(write_dicom(tmp_path / "a.dcm", TWELVE, bits_stored=12, PixelSpacing=[0.1, 0.1]))
        np.testing.assert_array_equal(image.pixels, TWELVE)
        assert (image.white_level, image.white_stated, image.mm_per_px) == (4095, True, 0.1)

    def test_monochrome1_is_inverted(self, tmp_path):
        path = write_dicom(tmp_path / "a.dcm", 4095 - TWELVE, bits_stored=12, photometric="MONOCHROME1")
        np.testing.assert_array_equal(read_fl(path).pixels, TWELVE)

    def test_signed_with_rescale(self, tmp_path):
        signed = (FULL.astype(np.int32) - 32768).astype(np.int16)
        image = read_fl(write_dicom(tmp_path / "a.dcm", signed, RescaleSlope=1, RescaleIntercept=32768))
        np.testing.assert_array_equal(image.pixels, FULL)
        assert image.white_level == 65535

    def test_signed_without_rescale(self, tmp_path):
        signed = (FULL.astype(np.int32) - 32768).astype(np.int16)
        image = read_fl(write_dicom(tmp_path / "a.dcm", signed))
        np.testing.assert_array_equal(image.pixels, FULL)
        assert image.white_level == 65535

    def test_fractional_rescale_is_refused(self, tmp_path):
        path = write_dicom(tmp_path / "a.dcm", TWELVE, bits_stored=12, RescaleSlope="0.5", RescaleIntercept=0)
        with pytest.raises(ImageError, match=r"a\.dcm: has a rescale of 0\.5 x \+ 0"):
            read_fl(path)

    def test_rgb(self, tmp_path):
        np.testing.assert_array_equal(read_wl(write_dicom(tmp_path / "a.dcm", RGB, photometric="RGB")).pixels, RGB)

    @pytest.mark.parametrize(
        ("syntax", "encode"),
        [
            (
                RLELossless,
                lambda a: imagecodecs.dicomrle_encode(a) if hasattr(imagecodecs, "dicomrle_encode") else None,
            ),
            (JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0)),
            (JPEGLSLossless, imagecodecs.jpegls_encode),
            ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.ljpeg_encode(a)),
        ],
        ids=["rle", "jpeg2000", "jpeg-ls", "jpeg-lossless"],
    )
    def test_compressed(self, tmp_path, syntax, encode):
        path = tmp_path / "a.dcm"
        if syntax == RLELossless:
            from pydicom import dcmread

            dataset = dcmread(write_dicom(path, FULL))
            dataset.compress(RLELossless)
            dataset.save_as(path)
        else:
            write_dicom(path, FULL, syntax=syntax, encoded=encode(FULL))
        np.testing.assert_array_equal(read_fl(path).pixels, FULL)


def test_probe_agrees_with_reading(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", FULL)
    cv2.imwrite(str(tmp_path / "b.png"), RGB)
    write_dicom(tmp_path / "c.dcm", TWELVE, bits_stored=12)
    for name, bits, channels in (("a.tif", 16, 1), ("b.png", 8, 3), ("c.dcm", 12, 1)):
        header = probe_image(tmp_path / name)
        assert (header.height, header.width, header.bits, header.channels) == (37, 53, bits, channels)
