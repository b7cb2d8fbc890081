"""What `from lmim_kedro import ...` offers to another project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lmim_kedro
from lmim_kedro.errors import InputError
from lmim_kedro.reading.folder import require_recognizer

USERS_FILE = """
import numpy as np
from lmim_kedro import OnnxReader, PackedStore, Reader, __version__, open_source, prepare

reader = Reader.load("recognizer", device="cpu")
for reading in reader.read(["a.png", np.zeros((9, 9), np.uint8)], beam=3):
    reveal_type(reading)
reveal_type(OnnxReader("exported").read("b.png"))
ready: tuple[Reader, OnnxReader] = Reader.load(), OnnxReader()
reveal_type(reader.read_crops("folder"))
reveal_type((__version__, open_source, prepare, PackedStore))
"""


def checked(folder: Path, text: str) -> str:
    (folder / "users.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "users.py"]
    environment = os.environ | {"MYPYPATH": str(Path(lmim_kedro.__file__).parents[1])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def test_mypy_in_a_users_project_sees_the_types_and_notices_a_wrong_one(tmp_path: Path) -> None:
    seen = checked(tmp_path, USERS_FILE)
    assert "Success" in seen, seen
    assert (
        '"tuple[str, float, tuple[float, ...], str | None, str | None, fallback=lmim_kedro.text.spelling.Read' in seen
    )
    assert seen.count("list[tuple[str, float") == 1 and "Iterator[tuple[str, float" in seen
    assert "IngestParams" in seen and "PackedStore" in seen and "Any]" not in seen.split("Revealed")[-1].split("def")[0]
    wrong = checked(tmp_path, USERS_FILE.replace("beam=3", 'beam="3"').replace('"b.png"', "3.5"))
    assert 'Argument "beam"' in wrong and "Found 2 errors" in wrong, wrong


def test_every_name_is_there_and_another_is_refused() -> None:
    assert set(lmim_kedro.__all__) <= set(dir(lmim_kedro))
    for name in lmim_kedro.__all__:
        assert getattr(lmim_kedro, name)
    assert lmim_kedro.Reader.__name__ == "Reader" and lmim_kedro.prepare.__name__ == "prepare"
    with pytest.raises(AttributeError, match="no attribute 'Raeder'"):
        _ = lmim_kedro.Raeder


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import lmim_kedro", "{'torch', 'numpy', 'pydantic', 'kedro'}"),
        ("from lmim_kedro import OnnxReader", "{'torch', 'pandas', 'kedro'}"),
        ("from lmim_kedro.reading.folder import require_recognizer", "{'torch', 'pandas', 'kedro'}"),
        ("from lmim_kedro.models.folder import require_charset", "{'torch', 'pandas', 'kedro'}"),
    ],
)
def test_what_is_needed_before_torch_does_not_import_it(code: str, heavy: str) -> None:
    code = f"import sys; {code}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "holds no config.json: give a folder in which this project wrote a model"),
        ('{"kind": "encoder"}', "holds a model of kind 'encoder', and 'recognizer' is wanted here"),
        ('{"kind": "recogn', "config.json is not JSON .*: it is damaged: remove it and make it anew"),
        ('{"kind": "recognizer", "model": {"widths": 3}}', "cannot be read .*: it is damaged or from another version"),
    ],
)
def test_a_folder_without_a_recognizer_is_refused(config: str | None, sentence: str, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=sentence):
        require_recognizer(tmp_path)
