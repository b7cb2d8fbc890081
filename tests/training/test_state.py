"""The training state on disk: which run it belongs to, and what it says of itself."""

import errno
import io
import json
import os
import random
from pathlib import Path

import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS
from lmim_kedro.training.jobs import Job
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


def flip(path: Path, number: int) -> None:
    """Flip one bit at a place that the number draws."""
    data, draw = bytearray(path.read_bytes()), random.Random(number)
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(path: Path, number: int) -> None:
    path.write_bytes(path.read_bytes()[: -100 * (number + 1)])


@pytest.mark.parametrize("spoil", [flip, cut])
@pytest.mark.parametrize("number", range(3))
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(module, tmp_path, caplog, spoil, number):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module, 1000)
    stopped(folder, module, 2000)
    newest = tmp_path / "run/step-00002000.pt"
    folder.set_damaged_aside()
    assert folder.newest_step == 2000 and caplog.messages == []
    spoil(newest, number)
    folder.set_damaged_aside()
    assert folder.newest_step == 1000 and folder.load("weights", 1000)["step"] == 1000
    assert caplog.messages == [
        f"the checkpoint {newest} is damaged, and is kept as step-00002000.pt.damaged: the one before is used"
    ]
    assert (tmp_path / "run/step-00002000.pt.damaged").is_file()
    folder.set_damaged_aside()  # it is told once
    assert len(caplog.messages) == 1


def test_where_no_checkpoint_is_whole_the_run_is_refused_each_time_until_it_starts_over(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module, 1000)
    stopped(folder, module, 2000)
    for path in (tmp_path / "run").glob("step-*.pt"):
        flip(path, 0)
    for _ in range(2):
        with pytest.raises(InputError, match=r"none of the 2 checkpoints in .* is whole: .*training\.restart=true"):
            folder.set_damaged_aside()
    folder.clear()
    folder.set_damaged_aside()
    assert folder.newest_step is None


def test_a_damaged_result_is_refused(module, tmp_path):
    folder = StateFolder(tmp_path / "run", RECIPE)
    folder.finish("weights", module, [])
    folder.set_damaged_aside()
    flip(tmp_path / "run/finished.pt", 1)
    with pytest.raises(InputError, match=r"finished.pt, the result of training, is damaged: .*training\.restart=true"):
        folder.set_damaged_aside()


def test_checkpoints_of_earlier_versions_have_no_checksum_and_are_whole_if_they_can_be_read(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module, 1000)
    stopped(folder, module, 2000)
    (tmp_path / "run" / SUMS).unlink()
    folder.set_damaged_aside()
    assert folder.newest_step == 2000
    cut(tmp_path / "run/step-00002000.pt", 0)
    folder.set_damaged_aside()
    assert folder.newest_step == 1000


def test_a_damaged_recipe_of_a_state_is_a_sentence(module, tmp_path):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module)
    (tmp_path / "run/recipe.json").write_text('{"model": ')
    with pytest.raises(InputError, match=r"recipe.json is damaged .*training\.restart=true"):
        folder.load("weights", 3)


class FullDisk(io.FileIO):
    """A file for which there is room for a thousand bytes."""

    def write(self, data):
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_full_disk_at_a_checkpoint_is_a_sentence_and_leaves_what_was_there(module, tmp_path, monkeypatch):
    folder = stopped(StateFolder(tmp_path / "run", RECIPE), module, 1000)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    as_it_is = Path.open

    def full(path, mode="r", *arguments, **options):
        return FullDisk(path, "w") if mode == "wb" else as_it_is(path, mode, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(InputError, match="became full while step-00002000.pt was written: make room"):
            stopped(folder, module, 2000)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    folder.set_damaged_aside()
    assert folder.newest_step == 1000


def test_a_state_is_known_by_what_is_trained_and_not_by_checksums_of_files(recipe_of, store, training, tmp_path):
    recipe = recipe_of()
    noted = recipe.model_copy(update={"sha256": "of one", "encoder_sha256": "of another"})
    found = [Job("fine-tuning", store, each, training, tmp_path).folder.recipe for each in (recipe, noted)]
    assert found[0] == found[1] and "finetuning" in found[0]
