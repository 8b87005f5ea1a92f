"""A whole operation in a real browser, from the log-in to a network that was trained on what it left behind.

With GLIOSCOPE_PICTURES the screenshots of docs/ are taken on the way (`make pictures`).
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glioscope.cases import COMMAND_LINE, AccountRole, CaseStore
from glioscope.cli._serve_demo import PASSWORD
from glioscope.cohort import load_manifest, read_pathology

from ..commands import GLIOSCOPE, run
from ..suites import lenient_suite
from .record_server import chromium
from .seeded import seed_cases

pytestmark = [pytest.mark.slow, pytest.mark.alone]
PICTURES = os.environ.get("GLIOSCOPE_PICTURES")
PATIENCE_S = 45
SECTORS = (2, 2, 2, 2, 5, 5, 5, 5)


class Walk:
    """One browser window in which somebody works."""

    def __init__(self, browser, url, account, folder, size):
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.page, self.url, self.folder = self.context.new_page(), url, folder
        self.said = []
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.goto(url + "/login")
        self.page.get_by_label("Account").fill(account)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile(f"^{re.escape(url)}/(?!login)"))

    def picture(self, name):
        self.page.wait_for_timeout(700)
        self.page.screenshot(path=self.folder / f"console-{name}.png")

    def press(self, name, *, within="body"):
        self.page.locator(within).get_by_role("button", name=name, exact=True).first.click()

    def wait(self, condition):
        self.page.wait_for_function(condition, timeout=PATIENCE_S * 1000)

    def next_number(self):
        return int(self.page.locator(".gs-next-number").inner_text())

    def light(self):
        """On; a machine that is too busy to paint loses it, and one that is busier still has a fault to clear."""
        end = time.monotonic() + PATIENCE_S
        while self.page.locator("#gs-light-word").inner_text() != "● LASER ON":
            assert time.monotonic() < end, self.page.locator("#gs-light-word").inner_text()
            for name in ("Clear fault", "Light on"):
                shown = self.page.get_by_role("button", name=name, exact=True)
                if shown.is_visible():
                    shown.click()
                    self.page.wait_for_timeout(600)

    def take(self, sector):
        number, end = self.next_number(), time.monotonic() + PATIENCE_S
        self.page.keyboard.press(str(sector))
        while self.next_number() == number:
            assert time.monotonic() < end, self.page.locator("#gs-error").inner_text()
            self.light()
            self.page.keyboard.press("Space")
            self.wait("!document.body.classList.contains('gs-taking-now')")
            self.page.wait_for_timeout(150)


@pytest.fixture
def suite(tiny_suite, tmp_path):
    """That of `make demo` for pictures; else a tiny one that answers whatever it is shown."""
    return Path("demo/probe/suite") if PICTURES else lenient_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")


@pytest.fixture
def served(tmp_path, suite, tiny_cohort):
    """The server, with cases of six earlier patients in its store."""
    folder = tmp_path / "store"
    store = CaseStore.open(folder, create=True)
    for role in AccountRole:
        store.accounts.create(COMMAND_LINE, str(role), role, PASSWORD)
    seed_cases(store, tiny_cohort)
    store.close()
    words = ["serve", "--demo", "--store", folder, "--suite", suite, "--port", "0", "--recordings", tmp_path / "films"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen([GLIOSCOPE, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        url = next(found.group(0) for line in process.stdout if (found := re.search(r"http://\S+", line)))
        yield url.rstrip("/"), folder
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_a_whole_operation_and_what_is_learnt_from_it(served, tmp_path):
    url, store = served
    folder = Path(PICTURES) if PICTURES else tmp_path
    with chromium() as browser:
        walk = Walk(browser, url, "operator", folder, (1280, 800))
        open_the_case(walk)
        check_the_phantom(walk)
        take_eight(walk)
        read_the_map(walk, browser, folder)
        case_id = enter_pathology(Walk(browser, url, "pathologist", folder, (1280, 800)))
        close_and_report(walk, case_id, tmp_path / "report.pdf")
        assert [text for text in walk.said if "favicon" not in text] == []
    export_and_train(store, tmp_path)


def open_the_case(walk):
    walk.press("Open case")
    dialog = walk.page.locator(".q-dialog")
    dialog.get_by_label("Pseudonym").fill("P-007")
    dialog.get_by_text("The patient agreed").click()
    dialog.get_by_label("ICG dose").fill("1")
    walk.picture("open")
    walk.press("Open case", within=".q-dialog")
    walk.page.locator(".gs-case-patient", has_text="P-007").wait_for()


def check_the_phantom(walk):
    walk.page.goto(walk.url + "/unit")
    walk.press("Check now")
    walk.page.get_by_text(re.compile("glioscope-cast")).first.wait_for(timeout=PATIENCE_S * 1000)
    walk.picture("unit")
    walk.page.goto(walk.url + "/")


def take_eight(walk):
    """Eight presses that take one, and one over an empty plate in between."""
    walk.light()
    for number, sector in enumerate(SECTORS, start=1):
        if number == 4:
            press_over_an_empty_plate(walk)
        walk.press("Next specimen")
        walk.page.wait_for_timeout(600)
        walk.take(sector)
        assert walk.page.locator("#gs-which").inner_text() == f"No. {number}, sector {sector}"
    walk.light()
    walk.picture("theatre")
    if (heatmap := walk.page.get_by_role("button", name="Heatmap")).is_visible():
        heatmap.click()
        walk.page.get_by_text(re.compile("not where tumour is")).wait_for()
        walk.picture("heatmap")


def press_over_an_empty_plate(walk):
    before = walk.next_number()
    walk.press("Empty plate")
    walk.page.wait_for_timeout(800)
    for _ in range(5):
        walk.light()
        walk.page.keyboard.press("Space")
        walk.wait("!document.body.classList.contains('gs-taking-now')")
        if walk.page.locator("#gs-error", has_text="othing lies").is_visible():
            break
        walk.page.wait_for_timeout(300)
    walk.page.locator("#gs-error", has_text="othing lies").wait_for(timeout=2000)
    assert walk.next_number() == before
    if walk.page.locator("#gs-error").get_by_role("button").is_visible():
        walk.page.locator("#gs-error").get_by_role("button").click()


def read_the_map(walk, browser, folder):
    walk.press("Map")
    walk.picture("map")
    surgeon = Walk(browser, walk.url, "surgeon", folder, (1920, 1080))
    surgeon.page.locator("#gs-which", has_text="No. 8").wait_for()
    surgeon.picture("wall")
    assert not surgeon.page.get_by_role("button", name="Light on").is_visible()
    surgeon.context.close()


def enter_pathology(walk):
    """The pathologist's words for all eight; gives the case."""
    walk.page.goto(walk.url + "/cases")
    walk.picture("cases")
    walk.page.locator("tr", has_text="P-007").get_by_role("link").click()
    walk.page.wait_for_url(re.compile("/cases/"))
    case_id = walk.page.url.rsplit("/", 1)[1]
    walk.page.get_by_role("button", name="Begin with no. 1").or_(
        walk.page.get_by_role("link", name="Begin with no. 1")
    ).click()
    for number in range(1, 9):
        walk.page.get_by_text(f"No. {number}", exact=True).first.wait_for()
        tumour = number % 2 == 1
        walk.press("▲ Tumour" if tumour else "● Non-tumour")
        if tumour:
            walk.press("IV")
            walk.page.get_by_label("Ki-67 in %").fill("22")
        if number == 1:
            walk.picture("pathology")
        walk.press("Store my opinion")
        walk.page.get_by_text("All opinions").wait_for()
        if number == 1:
            walk.picture("specimen")
        if number < 8:
            onward = f"Next without your opinion: no. {number + 1}"
            walk.page.get_by_role("button", name=onward).or_(walk.page.get_by_role("link", name=onward)).first.click()
            walk.page.wait_for_url(re.compile("/specimens/"))
    walk.context.close()
    return case_id


