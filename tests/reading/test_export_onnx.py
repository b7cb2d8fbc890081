"""A recognizer in ONNX reads as it does in torch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lmim_kedro.cli import cli
from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import save_model
from lmim_kedro.params import ModelParams, RecognizerParams
from lmim_kedro.reading import export_onnx
from lmim_kedro.reading.export_onnx import export_recognizer, measure_cost
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.reading.reader import Reader
from lmim_kedro.text.allowed import Allowed, Grammar
from lmim_kedro.text.charset import Charset

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")

SIZES = ModelParams(
    width=24, depth=1, heads=3, recognizer=RecognizerParams(width=32, depth=2, heads=4, ffn=16, dropout=0.1)
)
COLUMNS = SIZES.model_copy(update={"patch_height": 32, "patch_overlap": 4, "input": "gray", "position_grid": "layout"})

STEM = COLUMNS.model_copy(update={"stem": ((8, 2, 2), (12, 4, 2))})


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_crops(folder: Path, crops: list[bytes], recognizer: Recognizer) -> list[str]:
    """A folder of crops labeled with what torch reads in them."""
    images, _ = decode_batch(crops, 32, 128)
    texts = [reading.text for reading in recognizer.read_batch(torch.from_numpy(images).float() / 127.5 - 1)]
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(crops):
        (folder / f"{number}.png").write_bytes(data)
    (folder / "gt.txt").write_text("".join(f"{number}.png\t{text}\n" for number, text in enumerate(texts)))
    return texts


def named(crops: list[bytes]) -> list[tuple[str, RawCrop]]:
    return [(str(number), RawCrop(str(number), data)) for number, data in enumerate(crops)]


def recognizer_of(decoder: str, sizes: ModelParams | None = None) -> Recognizer:
    """Untrained, but with weights so large that what it writes depends on the crop and ends at different places."""
    torch.manual_seed(3)
    sizes = sizes or (SIZES if decoder == "autoregressive" else COLUMNS)
    recognizer = Recognizer(sizes, Charset("abcdefgh"), decoder, max_length=9).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weight in recognizer.named_parameters():
            if weight.ndim == 2 and ("classifier" in name or "trg_word_emb" in name or "enc_attn" in name):
                weight.normal_(std=1.0)
    return recognizer


@pytest.fixture(scope="module")
def words() -> list[bytes]:
    return [crop.data for crop in RenderedWords(40, 6, "heldout").read(0, 40) if crop.data]


@pytest.fixture(
    scope="module",
    params=[("autoregressive", None), ("ctc", None), ("ctc", STEM), ("autoregressive", STEM)],
    ids=["autoregressive", "ctc", "ctc stem", "autoregressive stem"],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recognizer, Path]:
    folder = tmp_path_factory.mktemp("exported")
    recognizer = recognizer_of(*request.param)
    export_recognizer(recognizer, folder)
    return recognizer, folder


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_texts_and_confidences_are_torchs_for_any_number_of_crops(
    exported: tuple[Recognizer, Path], words: list[bytes], batch: int
) -> None:
    recognizer, folder = exported
    images, _ = decode_batch(words, 32, 128)
    expected = recognizer.read_batch(torch.from_numpy(images).float() / 127.5 - 1)
    texts = [reading.text for reading in expected]
    assert len(set(texts)) > 10 and len({len(text) for text in texts}) > 2  # or the test would prove little
    readings = list(OnnxReader(folder, threads=1).read_named(named(words), batch))
    assert [reading.text for reading in readings] == texts
    assert [reading.confidence for reading in readings] == pytest.approx(
        [reading.confidence for reading in expected], rel=1e-4, abs=1e-7
    )
    for ours, theirs in zip(readings, expected, strict=True):
        assert ours.confidences == pytest.approx(theirs.confidences, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("allowed", [Allowed(characters="aceg"), Allowed(pattern="[a-d]{2}[e-h]")])
def test_allowed_texts_are_those_of_torch_and_no_others(
    exported: tuple[Recognizer, Path], words: list[bytes], allowed: Allowed
) -> None:
    recognizer, folder = exported
    images, _ = decode_batch(words, 32, 128)
    grammar = Grammar(allowed, recognizer.charset)
    readings = OnnxReader(folder, threads=1).read([crop for _, crop in named(words)], allowed=allowed)
    assert all(grammar.allows(recognizer.charset.indices(reading.text)) for reading in readings)
    assert all(set(reading.text) <= set(allowed.characters or "abcdefgh") for reading in readings)
    beam = 1 if recognizer.decoder_name == "autoregressive" else 8  # an exported decoder follows one hypothesis
    expected = recognizer.read_batch(torch.from_numpy(images).float() / 127.5 - 1, beam, grammar=grammar)
    assert [reading.text for reading in readings] == [reading.text for reading in expected]
    assert len({reading.text for reading in readings}) > 3
    confidences = [reading.confidence for reading in expected]
    assert [reading.confidence for reading in readings] == pytest.approx(confidences, rel=1e-3, abs=1e-7)


def test_nothing_is_read_where_no_allowed_text_can_be_written(
    exported: tuple[Recognizer, Path], words: list[bytes]
) -> None:
    long = Allowed(words=("abcdefgh" * 5,))  # more than the steps, or the columns, of the recognizer
    for reader in (OnnxReader(exported[1], threads=1), Reader(exported[0])):
        readings = reader.read([crop for _, crop in named(words[:5])], allowed=long)
        assert [(reading.text, reading.confidence, reading.confidences) for reading in readings] == [("", 0.0, ())] * 5


def test_config_says_what_a_runner_has_to_know(exported: tuple[Recognizer, Path]) -> None:
    recognizer, folder = exported
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["charset"] == {"characters": "abcdefgh", "fold_case": False}
    assert config["image"] == {
        **{"height": 32, "width": 128, "channels": "RGB", "range": [-1, 1]},
        **{"aspect": "ignored", "rotate_tall": None},
    }
    assert config["decoder"] == recognizer.decoder_name
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["SHA256SUMS", "config.json", "read.py", *config["graphs"].values()]
    )


def test_each_graph_holds_the_configuration_too(exported: tuple[Recognizer, Path]) -> None:
    folder = exported[1]
    config = json.loads((folder / "config.json").read_text("utf-8"))
    import onnxruntime

    for graph in folder.glob("*.onnx"):
        metadata = onnxruntime.InferenceSession(str(graph)).get_modelmeta().custom_metadata_map
        assert json.loads(metadata["lmim_kedro"]) == config


@pytest.mark.parametrize("looks", [1, 3])
def test_the_script_in_the_folder_reads_alike_without_this_package_and_goes_on_after_a_bad_image(
    exported: tuple[Recognizer, Path], words: list[bytes], tmp_path: Path, looks: int
) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(exported[1], folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"looks": looks}), "utf-8")
    (folder / "SHA256SUMS").unlink()  # it was changed on purpose
    crops = tmp_path / "crops"
    crops.mkdir()
    for number, data in enumerate(words[:12]):
        (crops / f"{number:02}.jpg").write_bytes(data)
    (crops / "05x.png").write_bytes(b"no image")
    code = (
        "import runpy, sys\n"
        "for name in ('lmim_kedro', 'torch', 'PIL', 'pandas', 'pydantic'): sys.modules[name] = None\n"
        f"sys.argv = ['read.py', {str(crops)!r}]\n"
        f"runpy.run_path({str(folder / 'read.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"{crops / '05x.png'}: undecodable\n")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    expected = [reading for reading in OnnxReader(folder, threads=1).read(crops) if not reading.error]
    assert [line[:2] for line in lines] == [[str(crops / str(each.key)), each.text] for each in expected]
    assert [float(line[2]) for line in lines] == pytest.approx([each.confidence for each in expected], abs=2e-4)


def test_graphs_say_nothing_of_the_machine_that_wrote_them(exported: tuple[Recognizer, Path]) -> None:
    source = str(Path(export_onnx.__file__).parents[2]).encode()
    for graph in exported[1].glob("*.onnx"):
        data = graph.read_bytes()
        assert source not in data and b"site-packages" not in data and b"stack_trace" not in data


def test_runner_imports_no_torch(exported: tuple[Recognizer, Path], words: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "word.png").write_bytes(words[0])
    code = (
        "import sys; from lmim_kedro.cli import cli;"
        f"given = ['read', '--recognizer', {str(exported[1])!r}, {str(tmp_path / 'word.png')!r}];"
        "failed = cli.main(given, standalone_mode=False);"
        "print(failed, sorted({'torch', 'torchvision', 'timm', 'kedro', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("0 []\n"), done.stdout + done.stderr


def test_command_exports_integers_and_says_what_they_cost(
    words: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = recognizer_of("ctc")
    save_model(tmp_path / "recognizer", recognizer)
    write_crops(tmp_path / "crops", words, recognizer)
    target = str(tmp_path / "onnx")
    assert not cli.main(
        ["export-onnx", str(tmp_path / "recognizer"), target, "--int8", "--measure", str(tmp_path / "crops")],
        standalone_mode=False,
    )
    said = capsys.readouterr().out
    assert f"{target}/recognizer.onnx: 0." in said and "B: ONNX, int8 weights" in said
    found = re.search(
        r"WAICS of B +([\d.]+) %.*same text for (\d+) of 40 crops; .* at most ([\d.e-]+)", said, re.DOTALL
    )
    assert found
    assert float(found[1]) > 50 and 20 < int(found[2]) <= 40  # the labels are what torch reads
    assert 1e-5 < float(found[3]) < 0.5  # integers were used
    assert OnnxReader(target).config["weights"] == "int8"


def test_weights_stored_as_16_bit_floats_take_half_and_read_as_rounded_ones_do(
    words: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = recognizer_of("autoregressive")
    save_model(tmp_path / "recognizer", recognizer)
    graphs = export_recognizer(recognizer, tmp_path / "whole")
    given = ["export-onnx", str(tmp_path / "recognizer"), str(tmp_path / "half")]
    assert not cli.main([*given, "--float16"], standalone_mode=False)
    sizes = [sum((tmp_path / kind / graph.name).stat().st_size for graph in graphs) for kind in ("whole", "half")]
    numbers = sum(weight.numel() for weight in recognizer.parameters())
    assert sizes[0] - sizes[1] > 1.5 * numbers
    exported = OnnxReader(tmp_path / "half", threads=1)
    assert exported.config["weights"] == "float16"
    before = [weight.clone() for weight in recognizer.parameters()]
    export_recognizer(recognizer, tmp_path / "again", "float16")
    assert all(torch.equal(*pair) for pair in zip(before, recognizer.parameters(), strict=True))  # rounded in a copy
    images, _ = decode_batch(words, 32, 128)
    expected = recognizer.half().float().read_batch(torch.from_numpy(images).float() / 127.5 - 1)
    readings = list(exported.read_named(named(words)))
    assert [reading.text for reading in readings] == [reading.text for reading in expected]
    assert [reading.confidence for reading in readings] == pytest.approx(
        [r.confidence for r in expected], rel=1e-4, abs=1e-7
    )
    capsys.readouterr()
    assert cli.main([*given, "--float16", "--int8"], standalone_mode=False) == 2
    assert "--float16 and --int8 were given: choose one" in capsys.readouterr().err


def test_what_an_export_costs_is_counted_on_labeled_crops(
    exported: tuple[Recognizer, Path], words: list[bytes], tmp_path: Path
) -> None:
    recognizer, folder = exported
    texts = write_crops(tmp_path, words[:5], recognizer)
    (tmp_path / "broken.png").write_bytes(b"no image")
    labels = [*texts[:3], "z", "z", "z"]
    names = [*(f"{number}.png" for number in range(5)), "broken.png"]
    (tmp_path / "gt.txt").write_text("".join(f"{name}\t{label}\n" for name, label in zip(names, labels, strict=True)))
    said = measure_cost(recognizer, OnnxReader(folder, threads=1), str(tmp_path))
    assert f"both right          {sum(map(bool, texts[:3]))}\n" in said  # an empty label cannot be scored
    assert "same text for 5 of 5 crops" in said
    assert "1 crops without an image or a label that can be read are left out" in said


def test_graphs_that_read_otherwise_are_refused(
    exported: tuple[Recognizer, Path],
) -> None:
    recognizer, folder = exported
    other = recognizer_of(recognizer.decoder_name)
    with torch.no_grad():
        for weight in other.encoder.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    with pytest.raises(InputError, match="where torch reads .* do not use them"):
        export_onnx._check(other, folder)


def test_command_reads_images(
    exported: tuple[Recognizer, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[bytes]
) -> None:
    (text,) = write_crops(tmp_path, words[:1], exported[0])
    assert cli.main(["read", "--recognizer", str(exported[1]), str(tmp_path / "0.png")], standalone_mode=False) == 0
    path, read, confidence = capsys.readouterr().out.rstrip("\n").split("\t")
    assert path.endswith("0.png") and read == text and 0 <= float(confidence) <= 1


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "holds no config.json: give a folder that"),
        ({"kind": "recognizer"}, "kind 'recognizer', not 'onnx_recognizer': export it first"),
        (
            {
                "kind": "onnx_recognizer",
                "charset": {"characters": "ab"},
                "decoder": "ctc",
                "image": {"height": 32, "width": 128},
                "graphs": {"recognizer": "gone.onnx"},
            },
            "gone.onnx, which config.json names: export the recognizer again",
        ),
    ],
)
def test_folders_that_hold_no_export_are_refused(config: dict | None, sentence: str, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=sentence):
        OnnxReader(tmp_path)


def test_damaged_graph_is_refused(tmp_path: Path) -> None:
    config = {
        "kind": "onnx_recognizer",
        "charset": {"characters": "ab"},
        "decoder": "ctc",
        "image": {"height": 32, "width": 128},
        "graphs": {"recognizer": "recognizer.onnx"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "recognizer.onnx").write_bytes(b"half a graph")
    with pytest.raises(InputError, match="onnxruntime cannot use .*recognizer.onnx"):
        OnnxReader(tmp_path)


def test_transparent_parts_show_white_as_elsewhere(exported: tuple[Recognizer, Path]) -> None:
    ink = np.zeros((32, 128, 4), np.uint8)
    ink[8:24, 20:100:7, 3] = 255
    white = np.full((32, 128, 3), 255, np.uint8)
    white[8:24, 20:100:7] = 0
    encoded = [cv2.imencode(".png", picture)[1].tobytes() for picture in (ink, white)]
    transparent, opaque = OnnxReader(exported[1], threads=1).read_named(named(encoded))
    assert transparent.text == opaque.text
    assert transparent.confidence == pytest.approx(opaque.confidence, rel=1e-3)


def test_file_that_is_no_image_is_named(
    exported: tuple[Recognizer, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    assert cli.main(["read", "--recognizer", str(exported[1]), str(tmp_path / "x.png")], standalone_mode=False) == 1
    assert "x.png: undecodable" in capsys.readouterr().err
    assert cli.main(["read", "--recognizer", str(exported[1]), str(tmp_path / "none.png")], standalone_mode=False) == 1
    assert "none.png: missing file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def hard_words() -> list[RawCrop]:
    return list(RenderedWords(60, 4, "heldout").read(0, 60))


def test_torch_and_onnx_choose_alike_with_a_language_model(hard_words: list[RawCrop]) -> None:
    crops = [(str(number), crop) for number, crop in enumerate(hard_words)]
    ready, exported = Reader.load(device="cpu"), OnnxReader(threads=1)
    with_model = [[each.text for each in reader.read_named(crops, language="english")] for reader in (ready, exported)]
    without = [each.text for each in exported.read_named(crops, language="none")]
    assert (
        sum(one == other for one, other in zip(*with_model, strict=True)) >= 58
    )  # a tie may be rounded to either side
    assert with_model[1] != without


def test_a_recognizer_may_have_a_language_model_of_its_own(exported: tuple[Recognizer, Path], tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(exported[1], folder)
    assert OnnxReader(folder).model_of(None) is None
    (folder / "SHA256SUMS").unlink()  # of another config.json
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"language": "english"}), "utf-8")
    if config["decoder"] == "ctc":
        assert OnnxReader(folder).model_of(None) is not None
        assert OnnxReader(folder).model_of("none") is None
    else:
        with pytest.raises(InputError, match="this one has the decoder autoregressive.*set language to none"):
            OnnxReader(folder).model_of(None)
