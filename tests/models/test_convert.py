"""Checkpoints from and to the released code, from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.models import released, weights
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.text.charset import Charset


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmim_kedro", "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_released_recognizer_becomes_a_folder_and_a_file_again(tmp_path: Path, released_size):
    size = released_size.model_copy(update={"recognizer": released_size.recognizer.model_copy(update={"heads": 1})})
    original = Recognizer(size, Charset.named("english_94"))
    released.export_released(original, tmp_path / "released.pth")
    done = convert("import", tmp_path / "released.pth", tmp_path / "ours", "--heads", 3)
    assert done.returncode == 0, done.stderr
    assert "ignored: pos_embed" in done.stdout
    back = weights.load_recognizer(tmp_path / "ours")
    assert back.model.width == 24 and back.model.recognizer.ffn == 16 and back.charset.classes == 97
    assert convert("export", tmp_path / "ours", tmp_path / "again.pth").returncode == 0
    again = released.read_checkpoint(tmp_path / "again.pth")
    first = released.read_checkpoint(tmp_path / "released.pth")
    assert again.keys() == first.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_inspect_says_layout_and_sizes(tmp_path: Path, released_size):
    released.export_released(Encoder(released_size), tmp_path / "maerec.pth")
    done = convert("inspect", tmp_path / "maerec.pth", "--heads", 3)
    assert "maerec layout" in done.stdout and "depth: 2" in done.stdout and "classes" not in done.stdout
    released.export_released(Recognizer(released_size, Charset.named("english_94")), tmp_path / "recognizer.pth")
    assert "  classes: 97" in released.inspect(tmp_path / "recognizer.pth", 3)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("part", ["encoder", "recognizer"])
def test_a_checkpoint_in_another_precision_is_cast_with_a_word(tmp_path, released_size, caplog, kind, part):
    caplog.set_level("INFO", "lmim_kedro")
    original = Encoder(released_size) if part == "encoder" else Recognizer(released_size, Charset.named("english_94"))
    released.export_released(original, tmp_path / "whole.pth")
    content = torch.load(tmp_path / "whole.pth", weights_only=False)
    content["model"] = {name: tensor.to(kind) for name, tensor in content["model"].items()}
    torch.save(content, tmp_path / "other.pth")
    released.import_file(tmp_path / "other.pth", tmp_path / "ours", "english_94", 25, 3, part == "encoder")
    name = str(kind).removeprefix("torch.")
    assert f"tensors in {name}: they are computed with in float32" in caplog.text
    load = weights.load_encoder if part == "encoder" else weights.load_recognizer
    back = load(tmp_path / "ours").state_dict()
    assert all(torch.equal(tensor.to(kind), back[name].to(kind)) for name, tensor in original.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, released_size, value):
    broken = Encoder(released_size)
    broken.blocks[1].mlp.fc1.weight.data[0, 0] = value
    released.export_released(broken, tmp_path / "broken.pth")
    weights.save_model(tmp_path / "ours", broken)
    with pytest.raises(InputError, match=r"broken.pth hold NaN or infinite numbers \(blocks.\*.mlp.fc1.weight\)"):
        released.import_encoder(tmp_path / "broken.pth", released_size)
    with pytest.raises(InputError, match="ours hold NaN or infinite numbers"):
        weights.load_encoder(tmp_path / "ours")


def test_a_wrong_path_is_one_sentence(tmp_path: Path):
    done = convert("inspect", tmp_path / "absent.pth")
    assert done.returncode == 2 and done.stderr.startswith("there is no checkpoint at")