def close_and_report(walk, case_id, path):
    walk.press("Close case")
    walk.press("Close case", within=".q-dialog")
    walk.page.get_by_role("button", name="Open case").wait_for()
    walk.page.goto(f"{walk.url}/cases/{case_id}")
    walk.page.get_by_text("CLOSED").first.wait_for()
    walk.picture("case")
    answer = walk.context.request.get(f"{walk.url}/cases/{case_id}/report.pdf")
    if answer.status != 200:
        assert "WeasyPrint" in answer.text()  # glioscope[pdf] is not installed
        return
    path.write_bytes(answer.body())
    assert answer.body().startswith(b"%PDF")


def export_and_train(store, tmp_path):
    """Seven patients, one of them from today."""
    out = tmp_path / "export"
    ran = run("export", store, "--out", out)
    assert ran.code == 0, ran.err
    table = load_manifest(out / "manifest.csv").table
    assert table["patient_id"].nunique() == 7
    today = table[table["patient_id"] == "P-007"]
    assert list(today["sector"]) == list(SECTORS)
    assert sorted(today["pathology"]) == ["non-tumor"] * 4 + ["tumor"] * 4
    assert len(read_pathology(out / "pathology.csv")) >= 8
    trained = subprocess.run(
        [
            *(sys.executable, "-c", "from glioscope.cli import main; main()", "train", out / "manifest.csv"),
            *("--out", tmp_path / "run", "--strategy", "probe", "--size", "64", "--task", "tumor", "--modality", "fl"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    ran = run("diagnose", tmp_path / "run" / "suite", "--manifest", out / "manifest.csv", "--json")
    assert ran.code == 0, ran.err
    assert "P-007" in (tmp_path / "run" / "split.csv").read_text()
