"""The report as one page that needs nothing else: no network, no folder beside it, not even JavaScript."""

import importlib.util
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from glioscope import RESEARCH_USE, __version__
from glioscope.core import InputError

from ._document import Document, Figure
from ._tables import check_names, is_wide, table_html

DATA_KINDS: Final = {
    "simulated": "SIMULATED DATA",
    "real": "Data of patients",
    "unspecified": "Origin of the data not stated",
}
_PAGE: Final = Path(__file__).parent / "page"
_BUNDLE: Final = Path("elements", "echart", "dist")
_TAG: Final = re.compile(r"<[^>]+>")
_IDENTIFIER: Final = re.compile(r'(\bid="|href="#|url\(#)')


def render_html(document: Document, drawings: Mapping[str, str]) -> str:
    """The whole report as one HTML5 page.

    Every figure stands in it as SVG, which is also what is printed. Where a figure has an ECharts `option`, the page
    puts the live chart in its place once the reader comes to it; without JavaScript, or without the package that
    brings ECharts (`nicegui`), the SVG stays.

    Parameters
    ----------
    document : what to print; all of its text is escaped.
    drawings : SVG text of every figure by name, from `write_figures`.

    Raises
    ------
    InputError : a data kind that does not exist, a name used twice, a figure without drawing, an option that is not
        JSON (NaN and infinity are not).
    """
    if document.data_kind not in DATA_KINDS:
        raise InputError(f"data kind {document.data_kind!r} is not one of {', '.join(DATA_KINDS)}")
    figures = [figure for section in document.sections for figure in section.figures]
    tables = [table for section in document.sections for table in section.tables]
    anchors = [section.anchor for section in document.sections]
    check_names("page", [*anchors, *(table.name for table in tables), *(figure.name for figure in figures)])
    options = {figure.name: _checked_option(figure) for figure in figures if figure.option is not None}
    echarts = _echarts() if options else None
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            data_kind=DATA_KINDS[document.data_kind],
            research_use=RESEARCH_USE,
            version=__version__,
            drawings={figure.name: _inline(figure, drawings) for figure in figures},
            tables={table.name: Markup(table_html(table)) for table in tables},
            options=options,
            echarts=Markup(echarts) if echarts else None,
            style=Markup((_PAGE / "style.css").read_text(encoding="utf-8")),
            script=Markup((_PAGE / "report.js").read_text(encoding="utf-8")),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("glioscope.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["wide"] = is_wide
    return environment


def _checked_option(figure: Figure) -> dict[str, Any] | None:
    try:
        json.dumps(figure.option, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"figure {figure.name}: its chart option is not plain JSON: {error}") from error
    return figure.option


def _inline(figure: Figure, drawings: Mapping[str, str]) -> Markup:
    """The `<svg>` element of a drawing, with its ids made unique in the page by the figure's name.

    Matplotlib gives the same ids in every file. Its `<style>`, which has one rule for all elements, would reach the
    whole page; the drawing inherits that rule from its root instead.
    """
    if figure.name not in drawings:
        raise InputError(f"figure {figure.name} has no drawing; draw it with write_figures first")
    svg = drawings[figure.name]
    _, start, body = svg.partition("<svg")
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = _TAG.sub(lambda tag: _IDENTIFIER.sub(rf"\1{figure.name}-", tag[0]), body)
    return Markup(f'{start} style="stroke-linejoin: round; stroke-linecap: butt"{body}')


@cache
def _echarts() -> str | None:
    """Apache ECharts as the text of a module script that sets `globalThis.echarts`; None where it cannot be found.

    It is read from the ES modules inside `nicegui`: `index.js` names the chunk and the export that is ECharts. They are
    joined to one inline module, because a page opened from a file may not import another file.
    """
    # Importing nicegui would take a second and start a web framework; only its folder is wanted.
    spec = importlib.util.find_spec("nicegui")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / _BUNDLE
    try:
        index = (folder / "index.js").read_text(encoding="utf-8")
        imports = re.search(r'import\{([^}]*)\}from"\./([\w.-]+)"', index)
        if imports is None:
            return None
        chunk = (folder / imports[2]).read_text(encoding="utf-8")
    except OSError:
        return None
    exported = _source_of("echarts", re.search(r"export\{([^}]*)\}", index))
    imported = _source_of(exported, imports)
    local = _source_of(imported, re.search(r"export\{([^{}]*)\};?\s*(?://.*)?\s*$", chunk))
    if local is None:
        return None
    # A browser ends a script at the first closing tag, even inside a string, where `<\\/` means the same.
    code = re.sub(r"^//# sourceMappingURL=.*$", "", chunk, flags=re.MULTILINE).replace("</script", r"<\/script")
    return f"{code}\nglobalThis.echarts = {local};"


def _source_of(name: str | None, clause: re.Match[str] | None) -> str | None:
    """X of `{X as name}` in an import or export clause."""
    found = re.search(rf"([\w$]+) as {re.escape(name)}(?![\w$])", clause[1]) if name and clause else None
    return found[1] if found else None
