from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# What torchvision does while it is imported: describe an operator that its compiled half may not have defined.
DESCRIBES = """
import torch
import torchvision.extension
@torch.library.register_fake("torchvision::nms")
def _(dets, scores, iou_threshold): return dets
print("imported")
"""


def run(folder: Path, package: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds `package` as torchvision."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(package)
    (folder / "torchvision" / "extension.py").write_text("")
    source = Path(__file__).parents[1] / "src"
    code = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(source)!r}]\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


CALL = """
from lmim_kedro.models import _torchvision
module = _torchvision.make_torchvision_importable()
assert module is sys.modules["torchvision"] and module.extension
print(len(_torchvision._declared))
"""


def test_torchvision_without_its_operators_is_made_importable(tmp_path: Path) -> None:
    done = run(tmp_path, DESCRIBES, CALL)
    assert done.stdout.split() == ["imported", "1"], done.stderr


def test_working_torchvision_is_left_alone(tmp_path: Path) -> None:
    defines = 'import torch\nl = torch.library.Library("torchvision", "DEF")\nl.define("nms(Tensor d) -> Tensor")'
    done = run(tmp_path, f"{defines}{DESCRIBES}", CALL)
    assert done.stdout.split() == ["imported", "0"], done.stderr


def test_other_errors_of_torchvision_are_not_hidden(tmp_path: Path) -> None:
    done = run(tmp_path, 'raise RuntimeError("operator torchvision::unheard_of does not exist")', CALL)
    assert done.returncode == 1 and "unheard_of does not exist" in done.stderr


def test_timm_imports_with_the_installed_torchvision() -> None:
    from lmim_kedro.models._torchvision import make_torchvision_importable

    module = make_torchvision_importable()
    import timm.models.vision_transformer  # noqa: F401

    assert make_torchvision_importable() is module
