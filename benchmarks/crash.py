"""bench-crash: the server is killed at random moments of a scripted case; is every acknowledged specimen there, once?

One store lives through all of it. Each life of the server: a client goes on with the case that is open, sends again
what was not acknowledged when the last life ended, takes specimens, corrects, annotates and withdraws; then `kill -9`.
At the end the audit trail and the whole store are checked. SIMULATED specimens.
"""

import contextlib
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import httpx

from common import finish, parser
from glioscope.cases import CaseStore
from serving import Light, Server, log_in, new_request, open_case, said

_KINDS = (
    {"kind": "correction", "sector": 3, "reason": "other side"},
    {"kind": "annotation", "text": "blood on it"},
    {"kind": "withdrawal", "reason": "dropped"},
)


class Script:
    """What a team does, and what it was told that is kept."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.taken: dict[str, str] = {}
        """request -> specimen, acknowledged."""
        self.said: dict[str, str] = {}
        """request -> specimen that something was said of, acknowledged."""
        self.owed: tuple[str, dict] | None = None
        """Path and body of the request that was under way when the server died."""
        self.refused: dict[str, int] = {}
        self.asked = 0

    def go_on(self, client: httpx.Client, case_id: str) -> None:
        """Until the server dies."""
        said(client.post(f"/api/cases/{case_id}/resume"))
        light = Light(client)
        try:
            if self.owed is not None:
                self.send(client, *self.owed)
            while True:
                self.send(client, *self.next())
        except httpx.HTTPError:
            pass  # killed
        finally:
            light.stop()

    def next(self) -> tuple[str, dict]:
        """The next thing to do."""
        if self.taken and self.rng.random() < 0.3:
            specimen = self.rng.choice(list(self.taken.values()))
            body = {"request_id": new_request(), "said": self.rng.choice(_KINDS)}
            return f"/api/specimens/{specimen}/entries", body
        return "/api/take", {"request_id": new_request(), "sector": self.rng.randint(1, 8)}

    def send(self, client: httpx.Client, path: str, body: dict) -> None:
        """Ask, and note what was acknowledged."""
        self.owed = (path, body)
        self.asked += 1
        answer = client.post(path, json=body)
        self.owed = None
        if answer.is_error:
            reason = answer.json().get("error", "")[:60]
            self.refused[reason] = self.refused.get(reason, 0) + 1
            time.sleep(0.05)
        elif path == "/api/take":
            self.taken[body["request_id"]] = answer.json()["specimen_id"]
        else:
            self.said[body["request_id"]] = answer.json()["specimen_id"]


def live_and_die(store: Path, suite: Path, script: Script, case_id: str | None, log: Path) -> tuple[str, float]:
    """One life of the server; the case, and how soon it was ready."""
    server = Server(store, suite, log=log)
    try:
        client = log_in(server.url, "operator")
        case_id = case_id or open_case(client, "CRASH-1")
        killer = threading.Timer(script.rng.uniform(0.02, 2.0), server.process.kill)
        killer.start()
        with contextlib.suppress(httpx.HTTPError):  # killed before the case was resumed, or the light on
            script.go_on(client, case_id)
        killer.join()
    finally:
        server.kill()
    return case_id, server.ready_s


def judge(store: Path, case_id: str, script: Script) -> dict:
    """What is in the store against what was acknowledged."""
    kept = CaseStore.open(store)
    try:
        case = kept.case(case_id)
        ids = [specimen.specimen_id for specimen in case.specimens]
        requests = {request: kept.find_request(request) for request in script.taken}
        lost = [r for r, found in requests.items() if found is None or found.specimen_id != script.taken[r]]
        entries = {s.specimen_id: len(s.entries) for s in case.specimens}
        owed: dict[str, int] = {}
        for specimen in script.said.values():
            owed[specimen] = owed.get(specimen, 0) + 1
        numbers = [specimen.number for specimen in case.specimens]
        pictures = [specimen.record.images.get("fl") for specimen in case.specimens]
        with kept.database.session() as session:
            audit = kept.audit.verify(session)
        problems = kept.check()
        return {
            "acknowledged": len(script.taken),
            "stored": len(ids),
            "lost": len(lost),
            "twice": len(ids) - len(set(ids)) + len(numbers) - len(set(numbers)),
            "unacknowledged_but_stored": len(ids) - len(script.taken),
            "entries_acknowledged": len(script.said),
            "entries_lost": sum(max(0, n - entries.get(one, 0)) for one, n in owed.items()),
            "numbers_whole": sorted(numbers) == list(range(1, len(numbers) + 1)),
            "same_picture_twice": len(pictures) - len(set(pictures)),
            "audit_links": audit.n_links,
            "audit_problems": list(audit.problems)[:5],
            "store_problems": [problem for problem in problems if "orphan" not in problem][:5],
            "orphans": sum("orphan" in problem for problem in problems),
        }
    finally:
        kept.close()


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--suite", type=Path, default=Path(__file__).parents[1] / "demo" / "probe" / "suite")
    chosen = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="glioscope-crash-"))
    script, case_id, ready = Script(random.Random(chosen.seed)), None, []
    started = time.monotonic()
    for kill in range(1, chosen.kills + 1):
        case_id, seconds = live_and_die(folder / "store", chosen.suite, script, case_id, folder / "server.log")
        ready.append(seconds)
        if kill % 10 == 0:
            print(f"{kill} kills, {len(script.taken)} specimens acknowledged", flush=True)
    result = judge(folder / "store", case_id, script)
    result |= {"kills": chosen.kills, "asked": script.asked, "refused": script.refused}
    result |= {"start_s_median": round(sorted(ready)[len(ready) // 2], 2), "start_s_max": round(max(ready), 2)}
    result |= {"seconds": round(time.monotonic() - started), "simulated": True}
    if not (result["lost"] or result["twice"] or result["entries_lost"] or result["audit_problems"]):
        shutil.rmtree(folder)
    finish("bench-crash", result, record=chosen.record)


if __name__ == "__main__":
    main()
