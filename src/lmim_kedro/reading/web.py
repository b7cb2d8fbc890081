"""The page's server: the page itself, and one address that reads one image."""

from importlib.resources import files
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.reading.files import row
from lmim_kedro.reading.image_reader import ImageReader
from lmim_kedro.text.allowed import Allowed

MAX_BYTES = 20_000_000


def create_app(reader: ImageReader, allowed: Allowed | None = None, min_confidence: float = 0.0) -> FastAPI:
    """`GET /` is the page; `POST /read` takes an encoded image as its body and answers with the reading.

    The answer is {"text", "confidence", "confidences", "error"}; an image that cannot be read has an error and no text.
    A body above MAX_BYTES is refused with status 413.
    """
    app = FastAPI(title="lmim-kedro", docs_url=None, redoc_url=None)
    page = files("lmim_kedro.reading").joinpath("page.html").read_text("utf-8")
    one_at_a_time = Lock()
    how: dict[str, Any] = {"allowed": allowed, "min_confidence": min_confidence}
    list(reader.read_named([], **how))  # what the recognizer cannot write is told at the start

    def read(data: bytes) -> dict[str, Any]:
        with one_at_a_time:
            (reading,) = reader.read_named([(None, RawCrop("image", data))], batch_size=1, **how)
        return {name: value for name, value in row(reading).items() if name != "key"}

    @app.get("/", response_class=HTMLResponse)
    def show() -> str:
        return page

    @app.post("/read")
    async def answer(request: Request) -> JSONResponse:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                return JSONResponse({"error": f"larger than {MAX_BYTES:,} bytes"}, status_code=413)
        return JSONResponse(await run_in_threadpool(read, bytes(body)))

    return app
