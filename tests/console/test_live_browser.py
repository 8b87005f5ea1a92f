"""The live view in a real browser: what is painted, what hands and keys do, and what is said when nothing comes."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium (make system)"),
]
ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
ROW, COLUMN = 250, 175
"""A pixel of the plate's bright square."""


class Served:
    """The page in a process of its own, as NiceGUI has one set of pages a process."""

    def __init__(self) -> None:
        self.program = subprocess.Popen(
            [sys.executable, "-m", "tests.console.live_console"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://{self.program.stdout.readline().strip()}/"

    def say(self, word: str) -> None:
        self.program.stdin.write(f"{word}\n")
        self.program.stdin.flush()

    def figures(self) -> dict:
        self.say("figures")
        return json.loads(self.program.stdout.readline())

    def end(self) -> None:
        self.program.stdin.close()
        self.program.wait(15)


@pytest.fixture(scope="module")
def served():
    made = Served()
    yield made
    made.end()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(chromium, served, width=1280, height=800):
    page = chromium.new_page(viewport={"width": width, "height": height})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    page.wait_for_function("document.querySelector('.live')?.view?.painted > 5")
    try:
        yield page
    finally:
        page.close()
    assert errors == []


@pytest.fixture
def page(chromium, served):
    with opened(chromium, served) as made:
        yield made


def painted(page) -> int:
    return page.evaluate("document.querySelector('.live').view.painted")


def pixel(page, view: str, x: int = COLUMN, y: int = ROW) -> list[int]:
    script = "([view, x, y]) => [...document.querySelector(`[data-view=${view}] canvas`).getContext('2d')"
    return page.evaluate(f"{script}.getImageData(x, y, 1, 1).data]", [view, x, y])[:3]


def tap(page, x: int, y: int, view: str = "fl") -> None:
    box = page.locator(f"[data-view={view}]").bounding_box()
    page.mouse.click(box["x"] + box["width"] * (x + 0.5) / 640, box["y"] + box["height"] * (y + 0.5) / 512)


def test_counts_are_painted_in_the_colours_of_the_bar(page):
    low, high, colours = page.evaluate(
        "(v => [v.scale.low, v.scale.high, v.colours.rgb])(document.querySelector('.live').view)"
    )
    level = round(239 * (4000 - low) / (high - low))
    near = np.abs(np.asarray(colours[level - 6 : level + 7]) - pixel(page, "fl")).max(axis=1)
    assert near.min() <= 4
    assert pixel(page, "fl", 510, 410) == colours[255]
    ticks = page.locator(".live-ticks span").all_text_contents()
    assert [int(ticks[0]), int(ticks[-1])] == [low, high]


def test_fused_is_white_light_with_fluorescence_over_it_from_the_threshold_on(page):
    plain, square = pixel(page, "fused", 20, 20), pixel(page, "fused")
    assert np.abs(np.subtract(plain, 90)).max() <= 3
    mixed = 0.6 * np.asarray(pixel(page, "fl")) + 0.4 * 90
    assert np.abs(mixed - square).max() <= 12
    page.locator("input[name=threshold]").evaluate("(s) => { s.value = 238; s.dispatchEvent(new Event('input')); }")
    page.wait_for_timeout(300)
    assert np.abs(np.subtract(pixel(page, "fused"), 90)).max() <= 3
    assert page.locator("label:has(input[name=threshold]) output").inner_text().endswith("counts")


def test_the_pictures_keep_coming_and_are_the_heartbeat(page, served):
    before = served.figures()
    first = painted(page)
    page.wait_for_timeout(2000)
    after = served.figures()
    assert painted(page) - first >= 20
    assert after["beats"] - before["beats"] >= 20


def test_a_frozen_picture_stays_and_the_state_goes_on(page, served):
    page.keyboard.press("f")
    page.wait_for_timeout(200)
    first, beats = painted(page), served.figures()["beats"]
    page.evaluate("document.querySelector('[data-item=laser] .live-value').textContent = 'changed'")
    page.wait_for_timeout(1000)
    assert painted(page) == first
    assert "FROZEN" in page.locator(".live-sign").inner_text()
    assert "LIGHT ON" in page.locator("[data-item=laser]").inner_text()
    assert served.figures()["beats"] > beats
    page.click("[data-tool=freeze]")
    page.wait_for_timeout(500)
    assert painted(page) > first
    assert not page.locator(".live-sign").is_visible()


def test_a_tap_tells_counts_and_place_and_marks_it_in_all_views(page):
    tap(page, COLUMN, ROW, "wl")
    page.wait_for_function("document.querySelector('.live-cursor-text').textContent.includes(' mm: ')")
    said = page.locator(".live-cursor-text").inner_text()
    place, counts = said.removesuffix(" counts").split(" mm: ")
    x, y = map(float, place.split(", "))
    assert (x, y) == pytest.approx((17.5, 25.0), abs=0.4)
    assert 3700 < int(counts) < 4300
    assert page.locator(".live-cursor").count() == 3


def test_a_box_is_drawn_by_two_taps_and_its_ratio_comes_from_the_counts(page):
    page.click("[data-tool=box]")
    tap(page, 120, 220)
    tap(page, 230, 280)
    text = page.locator(".live-region-text")
    text.wait_for()
    ratio = float(text.inner_text().split("SBR ")[1].split(" ±")[0])
    assert ratio == pytest.approx((4000 - 600) / (1000 - 600), rel=0.4)  # square and saturated spot lie round it
    assert page.locator(".live-region").count() == 3
    page.click("[data-tool=background]")
    tap(page, 300, 20)
    tap(page, 600, 150)
    page.wait_for_function("document.querySelector('.live-region-text').textContent.includes('SBR 8.')")
    page.click("[data-tool=clear]")
    assert page.locator(".live-region, .live-background").count() == 0
    assert text.count() == 0


def test_a_polygon_is_finished_by_its_key(page):
    page.keyboard.press("p")
    for x, y in ((120, 220), (230, 220), (175, 290)):
        tap(page, x, y)
    page.keyboard.press("p")
    page.locator(".live-region-text").wait_for()
    corners = page.locator(".live-region").first.get_attribute("points").split()
    found = np.asarray([corner.split(",") for corner in corners], float)
    assert np.abs(found - [(120, 220), (230, 220), (175, 290)]).max() <= 1


def test_zoom_is_the_same_in_all_views_and_a_drag_moves_it(page):
    box = page.locator("[data-view=fl]").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.wheel(0, -100)
    page.keyboard.press("+")
    transforms = {element.evaluate("e => e.style.transform") for element in page.locator(".live-content").all()}
    assert len(transforms) == 1
    assert "scale(1)" not in transforms.pop()
    before = page.locator(".live-content").first.evaluate("e => e.style.transform")
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 100, steps=4)
    page.mouse.up()
    assert page.locator(".live-content").first.evaluate("e => e.style.transform") != before
    page.keyboard.press("0")
    assert "scale(1)" in page.locator(".live-content").first.evaluate("e => e.style.transform")


def test_arrows_move_the_cursor_of_a_view_with_the_focus(page):
    page.locator("[data-view=fl]").focus()
    for key in ("ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_timeout(400)
    assert page.evaluate("document.querySelector('.live').view.cursor") == [321, 266]
    assert page.locator(".live-cursor-text").inner_text().startswith("32.1, 26.6 mm")


def test_keys_in_a_text_field_do_nothing_here(page):
    page.click("#field")
    page.keyboard.type("f+tb")
    page.wait_for_timeout(300)
    assert page.locator("[aria-pressed=true]").count() == 0


def test_the_scale_that_the_operator_sets_is_shown_on_the_bar(page):
    page.click("[data-tool=scale]")
    page.fill("input[name=low]", "500")
    page.fill("input[name=high]", "5500")
    page.click("[data-tool=scale_set]")
    page.wait_for_function("document.querySelector('.live-ticks').lastChild.textContent === '5500'")
    page.click("[data-tool=scale]")
    page.fill("input[name=low]", "600")
    page.fill("input[name=high]", "8191")
    page.click("[data-tool=scale_set]")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080), (1024, 768)])
