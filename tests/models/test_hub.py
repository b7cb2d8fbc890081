"""Recognizers named by hf://: a fake hub on disk, no network."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from lmim_kedro import OnnxReader, Reader
from lmim_kedro.errors import InputError
from lmim_kedro.models.folder import READY, read_config
from lmim_kedro.models.hub import hub_folder
from lmim_kedro.models.start import load_start
from lmim_kedro.params import FinetuningParams, ModelParams

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    hub_folder.cache_clear()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a fake hub was asked for; its one repository holds a recognizer, and an exported one in onnx/."""
    hub, snapshot, given = tmp_path / "hub", tmp_path / COMMIT, []
    shutil.copytree(READY / "recognizer", hub)
    shutil.copytree(READY / "onnx", hub / "onnx")

    def download(repo: str, revision: str | None = None, allow_patterns: Any = None) -> str:
        given.append((repo, revision, allow_patterns[0]))
        files = {str(file.relative_to(hub)): file for file in hub.rglob("*") if file.is_file()}
        for name in {each for pattern in allow_patterns for each in fnmatch.filter(files, pattern)}:
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[name], snapshot / name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return given


def test_a_recognizer_of_the_hub_reads_and_is_fetched_once(asked: list[Any]) -> None:
    crop = np.full((20, 60), 200, np.uint8)
    for _ in range(2):
        assert Reader.load("hf://owner/name", "cpu").read(crop) == Reader.load(device="cpu").read(crop)
    assert asked == [("owner/name", None, "config.json")]


def test_weights_of_the_hub_are_checked(asked: list[Any], tmp_path: Path) -> None:
    weights = tmp_path / "hub/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="model.safetensors in .* is not what was saved there"):
        Reader.load("hf://owner/name", "cpu")


def test_a_folder_and_a_revision_are_taken(asked: list[Any]) -> None:
    assert OnnxReader("hf://owner/name@refs%2Fpr%2F1/onnx").charset.characters == OnnxReader().charset.characters
    assert asked == [("owner/name", "refs/pr/1", "onnx/config.json")]


def test_fine_tuning_starts_from_a_recognizer_of_the_hub(asked: list[Any]) -> None:
    ready = ModelParams(**read_config(READY / "recognizer", "recognizer")["model"])
    wanted = FinetuningParams.model_construct(start="hf://owner/name", decoder="ctc", charset="from_start")
    recognizer, imported = load_start(wanted, ready)
    assert len(recognizer.charset) == 36 and imported.path == "hf://owner/name"


@pytest.mark.parametrize("named", ["hf://", "hf://owner", "hf://owner/name@", "hf:///name"])
def test_a_malformed_name_is_refused(named: str) -> None:
    with pytest.raises(InputError, match="names no folder: write it as hf://owner/name"):
        Reader.load(named)


def test_what_the_hub_answers_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("nothing in the cache,\n\nand no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(InputError) as caught:
        Reader.load("hf://owner/name@absent")
    assert str(caught.value).startswith(
        "hf://owner/name@absent cannot be fetched (nothing in the cache, and no network): check the name"
    )


def test_without_huggingface_hub_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="hf://owner/name is on the Hugging Face hub: `pip install huggingface_hub`"):
        Reader.load("hf://owner/name")


def test_the_command_reads_with_what_the_cache_of_the_hub_holds_without_a_network(tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(READY / "onnx", cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    word = tmp_path / "word.png"
    shutil.copy(Path(__file__).parents[2] / "docs/images/views.png", word)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    command = [sys.executable, "-m", "lmim_kedro", "read", str(word), "--recognizer"]
    done = subprocess.run([*command, "hf://owner/name"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(f"{word}\t"), done.stderr
    done = subprocess.run([*command, "hf://owner/other"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("hf://owner/other cannot be fetched ("), done.stderr
    assert done.stderr.count("\n") == 1
