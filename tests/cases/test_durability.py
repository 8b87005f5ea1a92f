"""What was acknowledged is there: after `kill -9`, and after a power loss that drops what was not synced."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from glioscope.cases._check import ORPHAN
from glioscope.cases._store import CaseStore

from .test_store import open_case

N_KILLS = int(os.environ.get("GLIOSCOPE_KILLS", "26"))
CHILD = """
import sys
from glioscope.cases._records import Annotation, CaseRecord, SpecimenRecord
from glioscope.cases._roles import AccountRole, Actor
from glioscope.cases._store import CaseStore

folder, case_id, name, first, last = sys.argv[1:]
actor = Actor("operator-1", AccountRole.OPERATOR)
with CaseStore.open(folder, create=True) as store:
    print("store", flush=True)
    if not case_id:
        record = CaseRecord(patient_id="P-1", consent=True)
        case_id = store.open_case(actor, record, data_kind="simulated", request_id="open-1").case_id
        print("case", case_id, flush=True)
    for number in range(int(first), int(last)):
        request = f"{name}-{number}"
        pictures = {slot: f"{request} {slot}".encode() * 200 for slot in ("fl", "wl")}
        record = SpecimenRecord(sector=1, diagnosis={"request": request})
        specimen = store.add_specimen(actor, case_id, record, images=pictures, request_id=request)
        print("specimen", request, flush=True)
        store.add_entry(actor, specimen.specimen_id, Annotation(text=request), request_id=f"{request}-said")
        print("entry", request, flush=True)
"""


def check_acknowledged(store: CaseStore, case_id: str, told: list[str]) -> None:
    """Every acknowledged specimen and entry is there once, with its own pictures; the trail and the rest are whole."""
    assert [problem for problem in store.check() if not problem.startswith(ORPHAN)] == []
    specimens = store.case(case_id).specimens
    requests = [specimen.record.diagnosis["request"] for specimen in specimens]
    assert len(requests) == len(set(requests))
    said = [entry.said.text for specimen in specimens for entry in specimen.entries]
    assert len(said) == len(set(said))
    for line in told:
        kind, request = line.split()
        assert request in (requests if kind == "specimen" else said), f"{line} was acknowledged and is lost"
    for specimen in specimens[-2:]:
        picture = store.image(case_id, specimen.record.images["fl"])
        assert picture == f"{specimen.record.diagnosis['request']} fl".encode() * 200


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_to_kill_9(tmp_path):
    rng = random.Random(7)
    with CaseStore.open(tmp_path / "store", create=True) as store:
        case_id = open_case(store).case_id
    told: dict[str, list[str]] = {"a": [], "b": []}
    for _ in range(N_KILLS // 2):
        children = [_start(tmp_path, case_id, name, _count(told[name])) for name in told]
        for child in children:
            child.stdout.readline()
        for child in children:
            time.sleep(rng.uniform(0, 0.1))
            child.kill()
        for name, child in zip(told, children, strict=True):
            lines = child.stdout.read().splitlines(keepends=True)
            # What the kill cut off was told to nobody.
            told[name] += [line for line in lines if line.startswith(("specimen ", "entry ")) and line.endswith("\n")]
            child.wait()
            child.stdout.close()
        with CaseStore.open(tmp_path / "store") as store:
            check_acknowledged(store, case_id, told["a"] + told["b"])
    assert _count(told["a"]) + _count(told["b"]) > N_KILLS / 2


def _count(told: list[str]) -> int:
    """What was not acknowledged is asked for again, as a browser would."""
    return len([line for line in told if line.startswith("entry")])


def _start(tmp_path: Path, case_id: str, name: str, first: int) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "store"), case_id, name, str(first), "100000"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


CALLS = "openat,write,pwrite64,lseek,fsync,fdatasync,ftruncate,rename,unlink,mkdir"


@dataclass
class File:
    """What the program sees of a file, and what of it is surely on the disk."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    since: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since the last sync; a cut at (length, b"") is one too."""

    def write(self, at: int, data: bytes) -> None:
        self.seen[len(self.seen) :] = bytes(max(0, at - len(self.seen)))
        self.seen[at : at + len(data)] = data
        self.since.append((at, data))

    def cut(self, length: int) -> None:
        self.seen[length:] = bytes(max(0, length - len(self.seen)))
        self.since.append((length, b""))

    def sync(self) -> None:
        self.synced, self.since = bytes(self.seen), []

    def after_power_loss(self, rng: random.Random) -> bytes:
        """The disk may have written any of what it was not told to write; here each piece with an even chance."""
        luck = rng.choice((0.0, 0.5, 1.0))
        survivor = File(bytearray(self.synced))
        for at, data in self.since:
            if rng.random() < luck:
                survivor.write(at, data) if data else survivor.cut(at)
        return bytes(survivor.seen)


