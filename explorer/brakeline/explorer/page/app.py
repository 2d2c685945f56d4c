"""The workbench over HTTP: a page, its files, and what it asks of the desk. Loopback only, nothing from outside.

    GET  /                     the page           GET /static/...   its files; vega.js comes out of the chart library
    GET  /api/offer            scenarios with their terms, and the questions
    POST /api/answers          {"question": ID, "designs": [D, ...]}: a line of JSON an answer; where worlds are drawn,
                               a first look from few of them comes before (``worlds`` says from how many)
    POST /api/differences      {"designs": [D, D]}: in what their treaties differ
    POST /api/treaty           {"designs": [D]}: the treaty's TOML text, as verifiers load it
    POST /api/report           {"designs": [D] or [D, D]}: the file for a delegation

A design D is ``{"scenario": NAME, "moves": {TERM: NUMBER}}``. A body has at most 64 KiB. Requests under another host
name than this machine's are refused, so that a page from elsewhere cannot ask through somebody's browser (DNS
rebinding).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, cast

from brakeline.explorer.answers.forms import AnswerId
from brakeline.explorer.page import report
from brakeline.explorer.page.desk import Design, Desk, Json, drawn, plain, question_of, to_json
from brakeline.explorer.scenario.load import ScenarioError
from brakeline.ledger.errors import BrakelineError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

MAX_BODY = 64 * 1024
MAX_DESIGNS = 2
FIRST_LOOK = 60
"""Worlds behind an answer that has to be there at once; its intervals are wider, and it says so."""
HOSTS = ("127.0.0.1", "localhost", "[::1]")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def application(desk: Desk) -> Starlette:
    """Return the application that serves *desk*."""
    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/api/offer", _with(desk, _offer)),
        Route("/api/answers", _with(desk, _answers), methods=["POST"]),
        Route("/api/differences", _with(desk, _differences), methods=["POST"]),
        Route("/api/treaty", _with(desk, _treaty), methods=["POST"]),
        Route("/api/report", _with(desk, _report), methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, "testserver"])],
        exception_handlers={BrakelineError: _refused, ClientDisconnect: _gone},
    )


def _with(desk: Desk, work: Callable[[Desk, Request], Any]) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        return cast("Response", await work(desk, request))

    return handle


async def _page(request: Request) -> Response:
    del request
    return _file("index.html")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "vega.js":
        return _safe(Response(await run_in_threadpool(vega), media_type=_TYPES["js"]))
    return _file(name) if name in {"app.js", "style.css"} else PlainTextResponse("not found", 404)


async def _offer(desk: Desk, request: Request) -> Response:
    del request
    return _safe(JSONResponse(desk.offer()))


async def _answers(desk: Desk, request: Request) -> Response:
    body = await _body(request)
    question, designs = question_of(body.get("question")), _designs(body)
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[dict[str, Json] | None]()

    def work() -> None:
        try:
            for line in _lines(desk, designs, question):
                loop.call_soon_threadsafe(lines.put_nowait, line)
        finally:
            loop.call_soon_threadsafe(lines.put_nowait, None)

    async def stream() -> AsyncIterator[bytes]:
        computing = asyncio.ensure_future(run_in_threadpool(work))
        while (line := await lines.get()) is not None:
            yield json.dumps(line).encode() + b"\n"
        await computing

    return _safe(StreamingResponse(stream(), media_type="application/x-ndjson"))


def _lines(desk: Desk, designs: list[Design], question: AnswerId) -> Iterator[dict[str, Json]]:
    """Yield a first look at each design, from few worlds, where there is something to draw; then the whole answers."""
    whole: dict[int, dict[str, Json]] = {}
    for place, design in enumerate(designs):
        try:
            if not desk.has(design, question):
                first = desk.answer(design, question, FIRST_LOOK)
                if drawn(first):
                    yield {"design": place, "answer": to_json(first), "worlds": FIRST_LOOK}
                    continue
            whole[place] = {"design": place, "answer": to_json(desk.answer(design, question))}
        except BrakelineError as error:
            problem: dict[str, Json] = {**error.as_dict()}
            whole[place] = {"design": place, "problem": problem}
    yield from whole.values()
    for place in [place for place in range(len(designs)) if place not in whole]:
        yield {"design": place, "answer": to_json(desk.answer(designs[place], question))}


async def _differences(desk: Desk, request: Request) -> Response:
    designs = _designs(await _body(request))
    if len(designs) != MAX_DESIGNS:
        raise _form("two designs", str(len(designs)))
    found = await run_in_threadpool(desk.differences, *designs)
    rows = [{"where": d.where, "before": plain(d.where, d.before), "after": plain(d.where, d.after)} for d in found]
    return _safe(JSONResponse({"differences": rows}))


async def _treaty(desk: Desk, request: Request) -> Response:
    (design,) = _designs(await _body(request))[:1]
    scenario = await run_in_threadpool(desk.scenario, design)
    headers = {"Content-Disposition": f'attachment; filename="{scenario.name}.treaty.toml"'}
    return _safe(PlainTextResponse(scenario.treaty_text, headers=headers))


async def _report(desk: Desk, request: Request) -> Response:
    designs = _designs(await _body(request))
    page = await run_in_threadpool(lambda: report.write([desk.scenario(design) for design in designs], desk, designs))
    headers = {"Content-Disposition": 'attachment; filename="what-it-buys.html"'}
    return _safe(Response(page, media_type=_TYPES["html"], headers=headers))


async def _body(request: Request) -> dict[str, object]:
    """Return the object that was posted (``request-size``, ``request-form``)."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            raise ScenarioError(
                code="request-size", message="the request is too large", expected=f"at most {MAX_BODY} bytes"
            )
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _form("a JSON object", str(error)[:80]) from None
    if not isinstance(value, dict):
        raise _form("a JSON object", type(value).__name__)
    return cast("dict[str, object]", value)


def _designs(body: dict[str, object]) -> list[Design]:
    given = body.get("designs")
    found = cast("list[object]", given) if isinstance(given, list) else []
    if not 1 <= len(found) <= MAX_DESIGNS:
        raise _form("a list of one or two designs", f"{len(found)} of them")
    return [Design.from_json(item) for item in found]


def _form(expected: str, found: str) -> ScenarioError:
    return ScenarioError(code="request-form", message="the request is malformed", expected=expected, found=found)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, BrakelineError)
    return _safe(JSONResponse({"problem": error.as_dict()}, status_code=400))


async def _gone(_: Request, __: Exception) -> Response:
    """Answer a browser that went on to another page in the middle of a request: nobody reads it."""
    return _safe(PlainTextResponse("the request ended before its body did\n", 400))


def _file(name: str) -> Response:
    content = files("brakeline.explorer.page").joinpath("static", name).read_bytes()
    return _safe(Response(content, media_type=_TYPES[name.rpartition(".")[2]]))


def _safe(response: Response) -> Response:
    """Add the headers that keep everything from outside away."""
    response.headers["Content-Security-Policy"] = CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


@cache
def vega() -> bytes:
    """Return Vega, Vega-Lite and Vega-Embed as one script, as the chart library carries it; some 0.9 MB."""
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its own stub asks for a snippet that it does not need
    return str(bundle()).encode()
