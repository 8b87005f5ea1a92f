"""The same things for programs: JSON over HTTP, behind the same log-in and the same table of routes as the pages.

Every request that stores something carries a `request_id` of the caller's making: sent again after a lost answer, it
finds what was stored instead of storing it twice.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from glioscope import RESEARCH_USE
from glioscope.cases import Actor, AnyEntry, Case, CaseRecord, CaseSummary, Sector, Specimen
from glioscope.core import GlioscopeError

from ._console import Console
from ._errors import status_of
from ._live_messages import live_owner
from ._sessions import login_of
from ._visible import visible

T = TypeVar("T")
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{8,64}$")]
_OPINIONS = ("reading", "pathology")
Identifier = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: RequestId


class OpenCase(_Body):
    """A new case."""

    record: CaseRecord


class AmendCase(BaseModel):
    """A new version of a case's record; `version` is the one that it was made from."""

    model_config = ConfigDict(extra="forbid")

    record: CaseRecord
    version: Annotated[int, Field(ge=1, le=2**31)]


class Take(_Body):
    """Take what lies under the cameras."""

    sector: Sector | None = None


class AddEntry(_Body):
    """Something said of a specimen."""

    said: AnyEntry


class Light(BaseModel):
    """Light on or off. Who switched it on must send a beat at least every 0.4 s, or it goes dark."""

    model_config = ConfigDict(extra="forbid")

    on: bool


def add_api(app: FastAPI, console: Console) -> None:
    """Register the routes under `/api`."""
    app.include_router(_reading(console))
    app.include_router(_case_writing(console))
    app.include_router(_theatre_writing(console))
    app.add_exception_handler(GlioscopeError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)


def _reading(console: Console) -> APIRouter:
    router = APIRouter(prefix="/api")
    store, theatre = console.store, console.theatre

    @router.get("/status")
    def status() -> dict[str, Any]:
        """State of the unit, and which case is open."""
        return {**theatre.status().to_json(), "notice": RESEARCH_USE}

    @router.get("/cases")
    def cases(
        limit: Annotated[int, Query(ge=1, le=500)] = 50, offset: Annotated[int, Query(ge=0, le=10**9)] = 0
    ) -> list[CaseSummary]:
        """Cases, the newest first."""
        return store.summaries(limit=limit, offset=offset)

    @router.get("/cases/{case_id}")
    def case(request: Request, case_id: Identifier) -> dict[str, Any]:
        """One case with its specimens; answers that a blind reader may not see yet are left out."""
        found = store.case(case_id)
        return case_json(console, found, login_of(request).actor)

    @router.get("/specimens/{specimen_id}")
    def specimen(request: Request, specimen_id: Identifier) -> dict[str, Any]:
        """One specimen."""
        found = store.specimen(specimen_id)
        return specimen_json(console, found, store.case(found.case_id), login_of(request).actor)

    return router


def _case_writing(console: Console) -> APIRouter:
    router = APIRouter(prefix="/api")
    store, theatre = console.store, console.theatre

    @router.post("/cases", status_code=201)
    def open_case(request: Request, body: OpenCase) -> dict[str, Any]:
        """Open a case on this unit; the one that is open must be closed first."""
        actor = console.actor(login_of(request))
        return case_json(console, theatre.open_case(actor, body.record, request_id=body.request_id), actor)

    @router.put("/cases/{case_id}")
    def amend_case(request: Request, case_id: Identifier, body: AmendCase) -> dict[str, Any]:
        """Amend a record; an older version is refused."""
        actor = console.actor(login_of(request))
        amended = store.amend_case(actor, case_id, body.record, version=body.version)
        theatre.tell("case", {"case_id": theatre.case_id})
        return case_json(console, amended, actor)

    @router.post("/cases/{case_id}/resume")
    def resume_case(request: Request, case_id: Identifier) -> dict[str, Any]:
        """Go on with an open case on this unit."""
        actor = console.actor(login_of(request))
        return case_json(console, theatre.resume_case(actor, case_id), actor)

    @router.post("/cases/{case_id}/close")
    def close_case(request: Request, case_id: Identifier) -> dict[str, str]:
        """Close a case."""
        actor = console.actor(login_of(request))
        if theatre.case_id == case_id:
            theatre.close_case(actor, case_id)
        else:
            store.close_case(actor, case_id)
            theatre.tell("case", {"case_id": theatre.case_id})
        return {"closed": case_id}

    @router.post("/specimens/{specimen_id}/entries", status_code=201)
    def add_entry(request: Request, specimen_id: Identifier, body: AddEntry) -> dict[str, Any]:
        """Correct, annotate, withdraw, read, or enter pathology."""
        actor = console.actor(login_of(request))
        found = store.add_entry(actor, specimen_id, body.said, request_id=body.request_id)
        theatre.tell("entry", {"specimen_id": specimen_id})
        return specimen_json(console, found, store.case(found.case_id), actor)

    return router


