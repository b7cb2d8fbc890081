"""The reader that comes with the package: it reads at once, the same in torch and in ONNX, and its card is complete."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lmim_kedro import OnnxReader, Reader
from lmim_kedro.cli import cli
from lmim_kedro.commands import options
from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError
from lmim_kedro.files import sha256, write_json
from lmim_kedro.hooks import require_named_files
from lmim_kedro.models.folder import READY, named_place, ready_facts, require_encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.released import import_encoder
from lmim_kedro.models.weights import Origin, load_recognizer, save_model
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset

LARGEST = 8_000_000
FILES = {
    "CARD.md",
    "LICENSES.tsv",
    "facts.json",
    "onnx/SHA256SUMS",
    "onnx/config.json",
    "onnx/recognizer.onnx",
    "recognizer/SHA256SUMS",
    "recognizer/config.json",
    "recognizer/model.safetensors",
}


@pytest.fixture(scope="module")
def words() -> list[tuple[str | None, np.ndarray]]:
    drawn = RenderedWords(60, 7, "heldout")
    return [(None, decode(drawn.render(number)[1])) for number in range(60)]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(RenderedWords(1, 7, "heldout").render(0)[1])
    return path


def read(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["read", *map(str, arguments)])


def test_command_asks_the_language_model_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    for number, crop in enumerate(RenderedWords(40, 4, "heldout").read(0, 40)):
        Path("words", f"{number:02}.jpg").write_bytes(crop.data or b"")
    found = {}
    for language in ("english", "none"):
        texts = [line.split("\t")[1] for line in read(f"--language={language}", "words").stdout.splitlines()]
        assert texts == [each.text for each in OnnxReader().read("words", language=language)]
        found[language] = texts
    assert found["english"] != found["none"]
    assert [line.split("\t")[1] for line in read("words").stdout.splitlines()] == found["english"]
    wrong = read("--language=klingon", "words")
    assert wrong.exit_code == 2 and "klingon is no language model" in wrong.stderr + wrong.output


def in_a_new_process(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd)


def test_folder_holds_these_files_and_no_more_megabytes_than_allowed() -> None:
    found = {path.relative_to(READY).as_posix() for path in READY.rglob("*") if path.is_file()}
    assert found == FILES
    sizes = {name: (READY / name).stat().st_size for name in ("recognizer/model.safetensors", "onnx/recognizer.onnx")}
    assert sum(sizes.values()) <= LARGEST
    assert ready_facts()["bytes"] == dict(zip(("torch", "onnx"), sizes.values(), strict=True))


def test_weights_are_16_bit_floats_and_the_rest_of_the_graph_is_small() -> None:
    from safetensors.numpy import load_file

    tensors = load_file(READY / "recognizer/model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float16)}
    numbers = sum(tensor.size for tensor in tensors.values())
    assert (READY / "onnx/recognizer.onnx").stat().st_size < 2.6 * numbers  # 2 bytes each, tables and the graph itself


def test_torch_and_onnx_read_the_same_words(words: list[tuple[str | None, np.ndarray]]) -> None:
    pairs = zip(Reader.load(device="cpu").read_named(words), OnnxReader(threads=1).read_named(words), strict=True)
    ours, theirs = zip(*pairs, strict=True)
    assert [one.text for one in ours] == [other.text for other in theirs]
    assert [one.confidence for one in ours] == pytest.approx([other.confidence for other in theirs], rel=1e-2, abs=1e-4)
    assert len({one.text for one in ours}) > 20


def test_command_reads_with_the_ready_reader_and_says_so_in_one_sentence(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = read(photo)
    assert done.exit_code == 0
    assert done.stdout == f"{photo}\t{OnnxReader().read(photo)[0].text}\t{OnnxReader().read(photo)[0].confidence:.4f}\n"
    about = (
        r"made 2026-11-27, trained on 600,000 rendered words; WAICS 87.2 %: rendered 84.5 %, iiit5k .* ic13_1015 .* %"
    )
    assert re.fullmatch(
        rf"reading with the ready reader \({about}\); --recognizer=FOLDER reads with one of yours\n", done.stderr
    )
    assert read(tmp_path).stdout == done.stdout  # a folder


def test_recognizers_of_a_run_are_named_and_read_when_they_are_asked_for(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns_size: ModelParams
) -> None:
    monkeypatch.chdir(tmp_path)
    absent = read("--recognizer=newest", photo)
    assert absent.exit_code == 2 and "make one with `kedro run`, or leave --recognizer out" in absent.stderr
    torch.manual_seed(1)
    recognizer = Recognizer(columns_size, Charset("xyz"), "ctc")
    torch.nn.init.normal_(recognizer.classifier.weight, std=9.0)
    for number, variant in enumerate(("old", "new", "older")):
        place = Path("data/06_models", variant, "sample/seed0/recognizer")
        save_model(place, recognizer)
        os.utime(place / "config.json", (1e9 - [50, 0, 90][number],) * 2)
    new = "data/06_models/new/sample/seed0/recognizer"
    ready = read(photo)
    assert ready.stderr.startswith("reading with the ready reader (made 2026-11-27, ")
    assert ready.stderr.endswith(f"); --recognizer={new} reads with the newest of yours\n")
    own = read(f"--recognizer={new}", photo)
    newest = read("--recognizer=newest", photo)
    assert own.stdout == newest.stdout != ready.stdout
    assert set(own.stdout.split("\t")[1]) <= set("xyz")
    assert own.stderr == newest.stderr
    about = "written 2001-09-09 01:46 UTC, its training is not recorded; not scored"
    assert own.stderr == f"reading with {new} ({about})\n"
    assert read(f"--model={new}", photo).stdout == own.stdout  # the option's earlier name


def test_a_newer_recognizer_is_never_taken_for_a_better_one(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns_size: ModelParams
) -> None:
    monkeypatch.chdir(tmp_path)
    ready = read(photo)
    torch.manual_seed(1)
    recognizer = Recognizer(columns_size, Charset("xyz"), "ctc")
    recognizer.labels = {"usable": 1200, "held_out": 200}
    of_ready = ready_facts()["scores"]

    def make(variant: str, age: float, looks: int = 3, language: str = "english", **scored: float) -> str:
        """A run's recognizer with its scores; ready and worse ones read IIIT5K, as the ready reader did."""
        place = Path("data/06_models", variant, "sample/seed0/recognizer")
        torch.nn.init.normal_(recognizer.classifier.weight)  # so that each has weights of its own
        recognizer.origin = Origin({"variant": variant, "env": "sample", "seed": 0})  # type: ignore[assignment]
        save_model(place, recognizer)
        os.utime(place / "config.json", (1e9 - age,) * 2)
        accuracy = {name: {"waics": right, "n": of_ready["accuracy"][name]["n"]} for name, right in scored.items()}
        how = {"metric": "waics", "labels": "original", "looks": looks, "language": language}
        scores: dict[str, Any] = how | {"accuracy": accuracy}
        scores |= {"interval_95": dict.fromkeys(accuracy, [0.1, 0.9]), "sha256": sha256(place / "model.safetensors")}
        write_json(Path("data/08_reporting", variant, "sample/seed0/scores.json"), scores)
        return str(place)

    worse = make("worse", 0, iiit5k=0.25)
    newest = read("--recognizer=newest", photo)
    assert newest.stderr == (
        f"reading with {worse} (written 2001-09-09 01:46 UTC, trained on 1,200 labeled crops (200 held out) as variant "
        "worse of sample, seed 0; WAICS 25.0 %: iiit5k 25.0 %); the ready reader scored better: 90.3 % against 25.0 % "
        "of the same 3,000 crops\n"
    )
    assert read(photo).stdout == ready.stdout and "scored better" not in read(photo).stderr
    best = make("best", 50, iiit5k=0.96)
    make("elsewhere", 60, svt=0.8)  # says nothing of IIIT5K
    make("once", 70, looks=1, iiit5k=0.99)  # which another number of looks would change
    make("alone", 60, language="none", iiit5k=0.99)  # or another language model
    sentence = f"; {best} scored better: 96.0 % against 25.0 % of the same 3,000 crops\n"
    assert read("--recognizer=newest", photo).stderr.endswith(sentence)
    assert f"{best} scored better: 96.0 % against 90.3 %" in read(photo).stderr
    Path("data/08_reporting/best/sample/seed0/scores.json").rename("data/08_reporting/worse/sample/seed0/scores.json")
    assert "; not scored)" in read("--recognizer=newest", photo).stderr  # these are the scores of other weights


