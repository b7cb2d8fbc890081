"""The web page and the address that reads an image."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lmim_kedro.commands.serve import listening
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError
from lmim_kedro.files import write_json
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, RecognizerParams
from lmim_kedro.reading.reader import Reader
from lmim_kedro.text.allowed import Allowed
from lmim_kedro.text.charset import Charset

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from lmim_kedro.reading import web  # noqa: E402
from lmim_kedro.reading.about import about_recognizer  # noqa: E402

HERE = "http://localhost:8000"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    torch.manual_seed(0)
    reader = RecognizerParams(width=32, depth=1, heads=4, ffn=16)
    size = ModelParams(
        patch_height=32, input="gray", position_grid="layout", width=16, depth=1, heads=2, recognizer=reader
    )
    recognizer = Recognizer(size, Charset.named("english_36"), max_length=9).eval()
    torch.nn.init.normal_(recognizer.decoder.classifier.weight, std=1.0)
    return recognizer


@pytest.fixture(scope="module")
def client(recognizer: Recognizer) -> TestClient:
    return TestClient(web.create_app(Reader(recognizer), about_recognizer(None)), HERE)


def test_the_page_is_one_file_that_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert 'type="file"' in page.text and 'fetch("read"' in page.text
    assert not re.search(r"https?://", page.text)


def test_what_is_hidden_stays_hidden_whatever_else_its_style_says(client):
    assert re.search(r"\[hidden\] \{ display: none !important; \}", client.get("/").text)


def test_an_image_is_answered_with_what_the_recognizer_reads(client, recognizer, tmp_path):
    data = RenderedWords(3).render(0)[1]
    (tmp_path / "word.jpg").write_bytes(data)
    (expected,) = Reader(recognizer).read(tmp_path / "word.jpg")
    answer = client.post("/read", content=data).json()
    assert list(answer) == ["text", "confidence", "confidence_mean", "confidence_min", "confidences", "error"]
    assert answer["text"] == expected.text and answer["error"] is None
    assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-3)
    assert np.allclose(answer["confidences"], expected.confidences, atol=1e-3)


@pytest.mark.parametrize(("body", "error"), [(b"no image", "undecodable"), (b"", "empty: 0 bytes")])
def test_a_body_that_is_no_image_is_answered_with_its_fault(client, body, error):
    answer = client.post("/read", content=body)
    assert answer.status_code == 200
    assert answer.json()["error"] == error and answer.json()["text"] == ""


def test_the_page_reads_allowed_texts_alone(recognizer, tmp_path):
    client = TestClient(web.create_app(Reader(recognizer), about_recognizer(None), Allowed(pattern="[0-9]{2}")), HERE)
    answer = client.post("/read", content=RenderedWords(1).render(0)[1]).json()
    assert re.fullmatch("[0-9]{2}", answer["text"])
    with pytest.raises(InputError, match="cannot write !"):
        web.create_app(Reader(recognizer), about_recognizer(None), Allowed(characters="!"))


def test_a_body_that_is_too_large_is_refused(client, monkeypatch):
    monkeypatch.setattr(web, "MAX_BYTES", 1000)
    answer = client.post("/read", content=b"x" * 1001)
    assert answer.status_code == 413 and answer.json()["error"] == "larger than 1,000 bytes"


def test_the_page_says_who_reads_and_how_well(client):
    about = client.get("/about").json()
    assert about == about_recognizer(None)
    assert about["name"] == "the ready reader" and {score["set"] for score in about["scores"]} >= {"iiit5k", "svt"}
    for score in about["scores"]:
        assert 0 < score["low"] < score["right"] < score["high"] < 100


def test_scores_of_a_run_are_those_of_its_report(tmp_path):
    folder = tmp_path / "data/06_models/lmim/mini/seed0/recognizer"
    write_json(folder / "config.json", {"charset": {"characters": "ab"}})
    nothing = {"name": f"the recognizer {folder}", "characters": "ab", "metric": None, "scores": []}
    assert about_recognizer(folder) == nothing
    scores = {
        "metric": "exact",
        "accuracy": {"svt": {"exact": 0.5, "n": 4}, "symbols": {"exact": None, "n": 0}},
        "interval_95": {"svt": [0.25, 0.75], "symbols": [None, None]},
    }
    write_json(tmp_path / "data/08_reporting/lmim/mini/seed0/scores.json", scores)
    about = about_recognizer(folder)
    assert about["metric"] == "exact: words right in every character, case and symbols included"
    assert about["scores"] == [{"set": "svt", "crops": 4, "right": 50.0, "low": 25.0, "high": 75.0}]


def test_scores_by_a_metric_that_is_not_installed_here_are_told_under_its_name(tmp_path):
    folder = tmp_path / "data/06_models/lmim/mini/seed0/recognizer"
    scores = {"metric": "own", "accuracy": {"svt": {"own": 0.5, "n": 4}}, "interval_95": {"svt": [0.25, 0.75]}}
    write_json(tmp_path / "data/08_reporting/lmim/mini/seed0/scores.json", scores)
    assert about_recognizer(folder)["metric"] == "own"


def test_examples_are_words_that_can_be_read(client):
    answers = [client.get(f"/examples/{number}.jpg") for number in range(web.EXAMPLES)]
    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
    assert len({answer.content for answer in answers}) == web.EXAMPLES
    assert client.post("/read", content=answers[0].content).json()["error"] is None
    assert client.get(f"/examples/{web.EXAMPLES}.jpg").status_code == 422


def test_addresses_are_described_without_a_request_to_anywhere_else(client):
    docs = client.get("/docs")
    assert docs.status_code == 200
    assert set(re.findall(r"https?://([^/\"]+)", docs.text)) == {"localhost:8000"}, "in the example alone"
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/read", "/about", "/examples/{number}.jpg"}
    assert all(path.partition("{")[0] in docs.text for path in described["paths"])
    post = described["paths"]["/read"]["post"]
    assert "image/*" in post["requestBody"]["content"] and {"200", "413"} <= set(post["responses"])
    assert set(described["components"]["schemas"]["Answer"]["properties"]) == set(
        client.post("/read", content=b"").json()
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8000", 200),
        ("192.168.0.7", 200),
        ("[::1]:8000", 200),
        ("words.example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("", 421),
        ("localhost:8000@evil.example", 421),
    ],
)
def test_requests_to_another_name_are_refused(recognizer, host, status):
    app = web.create_app(Reader(recognizer), about_recognizer(None), names=["Words.example"])
    for path in ("/", "/about", "/examples/0.jpg"):
        assert TestClient(app, HERE).get(path, headers={"host": host}).status_code == status


def test_every_answer_tells_the_browser_what_a_page_may_not_do(client):
    for path in ("/", "/docs", "/about", "/examples/0.jpg", "/absent", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"].partition("script-src")[2].partition(";")[0]


def test_a_body_that_does_not_come_or_has_no_room_is_refused_and_leaves_no_bytes_behind():
    async def endless():
        while True:
            await asyncio.sleep(0.01)
            yield b"x" * 100

    async def refused(bodies):
        request = SimpleNamespace(stream=endless)
        with pytest.raises(web.Refused) as caught:
            async with bodies.body(request):
                pass
        return caught.value.status

    async def both():
        bodies = web.Bodies()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web, "BODY_SECONDS", 0.1)
            late = await asyncio.gather(*(refused(bodies) for _ in range(5)))
            patch.setattr(web, "BODY_SECONDS", 5)
            patch.setattr(web, "MOST_HELD", 1000)
            full = await asyncio.gather(*(refused(bodies) for _ in range(5)))
        return late, full, bodies.held

    late, full, held = asyncio.run(both())
    assert (late, full, held) == ([408] * 5, [503] * 5, 0)


def test_one_image_is_decoded_while_another_is_read(recognizer, monkeypatch):
    """A large image that takes long to decode keeps nobody waiting."""
    reader = Reader(recognizer)
    decoding, may_end = threading.Event(), threading.Event()
    first = web.pixels_of

    def slow(image, *more):
        if image.data == b"slow":
            decoding.set()
            assert may_end.wait(20)
        return first(image, *more)

    monkeypatch.setattr(web, "pixels_of", slow)
    client = TestClient(web.create_app(reader, about_recognizer(None)), HERE)
    with client, ThreadPoolExecutor() as pool:
        held = pool.submit(client.post, "/read", content=b"slow")
        assert decoding.wait(20)
        assert client.post("/read", content=RenderedWords(1).render(0)[1]).json()["error"] is None
        may_end.set()
        assert held.result(20).json()["error"] == "undecodable"


def test_a_port_that_is_taken_is_a_sentence():
    taken = listening("127.0.0.1", 0)
    wanted = r"cannot be listened on \(address already in use\): choose another --port"
    with taken, pytest.raises(InputError, match=wanted):
        listening("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(InputError, match="check --host"):
        listening("203.0.113.1", 0)
