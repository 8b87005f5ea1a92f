import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.report import sample

from glioscope.core import InputError
from glioscope.report import _html
from glioscope.report._figure_files import write_figures
from glioscope.report._html import render_html

VOID = {"meta", "link", "br", "img", "hr", "input"}
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def document():
    return sample.document()


@pytest.fixture(scope="module")
def drawings(document, tmp_path_factory):
    figures = [figure for section in document.sections for figure in section.figures]
    return write_figures(figures, tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def html(document, drawings):
    return render_html(document, drawings)


class Page(HTMLParser):
    """Every element with its attributes and, for scripts, its content; fails on a tag that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.scripts, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def values(self, *names: str) -> list[str]:
        return [attrs[name] for _, attrs in self.elements for name in names if name in attrs]


def test_tags_are_closed_in_order_and_ids_are_unique(html):
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href", "xlink:href") if value.startswith("#")} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", " ".join(page.values("style", "clip-path")))) <= set(ids)
    assert ("html", {"lang": "en"}) in page.elements


def test_an_html5_parser_finds_no_error(html):
    parser = pytest.importorskip("tinyhtml5", reason="needs glioscope[pdf]").parser.HTMLParser()
    parser.parse(html)
    assert parser.errors == []


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    links = page.values("src", "href", "xlink:href", "srcset", "data", "action")
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"@import|url\((?!#)", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_no_text_becomes_an_element(html, document):
    page = Page(html)
    assert len(page.scripts) == 3
    words = "".join(page.words)
    # Fact, warning, paragraph, table: caption, head, two cells, note; and the caption of each figure.
    assert words.count(sample.HOSTILE) >= 8 + 6
    assert document.title in words
    assert all(not name.startswith("on") for _, attrs in page.elements for name in attrs)


def test_chart_options_survive_a_text_that_ends_scripts(html, document):
    (options,) = (text for text in Page(html).scripts if text.startswith("{"))
    assert json.loads(options) == {"figure-2": document.sections[1].figures[0].option}


def test_every_figure_has_its_drawing_its_alternative_and_its_caption(html):
    page = Page(html)
    alternatives = [attrs["aria-label"] for _, attrs in page.elements if attrs.get("class") == "drawing"]
    assert alternatives == [f"ROC curve, AUC 0.945. {sample.HOSTILE}"] * 6
    tags = [tag for tag, _ in page.elements]
    assert tags.count("svg") == tags.count("figcaption") == tags.count("figure") == 6


def test_data_kind_and_purpose_stand_on_the_page_and_in_the_margin_of_print(html, document, drawings):
    for shown in (r'<p class="banner".*SIMULATED DATA', r'@top-right { content: "SIMULATED DATA"; }'):
        assert re.search(shown, html)
    assert '@top-left { content: "Research use only. Not a medical device."; }' in html
    assert "SIMULATED DATA" not in render_html(replace(document, data_kind="real"), drawings)


def test_without_nicegui_the_drawings_stay_and_a_line_says_so(document, drawings, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    _html._echarts.cache_clear()
    html = render_html(document, drawings)
    _html._echarts.cache_clear()
    assert "Live charts are left out" in html
    assert html.count("<svg") == 6
    assert len(html) < 1_000_000


def test_another_layout_of_nicegui_is_as_good_as_none(tmp_path, monkeypatch):
    package = tmp_path / "nicegui"
    bundle = package / "elements" / "echart" / "dist"
    bundle.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: importlib.machinery.PathFinder.find_spec(name, [str(tmp_path)])
    )
    contents = [{}, {"index.js": "export default 1"}, {"index.js": 'import{a as b}from"./c.js";export{b as echarts};'}]
    for files in [*contents, {**contents[2], "c.js": "var x=1;export{x as other};"}]:
        for name, text in files.items():
            (bundle / name).write_text(text)
        _html._echarts.cache_clear()
        assert _html._echarts() is None
    (bundle / "c.js").write_text('var $x="</script>";export{y as aa,$x as a};\n//# sourceMappingURL=c.js.map')
    _html._echarts.cache_clear()
    assert _html._echarts() == 'var $x="<\\/script>";export{y as aa,$x as a};\n\nglobalThis.echarts = $x;'
    _html._echarts.cache_clear()


def test_nicegui_is_read_but_not_imported():
    code = "import sys; from glioscope.report._html import _echarts; print(bool(_echarts()), 'nicegui' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "False"]


def test_a_page_without_live_charts_is_small(document, drawings):
    sections = [replace(s, figures=tuple(replace(f, option=None) for f in s.figures)) for s in document.sections]
    html = render_html(replace(document, sections=tuple(sections)), drawings)
    assert "globalThis.echarts =" not in html
    assert "Live charts" not in html


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "compliant"), (np.int64(1), "int64"), (len, "builtin")])
def test_an_option_that_is_not_json_is_refused(document, drawings, value, reason):
    (section, *_) = document.sections
    figures = (replace(section.figures[0], option={"x": value}),)
    with pytest.raises(InputError, match=f"figure-1: its chart option is not plain JSON.*{reason}"):
        render_html(replace(document, sections=(replace(section, figures=figures),)), drawings)


def test_documents_that_cannot_be_printed_are_refused(document, drawings):
    with pytest.raises(InputError, match="data kind 'fake' is not one of simulated, real, unspecified"):
        render_html(replace(document, data_kind="fake"), drawings)
    with pytest.raises(InputError, match="figure figure-1 has no drawing"):
        render_html(document, {})
    with pytest.raises(InputError, match="page name 'cohort' is used 2 times"):
        render_html(replace(document, sections=(document.sections[0], document.sections[0])), drawings)


PROBE = """
<script type="module">
const frame = () => requestAnimationFrame(frame);
frame();
const table = document.querySelector("#table-6-patients > table");
const button = table.tHead.rows[0].cells[2].querySelector("button");
const column = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent);
const sort = () => (button.click(), [table.tHead.rows[0].cells[2].getAttribute("aria-sort"), column()]);
button.focus();
const result = { focused: document.activeElement === button, first: sort(), second: sort() };
result.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
document.body.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(result) }));
document.getElementById("figure-2").scrollIntoView();
</script>
<script>
const note = (event) => document.documentElement.setAttribute("data-failed", event.message ?? event.blockedURI);
addEventListener("error", note);
addEventListener("securitypolicyviolation", note);
</script>
"""


@pytest.fixture(scope="module")
def seen(html, tmp_path_factory) -> str:
    """The page as Chromium has it, without a network, after a click on a table's head."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    folder = tmp_path_factory.mktemp("page")
    # The last one: the text of ECharts has another.
    before, end, after = html.rpartition("</body>")
    (folder / "report.html").write_text(f"{before}{PROBE}{end}{after}", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    options += ["--window-size=1200,2000", "--virtual-time-budget=20000", "--dump-dom"]
    command = [CHROMIUM, *options, (folder / "report.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def probed(seen: str) -> dict:
    return json.loads(next(text for text in Page(seen).words if text.startswith('{"focused"')))


def test_the_live_chart_takes_the_place_of_its_drawing_in_a_browser(seen):
    assert 'data-failed="' not in seen
    assert 'data-drawn="yes"' in seen
    assert seen.count("<canvas") == 1
    figure = seen[seen.index('id="figure-2"') :]
    assert 'hidden=""' in figure[figure.index("<div") : figure.index("<svg")]
    assert "Show as printed" in figure


def test_the_browser_loads_nothing(seen):
    assert probed(seen)["loaded"] == []


def test_a_click_sorts_by_value_and_keeps_blanks_last(seen):
    result = probed(seen)
    assert result["focused"]
    (first, rising), (second, falling) = result["first"], result["second"]
    assert (first, second) == ("ascending", "descending")
    values = [cell for cell in rising if cell != "–"]
    assert values == sorted(values, key=lambda cell: float(cell.split()[0]))
    assert len(rising) == 40
    assert rising[-6:] == falling[-6:] == ["–"] * 6
    assert falling[:34] == rising[33::-1]
