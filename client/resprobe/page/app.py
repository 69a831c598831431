"""The page's own HTTP interface: its files, and JSON about models, pictures and answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from resprobe import errors
from resprobe._async_client import AsyncClient
from resprobe._results.counters import Counters
from resprobe._results.result import Result
from resprobe._wire.health import ServingStatus
from resprobe._wire.replicas import is_several
from resprobe.page import answers
from resprobe.page.answers import Json
from resprobe.page.examples import Example
from resprobe.page.fitting import FittedPictures, Pixels
from resprobe.page.inspection import inspection_json
from resprobe.page.pictures import MAXIMUM, PictureForgotten, Pictures, read_body
from resprobe.page.requests import Question, read_question

STATIC = Path(__file__).with_name("static")
QUESTION = 256 * 2**10  # maximum bytes of a question
SECONDS, STATE_SECONDS = 15.0, 3.0  # for an answer, and for the state of the server
FRESH = 0.9  # seconds for which browsers share what was asked of the server's state
STATUSES: dict[type[errors.Error], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthorized: 403,
    errors.ModelNotFound: 404,
    errors.StatisticsUnavailable: 409,
    PictureForgotten: 410,
    errors.RequestTooLarge: 413,
    errors.ServerError: 502,
    errors.ServerUnavailable: 503,
    errors.ServerBusy: 503,
    errors.DeadlineExceeded: 504,
}


class Page:
    """Answers of the page. It asks the server as one client, whatever browser asks it."""

    def __init__(self, connect: Callable[[], AsyncClient], address: str, examples: Sequence[Example] = ()) -> None:
        """Creates the page.

        Args:
            connect: Function that opens the client, inside the page's event loop.
            address: Address of the server, as it is shown.
            examples: Pictures to offer.
        """
        self._connect, self._address, self._examples = connect, address, examples
        self._pictures, self._fitted = Pictures(), FittedPictures()
        self._lock = asyncio.Lock()
        self._state: tuple[float, Json] = (-FRESH, {})

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Holds the connection to the server while the page runs."""
        async with self._connect() as self._client:
            yield

    async def models(self, _: Request) -> Response:
        """Describes every version that is served."""
        found = await self._client.models(timeout=SECONDS)
        self._fitted.learn(found)
        return JSONResponse({"address": self._address, "models": [answers.model_json(one) for one in found]})

    async def state(self, _: Request) -> Response:
        """Says whether the server serves, and what each version has done."""
        async with self._lock:
            if time.monotonic() - self._state[0] > FRESH:
                self._state = time.monotonic(), await self._ask_state()
            return JSONResponse(self._state[1])

    async def _ask_state(self) -> Json:
        try:
            status = await self._client.health(timeout=STATE_SECONDS)
        except errors.Error as error:
            return {"status": "unreachable", "message": str(error), "counters": None}
        if status is not ServingStatus.SERVING:
            message = f"{self._address} loads models or shuts down"
            return {"status": str(status), "message": message, "counters": None}
        counters = await self._ask_counters()
        return {
            "status": str(status),
            "message": None,
            "seconds": time.monotonic(),
            "counters": None if counters is None else answers.counters_json(counters),
        }

    async def _ask_counters(self) -> list[Counters] | None:
        """Returns the counters, or None where they would mean nothing: of one of several servers, or not allowed."""
        if is_several(self._address):
            return None
        try:
            return await self._client.counters(timeout=STATE_SECONDS)
        except errors.Error:  # the state is shown without rates
            return None

    async def examples(self, _: Request) -> Response:
        """Lists the examples."""
        return JSONResponse([{"label": one.label, "dataset": one.dataset} for one in self._examples])

    async def example(self, request: Request) -> Response:
        """Sends the file of an example."""
        place = int(request.path_params["place"])
        if place >= len(self._examples):
            raise HTTPException(404)
        return Response(self._examples[place].data, media_type="application/octet-stream")

    async def picture(self, request: Request) -> Response:
        """Sends a picture that is still known."""
        return Response(self._pictures.get(request.path_params["key"]), media_type="application/octet-stream")

    async def upload(self, request: Request) -> Response:
        """Keeps a picture and answers with its key."""
        _check_type(request, "application/octet-stream")
        data = await read_body(request, MAXIMUM)
        return JSONResponse({"picture": self._pictures.add(data)})

    async def classify(self, request: Request) -> Response:
        """Answers a question about a picture."""
        _check_type(request, "application/json")
        question = read_question(await read_body(request, QUESTION))
        result, note = await self._ask(question)
        return JSONResponse(answers.result_json(result, note))

    async def inspect(self, request: Request) -> Response:
        """Answers a question about the inside of a net."""
        _check_type(request, "application/json")
        question = read_question(await read_body(request, QUESTION))
        result = await self._ask_server(question, blocks=False)
        return JSONResponse(inspection_json(result, question.block))

    async def _ask(self, question: Question) -> tuple[Result, str | None]:
        """Asks for classes and block statistics; without the latter, and a note, where only they are refused."""
        try:
            return await self._ask_server(question, blocks=True), None
        except errors.InvalidImage as error:  # there is only one
            raise errors.InvalidImage(str(error).replace("image 0", "the picture"), status=error.status) from error
        except (errors.StatisticsUnavailable, errors.Unauthorized) as error:
            if question.scale is not None:
                raise
            return await self._ask_server(question, blocks=False), str(error)

    async def _ask_server(self, question: Question, blocks: bool) -> Result:
        data = self._pictures.get(question.picture)
        pixels = None if question.scale is None and not question.views else await self._fitted.get(question, data)
        result = await self._send(data if pixels is None else pixels, question, blocks)
        if pixels is not None and result.resized_from[0] is not None:  # by another version
            return await self._send(data, question, blocks)
        self._fitted.add_answered(question.picture)
        return result

    async def _send(self, image: bytes | Pixels, question: Question, blocks: bool) -> Result:
        return await self._client.classify(
            [image],
            model=question.model,
            version=question.version,
            blocks=blocks,
            top_k=question.top_k,
            block_scale=question.scale,
            views=question.views,
            timeout=SECONDS,
        )


def create(page: Page) -> Starlette:
    """Returns the ASGI application, without its guard."""
    routes = [
        Route("/", _index),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/api/models", page.models),
        Route("/api/state", page.state),
        Route("/api/examples", page.examples),
        Route("/api/examples/{place:int}", page.example),
        Route("/api/pictures", page.upload, methods=["POST"]),
        Route("/api/pictures/{key}", page.picture),
        Route("/api/classify", page.classify, methods=["POST"]),
        Route("/api/inspect", page.inspect, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=page.lifespan, exception_handlers={errors.Error: _failed})


async def _index(_: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _failed(_: Request, error: Exception) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    headers = {}
    if isinstance(error, errors.ServerBusy):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if isinstance(error, errors.RequestTooLarge):
        headers["Connection"] = "close"  # the rest of the body is not read
    return JSONResponse({"kind": type(error).__name__, "message": str(error)}, status, headers)


def _check_type(request: Request, expected: str) -> None:
    """Refuses other content types: browsers ask before they send these two for a page of another site."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise errors.InvalidRequest(f"Content-Type is {given[:100]!r}; expected {expected}")