class Disk:
    """Files and folders under `root` as a strict file system keeps them: a name is safe once its folder was synced."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.names: dict[str, File | None] = {root: None}
        self.synced: dict[str, File | None] = {}
        self.since: dict[str, list[tuple[str, File | None, bool]]] = {}
        """Folder -> names that came (True) or went since it was synced."""

    def note(self, path: str, file: File | None, *, there: bool) -> None:
        if there:
            self.names[path] = file
        else:
            self.names.pop(path, None)
        self.since.setdefault(str(Path(path).parent), []).append((path, file, there))

    def sync_folder(self, folder: str) -> None:
        _apply(self.synced, self.since.pop(folder, []))

    def after_power_loss(self, target: Path, rng: random.Random) -> None:
        """Write what may be left: in each folder the first few of the changes that were not synced came through."""
        names = dict(self.synced)
        for changes in self.since.values():
            _apply(names, changes[: rng.choice((0, rng.randint(0, len(changes))))])
        for path in sorted(names):
            place = target / os.path.relpath(path, self.root)
            if not place.parent.exists():
                continue
            file = names[path]
            if file is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(file.after_power_loss(rng))
                place.chmod(0o600)


def _apply(names: dict[str, File | None], changes: list[tuple[str, File | None, bool]]) -> None:
    for path, file, there in changes:
        if there:
            names[path] = file
        else:
            names.pop(path, None)


class Replay:
    """Follows the system calls of one program on a `Disk`, and the lines that it printed."""

    def __init__(self, root: Path) -> None:
        self.disk = Disk(str(root))
        self._printed = ""
        self.offsets: dict[str, int] = {}

    @property
    def told(self) -> list[str]:
        return self._printed.split("\n")[:-1]

    def step(self, call: str, words: list[str], result: int) -> None:
        if call in ("rename", "unlink", "mkdir", "openat"):
            getattr(self, f"_{call}")(words, result)
            return
        number, path = re.fullmatch(r"(\d+)<(.*)>", words[0]).groups()
        if call == "write" and number == "1":
            self._printed += words[1]
        elif path in self.disk.names:
            self._on_file(call, number, path, words, result)

    def _on_file(self, call: str, number: str, path: str, words: list[str], result: int) -> None:
        file = self.disk.names[path]
        if call == "lseek":
            self.offsets[number] = result
        elif call in ("fsync", "fdatasync"):
            self.disk.sync_folder(path) if file is None else file.sync()
        elif call == "ftruncate":
            file.cut(int(words[1]))
        else:
            at = int(words[3]) if call == "pwrite64" else self.offsets[number]
            data = words[1].encode("latin-1")
            assert len(data) == result
            file.write(at, data)
            if call == "write":
                self.offsets[number] = at + result

    def _openat(self, words: list[str], result: int) -> None:
        path = words[1]
        self.offsets[str(result)] = 0
        if not path.startswith(self.disk.root):
            return
        if "O_CREAT" in words[2] and path not in self.disk.names:
            self.disk.note(path, File(), there=True)
        elif "O_TRUNC" in words[2]:
            self.disk.names[path].cut(0)

    def _mkdir(self, words: list[str], _: int) -> None:
        if words[0].startswith(self.disk.root + "/"):
            self.disk.note(words[0], None, there=True)

    def _unlink(self, words: list[str], _: int) -> None:
        if words[0] in self.disk.names:
            self.disk.note(words[0], None, there=False)

    def _rename(self, words: list[str], _: int) -> None:
        if words[0] in self.disk.names:
            file = self.disk.names[words[0]]
            # One change, not two: a rename within a folder is atomic.
            del self.disk.names[words[0]]
            self.disk.note(words[1], file, there=True)


def _calls(log: Path) -> Iterator[tuple[str, list[str], int]]:
    """System calls that succeeded, from a log of `strace -f -xx -y`, in the order in which they ended."""
    line = re.compile(r"(\w+)\((.*)\)\s+= (\d+)(?:<.*>)?$")
    begun: dict[str, str] = {}
    for text in log.read_text(encoding="ascii").splitlines():
        thread, _, told = text.partition(" ")
        told = told.strip()
        if told.endswith(" <unfinished ...>"):
            begun[thread] = told.removesuffix(" <unfinished ...>")
            continue
        if told.startswith("<... "):
            told = begun.pop(thread, "") + told.partition(" resumed>")[2]
        found = line.match(told)
        if found:
            call, words, result = found.groups()
            yield call, [_plain(word) for word in words.split(", ")], int(result)


def _plain(word: str) -> str:
    """Everything in quotes and in angle brackets is written in hexadecimal."""
    shown = word.strip().removeprefix('"').removesuffix('"')
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), shown)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[Path, list[tuple[str, list[str], int]]]:
    """Folder of a store that a child made and filled, and all that the child asked of the disk."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: make system")
    folder = tmp_path_factory.mktemp("power")
    log = folder / "log"
    strace = ["strace", "-f", "-xx", "-y", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(log)]
    command = [*strace, sys.executable, "-c", CHILD, str(folder / "store"), "", "a", "0", "8"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150)
    if "ptrace" in ran.stderr.lower() and ran.returncode != 0:
        pytest.skip(f"strace may not trace here: {ran.stderr.strip().splitlines()[0]}")
    assert ran.returncode == 0, ran.stderr
    return folder / "store", list(_calls(log))


