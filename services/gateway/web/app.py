"""The site: four pages and their style sheet. Routes, security headers, and errors in four parts.

Nothing on a page runs in the browser. Everything that comes from a statement is escaped by the template engine.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.clock import Clock
from services.gateway.lines import Timeline
from services.gateway.reading import Reading
from services.gateway.supervision.reading import SupervisionReading
from services.gateway.targets import Target, aims
from services.gateway.web import supervising, wording
from services.gateway.web.swimlane import draw
from xieban import ids
from xieban.agency import City
from xieban.errors import Denied, InvalidInput, NotFound, Reason, Unreachable, XiebanError, failure
from xieban.lookup import PURPOSE_NAMES, LookUp, look_up, purpose
from xieban.marshal import micros
from xieban.timelimits import rule

logger = logging.getLogger(__name__)
HERE = Path(__file__).parent
ROWS = 12
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATUS: tuple[tuple[type[XiebanError], int], ...] = (
    (NotFound, 404), (InvalidInput, 400), (Denied, 403), (Unreachable, 503), (XiebanError, 500),
)  # fmt: skip


Look = Callable[[str, LookUp], Awaitable[Timeline]]
"""Shows a case to somebody, once it is written down who that is and why."""
Count = Callable[[], Awaitable[int]]
CALLER = "gateway/page"
"""Who looks through a page; there is no sign-in, so nothing more is known than the number a person gives."""


def pages(
    reading: Reading,
    supervisions: SupervisionReading,
    *,
    look: Look,
    city: City,
    clock: Clock,
    sandbox: bool,
    targets: Sequence[Target] = (),
    silent: Count | None = None,
) -> ASGIApp:
    """The ASGI application. `silent` counts handoffs whose receipt is missing; without it the overview does not say."""
    site = _Site(
        reading, supervisions, look=look, city=city, clock=clock, sandbox=sandbox, targets=targets, silent=silent
    )
    app = Starlette(
        routes=[
            Route("/", site.overview, methods=["GET"]),
            Route("/cases", site.cases, methods=["GET"]),
            Route("/cases/{case_id}", site.case, methods=["GET"]),
            Route("/supervisions", site.supervisions, methods=["GET"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={XiebanError: site.refused, HTTPException: site.no_page, Exception: site.defect},
    )
    return _Headers(app)  # around everything: the framework answers a defect outside its own middleware


class _Site:
    """The pages of one city."""

    def __init__(
        self,
        reading: Reading,
        supervisions: SupervisionReading,
        *,
        look: Look,
        city: City,
        clock: Clock,
        sandbox: bool,
        targets: Sequence[Target],
        silent: Count | None,
    ) -> None:
        self._reading = reading
        self._look = look
        self._supervisions = supervisions
        self._targets = targets
        self._silent = silent
        self._city = city
        self._clock = clock
        self._sandbox = sandbox
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(w=wording, g=supervising, law=rule)

    async def overview(self, request: Request) -> Response:
        silent = await self._silent() if self._silent is not None else 0
        overview = await self._reading.overview(rows=ROWS)
        return self._page("overview.html", overview=overview, rows=ROWS, silent=silent)

    async def cases(self, request: Request) -> Response:
        token = request.query_params.get("from", "")
        lines, following = await self._reading.cases(token=token)
        summary = await self._reading.summary()
        return self._page("cases.html", cases=lines, following=following, first=not token, total=summary.cases)

    async def case(self, request: Request) -> Response:
        case_id = ids.case_id(request.path_params["case_id"])
        asked = request.query_params
        if "purpose" not in asked:
            return self._page("purpose.html", case_id=case_id, purposes=PURPOSE_NAMES)
        look = look_up(purpose(asked["purpose"]), caller=CALLER, officer=asked.get("officer", "").strip())
        timeline = await self._look(case_id, look)
        now = micros(self._clock.now())
        current = sorted(
            (limit for limit in timeline.limits if limit.ended_at is None), key=lambda item: item.overdue_from
        )
        picture = draw(timeline.handoffs, timeline.limits, now=now)
        numbers = {handoff.eid: number for number, handoff in enumerate(timeline.handoffs, start=1)}
        aimed = aims(self._targets, timeline.handoffs, timeline.facts)
        supervised = await self._supervisions.of_case(timeline.case.case_id)
        return self._page(
            "case.html",
            timeline=timeline,
            look=look,
            picture=picture,
            current=current,
            numbers=numbers,
            aims=aimed,
            supervised=supervised,
        )

    async def supervisions(self, request: Request) -> Response:
        token = request.query_params.get("from", "")
        matters, following = await self._supervisions.page(token=token)
        counts = await self._supervisions.counts()
        return self._page("supervisions.html", matters=matters, following=following, first=not token, counts=counts)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, XiebanError)
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return self._page("error.html", status=status, error=error)

    async def no_page(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._page("error.html", status=error.status_code, error=failure(Reason.PAGE_NOT_FOUND))

    async def defect(self, request: Request, error: Exception) -> Response:
        trace = secrets.token_hex(6)
        logger.error("page failed", exc_info=error, extra={"trace": trace})
        return self._page("error.html", status=500, error=failure(Reason.DEFECT, trace=trace))

    def _page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        html = self._templates.get_template(template).render(
            city=self._city, now=micros(self._clock.now()), sandbox=self._sandbox, **values
        )
        return HTMLResponse(html, status_code=status)


class _Headers:
    """Security headers on everything; nothing of a case may stay in a cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                static = str(scope.get("path", "")).startswith("/static/")
                headers["Cache-Control"] = "no-cache" if static else "no-store"
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