def test_it_fits_the_screen_and_fingers_with_gloves(chromium, served, width, height):
    with opened(chromium, served, width, height) as page:
        assert page.evaluate("document.querySelector('.live').getBoundingClientRect().bottom") <= height
        assert page.evaluate("document.querySelector('.live').scrollHeight") <= height
        for button in page.locator(".live-tools button").all():
            box = button.bounding_box()
            assert min(box["width"], box["height"]) >= 55.9
        pane = page.locator(".live-main").bounding_box()
        assert pane["width"] / pane["height"] == pytest.approx(1.25, abs=0.02)
        if width >= 1280:
            assert pane["width"] >= 0.4 * width
            cut = "e => [...e.querySelectorAll('.live-value')].filter(v => v.scrollWidth > v.clientWidth + 1).length"
            assert page.locator(".live-strip").evaluate(cut) == 0


def test_nothing_new_for_half_a_second_is_said_over_the_picture(page, served):
    served.say("stop")
    try:
        page.wait_for_timeout(1500)  # on a busy machine pictures may be late before they stop
        assert page.locator(".live-sign").inner_text().startswith("NO LIVE PICTURE")
        assert page.locator(".live-late").count() == 1
        beats = served.figures()["beats"]
        page.wait_for_timeout(600)
        assert served.figures()["beats"] == beats
    finally:
        served.say("go")
    page.wait_for_function("document.querySelector('.live-sign').hidden")


def test_a_lost_connection_comes_back_by_itself(page):
    before = painted(page)
    page.evaluate("document.querySelector('.live').view.line.socket.close()")
    page.wait_for_function(f"document.querySelector('.live').view.painted > {before + 10}")


def test_an_ended_session_is_said_and_not_asked_for_again(chromium):
    own = Served()
    try:
        with opened(chromium, own) as page:
            own.say("end")
            page.wait_for_function("document.querySelector('.live-sign').textContent.startsWith('SESSION HAS ENDED')")
            assert page.evaluate("document.querySelector('.live').view.line.socket.readyState") == 3
            assert own.figures()["viewers"] == []
    finally:
        own.end()
