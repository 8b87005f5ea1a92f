"""`register`: the white-light camera onto the fluorescence camera, from a target that both see."""

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope._terminal import out as terminal
from glioscope.core import InputError, atomic_file

from ._app import app

if TYPE_CHECKING:
    from glioscope.imaging import Registration, Target

_PRINT_DPI = 600
_KINDS = ("charuco", "circles")


@app.command()
def register(
    fl: Annotated[Path | None, typer.Argument(metavar="FL", help="Fluorescence frame of the target.")] = None,
    wl: Annotated[Path | None, typer.Argument(metavar="WL", help="White-light frame of the same target.")] = None,
    target: Annotated[str, typer.Option(help="charuco, or circles (asymmetric grid, odd number of rows).")] = "charuco",
    columns: Annotated[int | None, typer.Option(help="Squares, or circles of a row.")] = None,
    rows: Annotated[int | None, typer.Option(help="Rows of squares, or of circles.")] = None,
    square_mm: Annotated[float | None, typer.Option(help="Side of a square, or step between rows of circles.")] = None,
    out: Annotated[Path | None, typer.Option(help="Register, and write this JSON file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Hold this registration against FL and WL: still true?")] = None,
    max_rms_px: Annotated[float, typer.Option(help="Refuse a larger residual; in FL pixels, RMS.")] = 1.0,
    apply_to: Annotated[Path | None, typer.Option(help="White-light frame to bring into the geometry of FL.")] = None,
    out_image: Annotated[Path | None, typer.Option(help="PNG for --apply-to.")] = None,
    print_target: Annotated[Path | None, typer.Option(help="Write the target as a PNG to print at 100 %.")] = None,
) -> None:
    """Register the two cameras with a target (--out), check a registration (--check), or print a target."""
    modes = [mode for mode in (out, check, print_target) if mode is not None]
    if len(modes) != 1:
        raise InputError("give one of --out (register), --check (an earlier registration) and --print-target")
    if print_target is not None:
        _write_target(print_target, _target(target, columns, rows, square_mm))
        return
    if (apply_to is None) != (out_image is None):
        raise InputError("--apply-to and --out-image belong together")
    if not 0 < max_rms_px < float("inf"):
        raise InputError(f"--max-rms-px {max_rms_px:g} is out of range; give more than 0")
    if fl is None or wl is None:
        raise InputError("give a fluorescence and a white-light frame of the target: FL WL")
    if check is not None:
        registration = _check(check, fl, wl, max_rms_px)
    else:
        registration = _register(fl, wl, _target(target, columns, rows, square_mm), max_rms_px, out)
    if apply_to is not None and out_image is not None:
        _write_applied(registration, apply_to, out_image)


def _target(kind: str, columns: int | None, rows: int | None, square_mm: float | None) -> "Target":
    from glioscope.imaging import Target

    if kind not in _KINDS:
        raise InputError(f"--target {kind!r} is neither charuco nor circles")
    if columns is None or rows is None or square_mm is None:
        raise InputError("describe the target by --columns, --rows and --square-mm")
    return Target("charuco" if kind == "charuco" else "circles", columns, rows, square_mm)


def _register(fl: Path, wl: Path, target: "Target", max_rms_px: float, out: Path | None) -> "Registration":
    from glioscope.imaging import read_fl, read_wl, register_cameras, write_registration

    registration = register_cameras(read_fl(fl).pixels, read_wl(wl).pixels, target, max_rms_px=max_rms_px)
    if out is not None:
        write_registration(out, registration)
    residual = registration.residual
    terminal.print(
        f"{out}: residual {residual.rms_px:.2f} px RMS, worst {residual.worst_px:.2f} px, {residual.n_points} points "
        f"left out in turn (limit {max_rms_px:g} px); {registration.mm_per_px:.4f} mm/px; "
        f"white light covers {100 * registration.seen_share:.0f} % of the fluorescence frame",
        soft_wrap=True,
    )
    return registration


def _check(path: Path, fl: Path, wl: Path, max_rms_px: float) -> "Registration":
    from glioscope.imaging import check_registration, read_fl, read_registration, read_wl

    registration = read_registration(path)
    found = check_registration(registration, read_fl(fl).pixels, read_wl(wl).pixels, max_rms_px=max_rms_px)
    terminal.print(
        f"{path}: still true: {found.rms_px:.2f} px RMS, worst {found.worst_px:.2f} px, of {found.n_points} points "
        f"(limit {max_rms_px:g} px); registered {registration.created}",
        soft_wrap=True,
    )
    return registration


def _write_applied(registration: "Registration", wl: Path, path: Path) -> None:
    import cv2

    from glioscope.imaging import read_wl

    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the picture is written as PNG; give a name that ends in .png")
    pixels = registration.apply(read_wl(wl).pixels)
    with atomic_file(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    terminal.print(f"{path}: {wl} as the fluorescence camera would see it", soft_wrap=True)


def _write_target(path: Path, target: "Target") -> None:
    import cv2

    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the target is written as PNG; give a name that ends in .png")
    # Whole, even pixels a square; the resolution in the file makes up for the rounding.
    side = 2 * round(target.square_mm * _PRINT_DPI / 25.4 / 2)
    if not 8 <= side <= 1000:
        raise InputError(f"square of {target.square_mm:g} mm is outside the limits of 0.4 to 42 mm for printing")
    picture = target.picture(side)
    data = cv2.imencode(".png", picture)[1].tobytes()
    with atomic_file(path) as temporary:
        temporary.write_bytes(_with_resolution(data, round(1000 * side / target.square_mm)))
    width, height = (target.square_mm * length / side for length in picture.shape[1::-1])
    terminal.print(
        f"{path}: print at 100 % ({width:.1f} x {height:.1f} mm), then measure the squares and give what they measure "
        "as --square-mm",
        soft_wrap=True,
    )


def _with_resolution(png: bytes, px_per_m: int) -> bytes:
    """The PNG with a pHYs chunk behind its header, which `cv2` does not write."""
    chunk = b"pHYs" + struct.pack(">IIB", px_per_m, px_per_m, 1)
    end_of_header = 8 + 25
    added = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:end_of_header] + added + png[end_of_header:]
