"""Our models give what the released code gave, on its own golden values."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmim_kedro.errors import InputError
from lmim_kedro.models.verify import FILES, Comparison, _finetuning, verify

GOLDEN = Path(os.environ.get("LMIM_SHARED", Path(__file__).parents[2].parent / "shared")) / "golden" / "official_small"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"golden values of the released code are not at {GOLDEN}")


def run_verify(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmim_kedro.models.verify", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_golden
@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_every_quantity_equals_the_released_codes(device):
    with torch.backends.cudnn.flags(allow_tf32=False):
        comparisons = list(verify(GOLDEN, device))
    assert [c for c in comparisons if not c.holds] == []
    names = " ".join(c.quantity for c in comparisons)
    for quantity in ("mask", "latent", "guidance", "target", "pred", "recon", "align", "gradnorm", "memory", "greedy"):
        assert quantity in names


@needs_golden
def test_a_changed_weight_is_noticed_and_ends_with_status_1(tmp_path):
    for name in FILES:
        shutil.copy(GOLDEN / name, tmp_path / name)
    path = tmp_path / "maerec_checkpoint.pth"
    checkpoint = torch.load(GOLDEN / path.name, weights_only=False)
    checkpoint["model"]["blocks.1.mlp.fc2.weight"] *= 1.01
    path.chmod(0o644)
    torch.save(checkpoint, path)
    result = run_verify(tmp_path)
    assert result.returncode == 1
    off = [line for line in result.stdout.splitlines() if line.startswith("OFF")]
    assert off and all("MAERec" in line for line in off)


@needs_golden
@pytest.mark.parametrize("size", ["d_k", "d_embedding"])
def test_a_decoder_whose_heads_do_not_fill_its_width_is_refused(size, tmp_path):
    for name in FILES:
        shutil.copyfile(GOLDEN / name, tmp_path / name)
    facts = json.loads((tmp_path / "finetune_facts.json").read_text())
    facts["decoder"][size] += 1
    (tmp_path / "finetune_facts.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="are not those of a decoder whose heads fill its width"):
        next(_finetuning(tmp_path, "cpu"))


@needs_golden
def test_gradients_of_other_parameters_are_refused_by_name(tmp_path):
    for name in FILES:
        shutil.copyfile(GOLDEN / name, tmp_path / name)
    values = load_file(tmp_path / "pretrain_values.safetensors")
    del values["r80.gradnorm.mask_token"]
    save_file(values, tmp_path / "pretrain_values.safetensors")
    with pytest.raises(InputError, match=r"gradients of \['mask_token'\] stand on one side only"):
        list(verify(tmp_path))


def test_a_quantity_holds_up_to_a_relative_difference_of_1e_4():
    assert Comparison("loss", 1e-4, ()).holds and not Comparison("loss", 1.01e-4, ()).holds


def test_a_folder_without_golden_values_ends_with_one_sentence(tmp_path):
    result = run_verify(tmp_path)
    assert result.returncode == 2
    assert "lacks pretrain_facts.json" in result.stderr and "Traceback" not in result.stderr