def test_the_replay_sees_what_the_program_saw(recorded):
    folder, calls = recorded
    replay = Replay(folder)
    for call in calls:
        replay.step(*call)
    seen = {path: bytes(file.seen) for path, file in replay.disk.names.items() if file is not None}
    real = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path for path in seen if not path.endswith("-shm")} == set(real)
    assert all(seen[path] == held for path, held in real.items())


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_to_a_power_cut(recorded, tmp_path):
    folder, calls = recorded
    rng = random.Random(11)
    told_at = [number for number, (call, words, _) in enumerate(calls) if call == "write" and words[0].startswith("1<")]
    moments = set(rng.sample(told_at, 10)) | set(rng.sample(range(told_at[0], len(calls)), 20))
    replay, tried = Replay(folder), 0
    for number, call in enumerate(calls):
        replay.step(*call)
        if number in moments and replay.told:
            place = tmp_path / f"cut-{number}"
            place.mkdir(mode=0o700)
            replay.disk.after_power_loss(place, rng)
            _check_after(place, replay.told)
            shutil.rmtree(place)
            tried += 1
    assert tried > 20
    assert len(replay.told) == 18


def _check_after(place: Path, told: list[str]) -> None:
    with CaseStore.open(place) as store:
        if len(told) > 1:
            check_acknowledged(store, told[1].split()[1], told[2:])
        else:
            assert [problem for problem in store.check() if not problem.startswith(ORPHAN)] == []
