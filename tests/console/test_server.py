"""The server: where it may listen, TLS, start and stop, and its pages in a real browser under the policy."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.sync.client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nicegui import ui

from glioscope.cases import COMMAND_LINE, AccountRole
from glioscope.console._exposure import DEFAULT_PASSWORDS, check_exposure, is_loopback, tls_context
from glioscope.console._server import add_nicegui, make_server, new_app
from glioscope.core import InputError
from tests.console.guarded import PASSWORD, Browser, an_app, make_console, make_store, served

pytestmark = pytest.mark.alone

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    with make_store(tmp_path / "store") as one:
        yield one


def certificate(folder: Path, *, days: float = 1, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is valid until so many days from now, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "theatre")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    paths = folder / "theatre.pem", folder / "theatre.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed))
    return paths


# ---- where it may listen


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("theatre.clinic.test", False), ("", False)],
)  # fmt: skip
def test_loopback_is_what_no_other_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_on_loopback_nothing_is_asked_for(store: Any) -> None:
    check_exposure(make_console(store).settings, store.accounts)


def test_outside_it_needs_tls(store: Any, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    for half in ({}, {"certificate": pem}, {"key": key}):
        with pytest.raises(InputError, match=r"0\.0\.0\.0 can be reached .* give a TLS certificate and its key"):
            make_server(make_console(store, host="0.0.0.0", **half), new_app())
    check_exposure(make_console(store, host="0.0.0.0", certificate=pem, key=key).settings, store.accounts)


def test_outside_it_needs_an_administrator_and_no_password_of_the_documentation(store: Any, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    settings = make_console(store, host="0.0.0.0", certificate=pem, key=key).settings
    store.accounts.set_password(COMMAND_LINE, "surgeon", DEFAULT_PASSWORDS[0])
    with pytest.raises(InputError, match="surgeon has the password of the demo"):
        check_exposure(settings, store.accounts)
    store.accounts.disable(COMMAND_LINE, "surgeon")  # nobody can log in by it any more
    check_exposure(settings, store.accounts)


def test_outside_it_does_not_start_where_no_administrator_is_left(store: Any, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    settings = make_console(store, host="0.0.0.0", certificate=pem, key=key).settings

    class WithoutAdministrator:
        def all(self) -> list[Any]:
            return [account for account in store.accounts.all() if account.role is not AccountRole.ADMINISTRATOR]

    with pytest.raises(InputError, match="administrator first"):
        check_exposure(settings, WithoutAdministrator())  # type: ignore[arg-type]


def test_the_demos_password_is_among_those_that_are_refused() -> None:
    from glioscope.cli import _serve_demo

    assert _serve_demo.PASSWORD in DEFAULT_PASSWORDS


def test_a_port_that_is_taken_is_one_sentence(store: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is taken"):
            make_server(make_console(store, port=port), new_app())


def test_an_address_of_another_machine_is_one_sentence(store: Any, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    with pytest.raises(InputError, match=r"192\.0\.2\.1 is no address of this machine"):
        make_server(make_console(store, host="192.0.2.1", certificate=pem, key=key), new_app())


# ---- TLS


def test_certificates_that_cannot_be_used_are_one_sentence_each(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, another = certificate(tmp_path / "other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for given, said in (
        ((pem, None), "certificate alone|key alone|give both"),
        ((None, key), "give both"),
        ((tmp_path / "none.pem", key), "cannot be read: No such file"),
        ((nonsense, key), "no PEM certificate"),
        ((pem, another), "and its private key"),
        ((pem, nonsense), "and its private key"),
    ):
        with pytest.raises(InputError, match=said) as raised:
            tls_context(*given)
        assert "\n" not in str(raised.value)
    assert tls_context(None, None) is None


def test_a_certificate_that_has_run_out_and_a_key_under_a_passphrase_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ran out on"):
        tls_context(*certificate(tmp_path, days=-1))
    with pytest.raises(InputError, match="under a passphrase"):
        tls_context(*certificate(tmp_path, passphrase=b"secret"))


def test_with_a_certificate_everything_is_tls_and_cookies_are_bound_to_it(store: Any, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(pem))
    with served(make_console(store, certificate=pem, key=key)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with Browser(server.url, verify=trust) as browser:
            cookies = browser.log_in("operator").headers.get_list("set-cookie")
            session = next(cookie for cookie in cookies if cookie.startswith("__Host-glioscope="))
            assert "secure" in session.lower()
            page = browser.get("/")
            assert page.status_code == 200
            assert "max-age" in page.headers["strict-transport-security"]
            secret = browser.cookies["__Host-glioscope"]
        with websockets.sync.client.connect(
            f"wss{server.url[5:]}/live",
            ssl=trust,
            additional_headers={"Cookie": f"__Host-glioscope={secret}", "Origin": server.url},
        ) as live:
            live.send("there?")
            assert live.recv(5) == "there?"
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/health")


# ---- start and stop


def test_it_says_when_it_is_ready_and_answers_from_then_on(store: Any) -> None:
    told: list[str] = []
    server = make_server(make_console(store), new_app(), ready=told.append)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 10
        while not told and time.monotonic() < end:
            time.sleep(0.01)
        assert told == [server.url]
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    finally:
        server.stop()
        thread.join(10)


def test_two_consoles_in_one_program_are_refused(store: Any) -> None:
    with served(make_console(store)), pytest.raises(InputError, match="running in this program already"):
        add_nicegui(new_app())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it_within_three_seconds_in_order_with_websockets_open(tmp_path: Path, name: str) -> None:
    import signal

    command = [sys.executable, "-m", "tests.console.guarded", str(tmp_path / "store")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with Browser(url) as browser:
                browser.log_in("operator")
                cookie = {"Cookie": f"glioscope={browser.token}", "Origin": url}
                with websockets.sync.client.connect(f"ws{url[4:]}/live", additional_headers=cookie) as live:
                    live.send("there?")
                    assert live.recv(5) == "there?"
                    began = time.monotonic()
                    process.send_signal(getattr(signal, name))
                    last = process.stdout.readline().strip()
                    seconds = time.monotonic() - began
            assert process.wait(10) == 0
            assert last == "closed in order"
            assert seconds < 3
        finally:
            process.kill()


# ---- a real browser


@pytest.mark.slow
def test_in_a_browser_the_policy_lets_the_pages_work_and_planted_scripts_not(store: Any) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (make system)")
    app = an_app()
    ui.page("/unit")(_busy_page)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync"]  # fmt: skip
    with served(make_console(store), app) as server, playwright.sync_playwright() as program:
        chromium = program.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        try:
            page = chromium.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(f"{server.url}/unit")
            assert page.url.endswith("/login?next=/unit")
            page.fill("#account", "operator")
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url("**/unit")
            page.click("button:has-text('press')")
            page.wait_for_selector("text=pressed 3")
            page.wait_for_selector(".chart canvas")
            assert page.evaluate("[window.own, window.evaluated, window.planted]") == [1, 1, None]
            assert said == []
            page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.planted = 1\">')")
            page.wait_for_timeout(300)
            assert page.evaluate("window.planted") is None
            assert any("Content Security Policy" in text for text in said)
            store.logins.end_all("operator")
            page.wait_for_url("**/login?next=%2Funit", timeout=5000)
            assert "Your session has ended" in page.inner_text("main")
        finally:
            chromium.close()


def _busy_page() -> None:
    """What the console's pages use of NiceGUI."""
    pressed = ui.label("not pressed")

    async def press() -> None:
        result = await ui.run_javascript("window.evaluated = 1; 1 + 2")
        pressed.set_text(f"pressed {result}")

    ui.button("press", on_click=press)
    chart = {
        "xAxis": {"data": ["a"]},
        "yAxis": {},
        "series": [{"type": "bar", "data": [3], ":animation": "true && false"}],
    }
    ui.echart(chart).classes("chart")
    ui.select(["a", "b"], value="a")
    ui.table(rows=[{"a": 1}])
    ui.label("<script>window.planted = 1</script>")
    ui.add_body_html("<script>window.own = 1</script>")