def _theatre_writing(console: Console) -> APIRouter:
    router = APIRouter(prefix="/api")
    theatre = console.theatre

    @router.post("/take", status_code=201)
    async def take(request: Request, body: Take) -> dict[str, Any]:
        """Take one specimen; returns when it is on disk."""
        actor = console.actor(login_of(request))
        taken = await _aside(lambda: theatre.take(actor, sector=body.sector, request_id=body.request_id))
        return await _aside(lambda: _taken_json(console, taken.specimen, actor, taken.took_ms))

    @router.post("/tray", status_code=201)
    async def take_tray(request: Request, body: Take) -> list[dict[str, Any]]:
        """Take every specimen of a tray."""
        actor = console.actor(login_of(request))
        taken = await _aside(lambda: theatre.take_tray(actor, sector=body.sector, request_id=body.request_id))
        return await _aside(lambda: [_taken_json(console, one.specimen, actor, one.took_ms) for one in taken])

    @router.post("/light")
    def light(request: Request, body: Light) -> dict[str, Any]:
        """Ask for light, or make it dark."""
        login = login_of(request)
        actor = console.actor(login)
        if body.on:
            theatre.light_on(actor, _owner(login.token))
        else:
            theatre.light_off(actor)
        return theatre.status().to_json()

    @router.post("/light/beat", status_code=204)
    def beat(request: Request) -> None:
        """The operator is still there."""
        theatre.beat(_owner(login_of(request).token))

    @router.post("/phantom")
    def phantom(request: Request) -> dict[str, Any]:
        """Check the unit with the target that lies under it."""
        result = theatre.phantom_check(console.actor(login_of(request)))
        return {"verdict": result.verdict.value, "created": result.created, "data_kind": result.data_kind}

    return router


def case_json(console: Console, case: Case, actor: Actor) -> dict[str, Any]:
    """A case as plain types, without answers that `actor` may not see yet."""
    shown = case.model_dump(mode="json", exclude={"specimens"})
    return {**shown, "specimens": [specimen_json(console, one, case, actor) for one in case.specimens]}


def specimen_json(console: Console, specimen: Specimen, case: Case, actor: Actor) -> dict[str, Any]:
    """A specimen as plain types; `revealed` tells whether its answer is in it. Opinions that are owed are left out."""
    seen = visible(console.theatre, specimen, case, actor)
    shown = specimen.model_dump(mode="json")
    shown["revealed"] = seen.answer
    if not seen.answer:
        shown["record"]["diagnosis"] = {}
    if not seen.opinions:
        shown["entries"] = [e for e in shown["entries"] if e["said"]["kind"] not in _OPINIONS]
    return shown


def _taken_json(console: Console, specimen: Specimen, actor: Actor, took_ms: float) -> dict[str, Any]:
    shown = specimen_json(console, specimen, console.store.case(specimen.case_id), actor)
    # Only tumours are asked for grade: before a blind reading the time would say something.
    return {**shown, "took_ms": round(took_ms, 1) if shown["revealed"] else None}


def _owner(token: str) -> str:
    """Light that a program asked for belongs to its session."""
    return live_owner(token, "api")


async def _aside(work: Callable[[], T]) -> T:
    """A network and a disk take their time: not on the event loop."""
    return await run_in_threadpool(work)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_of(error))


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    """One sentence: where, and what would be right. What was sent is not repeated: it may be of a patient."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)
