"""The pictures of docs/method.md, after two steps of training."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "scripts/draw_method.py"


def test_it_draws_the_pictures_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("draw_method", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(["--steps", "2", "--words", "40", "--images", str(tmp_path)])
    page = (SCRIPT.parents[1] / "docs/method.md").read_text("utf-8")
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 3 and all(f"(images/{picture.name})" in page for picture in pictures)
    for picture in pictures:
        drawn, kept = Image.open(picture), Image.open(SCRIPT.parents[1] / "docs/images" / picture.name)
        assert drawn.size == kept.size and drawn.convert("L").getextrema()[0] < 100
    assert "cosine of predicted and target features" in capsys.readouterr().out
