"""Training state on disk: what a run that was stopped needs to go on as if it had not been."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lmim_kedro.errors import InputError
from lmim_kedro.params import differences


def fingerprint(recipe: dict[str, Any]) -> str:
    """Canonical text of what must be the same for a run to be continued."""
    return json.dumps(recipe, sort_keys=True)


class StateFolder:
    """Checkpoints `step-00001000.pt` of one run, beside `recipe.json`; the newest `keep` of them stay.

    Args:
        path: the folder; made when the first checkpoint is written.
        recipe: what must be the same for the run to be continued.
        keep: checkpoints to hold on to.
    """

    def __init__(self, path: Path, recipe: dict[str, Any], keep: int = 2) -> None:
        self.path, self.recipe, self.keep = path, recipe, keep

    def load(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None; a checkpoint of another recipe is refused with the difference."""
        found = self._checkpoints()
        if not found:
            return None
        before = json.loads((self.path / "recipe.json").read_text("utf-8"))
        if fingerprint(before) != fingerprint(self.recipe):
            changes = "; ".join(differences(before, json.loads(fingerprint(self.recipe))))
            raise InputError(
                f"{self.path} holds a run with another recipe ({changes}): put the old values back to continue it, or "
                "start over with --params=training.restart=true"
            )
        return torch.load(found[-1], map_location="cpu", weights_only=True)

    def save(self, step: int, module: nn.Module, optimiser: torch.optim.Optimizer, extra: dict[str, Any]) -> None:
        """Write the checkpoint of a step whole, then forget the oldest."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "recipe.json").write_text(json.dumps(self.recipe, indent=2, sort_keys=True) + "\n", "utf-8")
        state = {"step": step, "module": module.state_dict(), "optimiser": optimiser.state_dict(), **extra}
        path = self.path / f"step-{step:08d}.pt"
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        for old in self._checkpoints()[: -self.keep]:
            old.unlink()

    def clear(self) -> None:
        """Forget the run: it is finished, or is to start over."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("step-*.pt"))
