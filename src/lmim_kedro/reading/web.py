"""The web page's server: the page, the address that reads one image, and what it says of itself."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.resources import files
from ipaddress import ip_address
from threading import Lock
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmim_kedro.crops.pixels import fitted, turned_if_tall
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.sources.stream import BadCrop, pixels_of
from lmim_kedro.reading.files import row
from lmim_kedro.reading.image_reader import ImageReader, sure_enough
from lmim_kedro.text.allowed import Allowed
from lmim_kedro.text.spelling import Reading

MAX_BYTES = 20_000_000
MOST_HELD = 5 * MAX_BYTES
"""Bytes of all bodies that are held at once; with more, the one that brings them is refused."""
BODY_SECONDS = 30.0
"""Time in which a body has to come."""
DECODERS = 2
"""Images that are decoded at once: a large one takes 150 MB meanwhile."""
LOCAL = ("localhost",)
EXAMPLES = 8
"""Number of rendered words to try."""


class Answer(BaseModel):
    """What was read in one image."""

    text: str = Field(description="The word; empty where nothing was read.")
    confidence: float = Field(description="How sure the recognizer is of the word, 0 to 1.")
    confidence_mean: float = Field(description="Mean of the confidences of its characters.")
    confidence_min: float = Field(description="The least of them.")
    confidences: list[float] = Field(description="How sure it is of each character.")
    error: str | None = Field(description="Why the image could not be read; null if it could.")


class Score(BaseModel):
    """Accuracy on one test set, in percent."""

    set: str
    crops: int
    right: float
    low: float = Field(description="Lower end of the 95 % interval.")
    high: float = Field(description="Upper end of the 95 % interval.")


class About(BaseModel):
    """Which recognizer reads, and how good it is."""

    name: str
    characters: str = Field(description="The characters that it can write.")
    metric: str | None = Field(description="What counts as right, in words; null without scores.")
    scores: list[Score]


class Refusal(BaseModel):
    """Why a body was not read."""

    error: str


class Refused(Exception):
    """A body is not read, for a reason that its sender is told."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Bodies:
    """Takes in the bodies of requests, as many bytes as there is room for, and no longer than it is willing to wait."""

    def __init__(self) -> None:
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, for which room is held until the end. Errors: Refused."""
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    async for part in request.stream():
                        body += part
                        self.held += len(part)
                        if len(body) > MAX_BYTES:
                            raise Refused(413, f"larger than {MAX_BYTES:,} bytes")
                        if self.held > MOST_HELD:
                            raise Refused(503, "too many images at once: try again in a moment")
            except TimeoutError:
                raise Refused(408, f"the image did not come within {BODY_SECONDS:g} seconds") from None
            except ClientDisconnect:
                raise Refused(400, "the client has gone") from None
            yield bytes(body)
        finally:
            self.held -= len(body)


class Guard:
    """Lets nothing in that was sent to another host, and tells the browser to let no page do more than it has to.

    A page from elsewhere whose name is made to lead to this machine (DNS rebinding) sends that name: only `names`,
    localhost and addresses in numbers, which nobody can make lead elsewhere, are answered.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], policy: str) -> None:
        self.app, self.names = app, {name.lower() for name in (*LOCAL, *names)}
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        app = self.app
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).get("host", "")):
            app = JSONResponse({"error": "this address is served under another name: see --name"}, status_code=421)
        await app(scope, receive, guarded)

    def _knows(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host).lower()
        try:
            return bool(ip_address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            return name.removesuffix(".") in self.names


def policy_of(pages: Collection[str]) -> str:
    """The Content-Security-Policy under which pages run their own scripts alone, and reach this server alone."""
    scripts = [script for page in pages for script in re.findall("<script>(.*?)</script>", page, re.DOTALL)]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_BODY = {
    "requestBody": {
        "required": True,
        "description": f"An encoded image (JPEG, PNG, WebP, TIFF, ...) of one word, of at most {MAX_BYTES:,} bytes.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_app(
    reader: ImageReader,
    about: Mapping[str, Any],
    allowed: Allowed | None = None,
    min_confidence: float = 0.0,
    names: Collection[str] = (),
) -> FastAPI:
    """Make the application. `GET /docs` and `GET /openapi.json` describe its addresses.

    `GET /` is the page; `POST /read` takes an encoded image as its body and answers with an `Answer`: an image that
    cannot be read has an error and no text. A body above MAX_BYTES is refused with status 413, one that takes longer
    than BODY_SECONDS to come with 408, one for which there is no room with 503, and a request to another host with
    421. `GET /about` says who reads; `GET /examples/0.jpg` and so on are words to try. No page asks for anything from
    elsewhere.

    Args:
        reader: what reads.
        about: from reading.about.about_recognizer.
        allowed: the texts that may be read; None: all.
        min_confidence: a reading of less confidence is an error.
        names: names of this machine under which it is asked, beside localhost and its addresses.

    Errors: InputError if the recognizer cannot write what is allowed.
    """
    app = FastAPI(
        title="lmim-kedro", summary="Reads one word in each image.", version="1", docs_url=None, redoc_url=None
    )
    pages = {name: files("lmim_kedro.reading").joinpath(f"{name}.html").read_text("utf-8") for name in ("page", "docs")}
    app.add_middleware(Guard, names=names, policy=policy_of(pages.values()))
    one_at_a_time, decoders, bodies = Lock(), CapacityLimiter(DECODERS), Bodies()
    reader.grammar(allowed)  # what the recognizer cannot write is told at the start

    def read(data: bytes) -> dict[str, Any]:
        try:
            pixels = turned_if_tall(pixels_of(RawCrop("image", data)), reader.rotate_tall)
            image = fitted(pixels, reader.height, reader.width, reader.keep_ratio).transpose(2, 0, 1)
        except BadCrop as error:
            reading = Reading("", 0.0, (), str(error))
        else:
            with one_at_a_time:
                (found,) = reader.look(image[None], allowed=allowed)
            reading = sure_enough(found, min_confidence)
        return {name: value for name, value in row(reading).items() if name != "key"}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show() -> str:
        return pages["page"]

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def describe() -> str:
        return pages["docs"]

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=error.status, headers={"connection": "close"})

    refusals: dict[int | str, Any] = {status: {"model": Refusal} for status in (408, 413, 421, 503)}

    @app.post("/read", response_model=Answer, responses=refusals, openapi_extra=_BODY)
    async def answer(request: Request) -> JSONResponse:
        """Read the word in one image."""
        async with bodies.body(request) as body:
            return JSONResponse(await to_thread.run_sync(read, body, limiter=decoders))

    @app.get("/about")
    def tell() -> About:
        """Say which recognizer reads, and how good it is."""
        return About(**about)

    @app.get("/examples/{number}.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    def example(number: Annotated[int, Path(ge=0, lt=EXAMPLES)]) -> Response:
        """Give a rendered word to try."""
        return Response(_example(number), media_type="image/jpeg")

    return app


@lru_cache(maxsize=EXAMPLES)
def _example(number: int) -> bytes:
    """A made-up word as a JPEG, drawn in the fonts that are always there."""
    return RenderedWords(EXAMPLES, seed=7, split="heldout", styles={"easy": {"share": 1.0}}).render(number)[1]