def test_without_onnxruntime_torch_reads_the_same_and_the_command_says_so(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(photo)
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = read(photo)
    assert done.exit_code == 0
    assert done.stdout.split("\t")[:2] == expected.stdout.split("\t")[:2]
    assert "reads in torch" in done.stderr and "`pip install onnxruntime`" in done.stderr
    assert done.stderr.count("\n") == 1


COLD = """
import os, sys
from lmim_kedro.cli import cli
failed = cli.main(["read", sys.argv[1]], standalone_mode=False)
print(failed, sum(os.times()[:2]), sorted({"torch", "torchvision", "timm", "kedro", "pandas"} & set(sys.modules)))
"""


def test_first_word_takes_less_than_a_second_and_imports_no_torch(photo: Path, tmp_path: Path) -> None:
    done = [in_a_new_process(COLD, str(photo), cwd=tmp_path) for _ in range(3)]
    last = [one.stdout.splitlines()[-1].split(" ", 2) for one in done]
    assert {(failed, heavy) for failed, _, heavy in last} == {("0", "[]")}, done[0].stderr
    assert min(float(seconds) for _, seconds, _ in last) < 1  # of the processor


def test_checking_what_reads_takes_no_ten_milliseconds_in_a_new_process(tmp_path: Path) -> None:
    code = (
        "import time; from lmim_kedro.models import folder; start = time.process_time();"
        "folder.require_undamaged(folder.READY / 'onnx', 'config.json', 'recognizer.onnx');"
        "print(time.process_time() - start)"
    )
    spent = [float(in_a_new_process(code, cwd=tmp_path).stdout) for _ in range(3)]
    assert min(spent) < 0.01


@pytest.mark.parametrize("name", ["recognizer.onnx", "config.json"])
def test_a_flipped_bit_of_an_export_is_noticed(tmp_path: Path, name: str) -> None:
    shutil.copytree(READY / "onnx", tmp_path / "onnx")
    OnnxReader(tmp_path / "onnx")
    whole, draw = (tmp_path / "onnx" / name).read_bytes(), random.Random(0)
    for _ in range(20):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        (tmp_path / "onnx" / name).write_bytes(data)
        with pytest.raises(InputError, match=f"^{name} in .* not what was saved there"):
            OnnxReader(tmp_path / "onnx")


def test_damaged_weights_to_start_from_are_refused_before_anything_runs(project: Path, tmp_path: Path) -> None:
    bootstrap_project(project)
    start = tmp_path / "start"
    shutil.copytree(READY / "recognizer", start)
    data = bytearray((start / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (start / "model.safetensors").write_bytes(data)
    for steps, given in (
        ({"pretrain"}, {"pretraining": {"weights": str(start)}}),
        ({"finetune"}, {"finetuning": {"start": str(start)}}),
        ({"read_benchmarks"}, {"evaluation": {"beside": str(start)}}),
    ):
        named = {"model": ready_facts()["model"], **given}
        with KedroSession.create(project, runtime_params=named, save_on_close=False) as session:
            catalog = session.load_context().catalog
            with pytest.raises(InputError, match="model.safetensors in .*/start is not what was saved there"):
                require_named_files(steps, catalog)


def test_page_is_served_with_the_ready_reader_and_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    code = """
import sys
from starlette.testclient import TestClient
from lmim_kedro.cli import cli
from lmim_kedro.reading import server
def run(app, place):
    print(TestClient(app, "http://localhost").post("/read", content=open(sys.argv[1], "rb").read()).json()["text"])
server.serve_app = run
cli.main(["serve", "--port=0"], standalone_mode=False)
print(sorted({"torch", "timm"} & set(sys.modules)))
"""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(RenderedWords(1, 7, "heldout").render(0)[1])
    done = in_a_new_process(code, str(photo), cwd=tmp_path)
    assert done.stdout == f"{OnnxReader().read(photo)[0].text}\n[]\n", done.stderr
    assert "reading with the ready reader" in done.stderr


def test_encoder_of_the_ready_reader_is_where_training_starts() -> None:
    recognizer = load_recognizer(READY / "recognizer")
    encoder, imported = import_encoder("ready", recognizer.model)
    assert encoder.state_dict().keys() == recognizer.encoder.state_dict().keys()
    for name, tensor in recognizer.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], tensor), name
    assert imported.sentence().startswith("ready: this project's recognizer, ")
    assert imported.ignored == ["classifier.bias", "classifier.weight"]
    assert encoder.cls_token.dtype == torch.float32


def test_another_size_is_refused_with_what_differs_and_the_preset_to_set(columns_size: ModelParams) -> None:
    sentence = (
        r"^the encoder of ready has other sizes than the model in use \(.*width \d+, not 24.*\): set `model: conv_"
    )
    with pytest.raises(InputError, match=sentence):
        import_encoder("ready", columns_size)
    with pytest.raises(InputError, match=sentence):
        require_encoder("ready", columns_size)


def test_weights_that_do_not_fit_are_refused_before_anything_runs(project: Path) -> None:
    bootstrap_project(project)

    def asked(model: str, weights: str) -> None:
        given = {"model": model, "pretraining": {"weights": weights}}
        with KedroSession.create(project, runtime_params=given, save_on_close=False) as session:
            require_named_files({"pretrain"}, session.load_context().catalog)

    with pytest.raises(InputError, match="^the encoder of ready has other sizes than the model in use .*set `model: "):
        asked("vit_small", "ready")
    with pytest.raises(InputError, match="`pretraining.weights`: there is no checkpoint at reddy"):
        asked("vit_small", "reddy")
    asked(ready_facts()["model"], "ready")


def test_a_folder_called_ready_is_read_by_its_path(tmp_path: Path, columns_size: ModelParams) -> None:
    save_model(tmp_path / "ready", Recognizer(columns_size, Charset("ab"), "ctc").encoder)
    assert named_place("ready") == READY / "recognizer"
    assert import_encoder(tmp_path / "ready", columns_size)[1].layout == "this project's encoder"
    assert named_place(str(tmp_path / "ready")) == tmp_path / "ready"


def test_package_that_is_built_holds_the_reader(project: Path, tmp_path: Path) -> None:
    """Setuptools builds it, as for `pip wheel`, which would fetch setuptools first."""
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    copied = tmp_path / "project"
    copied.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copied / name).write_bytes((project / name).read_bytes())
    shutil.copytree(project / "src", copied / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    built = in_a_new_process(code, str(tmp_path), cwd=copied)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {info.filename: info.file_size for info in wheel.infolist()}
    inside = "lmim_kedro/reading/ready/"
    assert {name: packed.get(inside + name) for name in FILES} == {
        name: (READY / name).stat().st_size for name in FILES
    }


def test_onnxruntime_comes_with_a_plain_install(project: Path) -> None:
    needed = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert any(need.startswith("onnxruntime") for need in needed)


def test_card_is_the_page_and_names_sizes_scores_licenses_and_commands(project: Path) -> None:
    card, facts = (READY / "CARD.md").read_text("utf-8"), ready_facts()
    assert card == (project / "docs/reader.md").read_text("utf-8")
    assert "{{" not in card and "{%" not in card and "None" not in card
    for heading in ("Scores", "Size and speed", "What it was trained on", "Recipe", "Limits", "Make it again"):
        assert f"\n## {heading}\n" in card
    for name, found in facts["scores"]["accuracy"].items():
        assert f"| {name} | {found['n']:,} | {100 * found['waics']:.1f} %" in card
    assert {"rendered", "iiit5k", "svt", "ic13_1015"} <= facts["scores"]["accuracy"].keys()
    assert "    make fonts\n" in card and f"    {facts['command']}\n" in card
    assert f"    python scripts/ship_reader.py {facts['recognizer']}\n" in card
    assert facts["milliseconds"] <= 3 and facts["cold_seconds"] < 1


def test_every_family_and_list_has_a_license_that_lets_the_weights_go(project: Path) -> None:
    allowed = tomllib.loads((project / "scripts/fonts.toml").read_text("utf-8"))["licenses"]
    with (READY / "LICENSES.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    fonts = Counter(row["license"] for row in rows if row["group"] != "words")
    assert fonts.keys() <= set(allowed) and dict(fonts) == ready_facts()["fonts"]
    assert {row["license"] for row in rows if row["group"] == "words"} == {"SCOWL"}
    assert all(row["attribution"] or row["license"] == "Apache-2.0" for row in rows)


def test_model_preset_that_the_facts_name_has_the_sizes_of_the_weights(project: Path) -> None:
    import yaml

    presets = yaml.safe_load((project / "conf/base/models.yml").read_text("utf-8"))["models"]
    config = json.loads((READY / "recognizer/config.json").read_text("utf-8"))
    assert ModelParams(**presets[ready_facts()["model"]]) == ModelParams(**config["model"])
