"""The report as PDF, from the same page that the browser shows."""

import base64
import re
from pathlib import Path
from typing import Final

from glioscope.core import InputError, atomic_file

_SCRIPT: Final = re.compile(r"<script.*?</script>", re.DOTALL)
_DRAWING: Final = re.compile(r'<div class="drawing" role="img" aria-label="([^"]*)">\s*(<svg.*?</svg>)', re.DOTALL)


class PdfUnavailable(InputError):  # noqa: N818
    """WeasyPrint, or the Pango library under it, is not installed; the sentence says what to install."""


def require_pdf() -> None:
    """Find out before any work whether a PDF can be made.

    Raises
    ------
    PdfUnavailable : WeasyPrint or Pango is missing.
    """
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError) as error:
        # WeasyPrint raises OSError where it cannot load Pango's shared library.
        raise PdfUnavailable(
            f"a PDF needs WeasyPrint and Pango: pip install 'glioscope[pdf]' and, on Debian, "
            f"apt install libpangoft2-1.0-0 libharfbuzz-subset0 ({error})"
        ) from error


def write_pdf(html: str, path: Path | str) -> None:
    """Print a page of `render_html` on A4 to `path`, atomically; scripts are ignored, nothing is fetched.

    Raises
    ------
    PdfUnavailable : WeasyPrint or Pango is missing.
    OSError : the file cannot be written.
    """
    require_pdf()
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    page = HTML(string=_for_print(html), url_fetcher=URLFetcher(allowed_protocols=["data"]))
    with atomic_file(path) as temporary:
        page.write_pdf(temporary, pdf_tags=True)


def _for_print(html: str) -> str:
    """The page without scripts, and with each drawing as an image of its own, which keeps its text alternative.

    WeasyPrint would match all rules of the page against every element of a drawing in it, which takes as long again as
    the rest.
    """
    return _DRAWING.sub(_as_image, _SCRIPT.sub("", html))


def _as_image(drawing: re.Match[str]) -> str:
    alt, svg = drawing.groups()
    content = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return f'<div class="drawing"><img alt="{alt}" src="data:image/svg+xml;base64,{content}">'
