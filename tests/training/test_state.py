"""The training state on disk: which run it belongs to, and what it says of itself."""

import json

import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.training.state import StateFolder, weights_digest

RECIPE = {"model": {"input": "gray"}, "pretraining": {"optimization": {"steps": 3}}}


@pytest.fixture
def module():
    return torch.nn.Linear(2, 2)


def stopped(folder: StateFolder, module: torch.nn.Module, step: int = 3) -> StateFolder:
    folder.save(step, module, torch.optim.AdamW(module.parameters()), {"start": "weights"})
    return folder


def write_as_before(folder: StateFolder) -> None:
    """Write the recipe under the names that parameters had in 0.1."""
    text = (folder.path / "recipe.json").read_text()
    (folder.path / "recipe.json").write_text(text.replace("gray", "grey").replace("optimization", "optimisation"))


def test_a_run_that_an_earlier_version_stopped_goes_on(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module)
    write_as_before(folder)
    assert folder.load("weights", 3)["step"] == 3
    later = {"model": {"input": "gray", "stem": []}, "pretraining": {"optimization": {"steps": 3, "ema": None}}}
    assert StateFolder(folder.path, later).load("weights", 3)["step"] == 3  # parameters that came since, and are off
    other = StateFolder(folder.path, {**RECIPE, "model": {"input": "rgb"}})
    with pytest.raises(InputError, match=r"another recipe \(model.input was gray, is rgb\): put the old values back"):
        other.load("weights", 3)


def test_the_result_of_an_earlier_version_is_kept(module, tmp_path):
    folder = StateFolder(tmp_path / "run", RECIPE)
    folder.finish("weights", module, [])
    write_as_before(folder)
    folder.forget_other_result("weights")
    assert folder.finished() is not None
    folder.forget_other_result("other weights")
    assert folder.finished() is None


def test_the_order_of_parameters_is_no_difference(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", {"a": 1, "b": 2}), module)
    (folder.path / "recipe.json").write_text(json.dumps({"b": 2, "a": 1}))
    assert folder.load("weights", 3)["step"] == 3


def test_a_folder_says_how_far_its_run_has_come(module, tmp_path):
    folder = StateFolder(tmp_path / "run", RECIPE)
    assert folder.reached == "before its first checkpoint"
    stopped(folder, module, 1000)
    stopped(folder, module, 2000)
    assert folder.reached == f"with a checkpoint of step 2,000 in {folder.path}"
    folder.finish("weights", module, [])
    assert folder.reached == f"when it had come to its end, which is kept in {folder.path}"


def test_a_run_that_is_not_there_can_be_started_over(tmp_path):
    folder = StateFolder(tmp_path / "nothing", RECIPE)
    folder.clear()
    assert folder.newest_step is None and folder.finished() is None


def test_a_checkpoint_that_another_machine_does_not_see_is_missed(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module)
    with pytest.raises(InputError, match="no checkpoint of step 4: let all machines share this folder"):
        folder.load("weights", 4)


def test_weights_differ_by_name_shape_type_and_value():
    ones = torch.ones(2, 3)
    found = [{"a": ones}, {"b": ones}, {"a": ones.T}, {"a": ones.int()}, {"a": ones + 1}, {"a": ones, "b": ones}]
    assert len({weights_digest(tensors) for tensors in found}) == len(found)
    assert weights_digest({"a": ones.T.contiguous().T}) == weights_digest({"a": ones})
