"""Training state on disk, from which a stopped run continues as if it had not been stopped."""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lmim_kedro.errors import InputError
from lmim_kedro.files import damaged, read_json, read_sums, sha256, whole, write_json, write_sums
from lmim_kedro.recipe import differences, up_to_date

log = logging.getLogger(__name__)

FINISHED = "finished.pt"
START_OVER = "take it back from a copy, or start over with --params=training.restart=true"
DAMAGED = ".damaged"
"""Added to the name of a checkpoint that is not what was saved."""


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash of named tensors, of any shapes and devices.

    Example:
        >>> weights_digest({"bias": torch.zeros(2)}) == weights_digest({"bias": torch.ones(2)})
        False
    """
    whole = hashlib.blake2b(digest_size=16)
    for name, tensor in tensors.items():
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()


class StateFolder:
    """Checkpoints `step-00001000.pt` of one run beside its `recipe.json`; the newest `keep` of them stay.

    `SHA256SUMS` has their checksums. A checkpoint that was cut, or has other bits than were saved, is set aside as
    `step-00001000.pt.damaged`, and the one before is the newest.

    A finished run leaves `finished.pt` instead. If a later stage is stopped, or the result could not be saved, the same
    command finds it and does not train again; `forget_finished` removes it in the end.

    Args:
        path: the folder, which the first checkpoint creates.
        recipe: all that must be the same for the run to be continued.
        keep: number of checkpoints to keep.

    Example:
        >>> StateFolder(Path("nowhere"), {"seed": 0}).reached
        'before its first checkpoint'
    """

    def __init__(self, path: Path, recipe: dict[str, Any], keep: int = 2) -> None:
        self.path, self.recipe, self.keep = path, recipe, keep

    def load(self, start: str, step: int) -> dict[str, Any]:
        """The checkpoint of a step.

        Args:
            start: weights_digest of the module before its first step.
            step: the step, such as `newest_step`.

        Errors: InputError for a checkpoint of another recipe, or of a run that started from other weights.
        """
        if changes := self._changes():
            raise InputError(
                f"{self.path} holds a run with another recipe ({'; '.join(changes)}): put the old values back to "
                "continue it, or start over with --params=training.restart=true"
            )
        if not self._checkpoint(step).is_file():
            raise InputError(f"{self.path} has no checkpoint of step {step:,}: let all machines share this folder")
        saved = torch.load(self._checkpoint(step), map_location="cpu", weights_only=True)
        if saved.get("start") != start:
            raise InputError(
                f"{self.path} holds a run of the same recipe that began with other weights (the encoder or the teacher "
                "has been made anew, or a file of weights replaced): put the old ones back to continue it, or start "
                "over with --params=training.restart=true"
            )
        return saved

    @property
    def is_finished(self) -> bool:
        """Whether the run is finished."""
        return (self.path / FINISHED).is_file()

    def set_damaged_aside(self) -> None:
        """Rename the newest checkpoints that are damaged, up to one that is whole, with a line in the log for each.

        Checkpoints of earlier versions have no checksum: they are whole if they can be read.

        Errors: InputError if none is whole, or the result of the finished run is damaged; nothing is renamed then.
        """
        if self.is_finished and self._is_damaged(self.path / FINISHED):
            raise InputError(f"{self.path / FINISHED}, the result of training, is damaged: {START_OVER}")
        found = self._checkpoints()[::-1]
        whole = next((path for path in found if not self._is_damaged(path)), None)
        if found and whole is None:
            raise InputError(f"none of the {len(found)} checkpoints in {self.path} is whole: {START_OVER}")
        for path in found[: found.index(whole) if whole else 0]:
            aside = path.replace(path.with_name(path.name + DAMAGED))
            log.warning("the checkpoint %s is damaged, and is kept as %s: the one before is used", path, aside.name)

    def _is_damaged(self, path: Path) -> bool:
        if path.name in read_sums(self.path):
            return bool(damaged(self.path, path.name))
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # of many kinds, where a file is cut
            return True
        return False

    @property
    def newest_step(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        found = self._checkpoints()
        return int(found[-1].stem.removeprefix("step-")) if found else None

    @property
    def reached(self) -> str:
        """How far the run on disk has come, in words that go on from `was stopped`."""
        if self.is_finished:
            return f"when it had come to its end, which is kept in {self.path}"
        if (step := self.newest_step) is None:
            return "before its first checkpoint"
        return f"with a checkpoint of step {step:,} in {self.path}"

    def save(self, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, extra: dict[str, Any]) -> None:
        """Write the checkpoint of a step, then remove the oldest ones."""
        state = {"step": step, "module": module.state_dict(), "optimizer": optimizer.state_dict(), **extra}
        self._write(self._checkpoint(step).name, state)
        for old in self._checkpoints()[: -self.keep]:
            old.unlink()

    def finish(self, start: str, module: nn.Module, rows: list[dict[str, float]]) -> None:
        """Write the result of the run and remove its checkpoints; `start` as in `load`, `rows` of its metrics table."""
        self._write(FINISHED, {"start": start, "module": module.state_dict(), "rows": rows})
        for checkpoint in self._checkpoints():
            checkpoint.unlink()

    def finished(self) -> dict[str, Any] | None:
        """The result that `finish` wrote, or None."""
        path = self.path / FINISHED
        return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None

    def forget_other_result(self, start: str) -> None:
        """Clear the folder if it holds the result of another recipe, or of a run that started from other weights."""
        found = self.finished()
        if found is not None and (found["start"] != start or self._changes()):
            self.clear()

    def clear(self) -> None:
        """Remove the run, so that it starts over."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, state: dict[str, Any]) -> None:
        """Write a file of the folder, whole or not at all. Errors: InputError if the disk is full."""
        write_json(self.path / "recipe.json", self.recipe)
        with whole(self.path / name) as part:
            with part.open("wb") as file:  # of Python: its errors say what is wrong, where torch's writer says little
                torch.save(state, file)
            kept = {name: found for name, found in read_sums(self.path).items() if (self.path / name).is_file()}
            write_sums(self.path, kept | {name: sha256(part)})

    def _changes(self) -> list[str]:
        """What differs between the recipe of the run on disk and this one."""
        try:
            saved = read_json(self.path / "recipe.json")
        except InputError as error:
            raise InputError(f"{self.path / 'recipe.json'} is damaged ({error}): {START_OVER}") from error
        return differences(up_to_date(saved), self.recipe)

    def _checkpoint(self, step: int) -> Path:
        return self.path / f"step-{step:08d}.pt"

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("step-*.pt"))


def forget_finished(state: Path) -> None:
    """Remove the results of finished stages below `state`, once everything made from them is saved."""
    for result in state.glob(f"*/{FINISHED}"):
        shutil.rmtree(result.parent)
