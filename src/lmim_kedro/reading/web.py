"""The web page's server: the page, the address that reads one image, and what it says of itself."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from threading import Lock
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.reading.files import row
from lmim_kedro.reading.image_reader import ImageReader
from lmim_kedro.text.allowed import Allowed

MAX_BYTES = 20_000_000
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


_BODY = {
    "requestBody": {
        "required": True,
        "description": f"An encoded image (JPEG, PNG, WebP, TIFF, ...) of one word, of at most {MAX_BYTES:,} bytes.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_app(
    reader: ImageReader, about: Mapping[str, Any], allowed: Allowed | None = None, min_confidence: float = 0.0
) -> FastAPI:
    """Make the application. `GET /docs` and `GET /openapi.json` describe its addresses.

    `GET /` is the page; `POST /read` takes an encoded image as its body and answers with an `Answer`: an image that
    cannot be read has an error and no text. A body above MAX_BYTES is refused with status 413. `GET /about` says who
    reads; `GET /examples/0.jpg` and so on are words to try. No page asks for anything from elsewhere.

    Args:
        reader: what reads.
        about: from reading.about.about_recognizer.
        allowed: the texts that may be read; None: all.
        min_confidence: a reading of less confidence is an error.

    Errors: InputError if the recognizer cannot write what is allowed.
    """
    app = FastAPI(
        title="lmim-kedro", summary="Reads one word in each image.", version="1", docs_url=None, redoc_url=None
    )
    pages = {name: files("lmim_kedro.reading").joinpath(f"{name}.html").read_text("utf-8") for name in ("page", "docs")}
    one_at_a_time = Lock()
    how: dict[str, Any] = {"allowed": allowed, "min_confidence": min_confidence}
    reader.grammar(allowed)  # what the recognizer cannot write is told at the start

    def read(data: bytes) -> dict[str, Any]:
        with one_at_a_time:
            (reading,) = reader.read_named([(None, RawCrop("image", data))], batch_size=1, **how)
        return {name: value for name, value in row(reading).items() if name != "key"}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show() -> str:
        return pages["page"]

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def describe() -> str:
        return pages["docs"]

    @app.post("/read", response_model=Answer, responses={413: {"model": Refusal}}, openapi_extra=_BODY)
    async def answer(request: Request) -> JSONResponse:
        """Read the word in one image."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                return JSONResponse({"error": f"larger than {MAX_BYTES:,} bytes"}, status_code=413)
        return JSONResponse(await run_in_threadpool(read, bytes(body)))

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
