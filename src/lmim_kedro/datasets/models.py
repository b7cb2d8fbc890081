"""Models in the catalog."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets.path import AtPath
from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class ModelDataset(AtPath, AbstractDataset["nn.Module", "nn.Module"]):
    """A folder with model.safetensors and config.json.

    Args:
        filepath: the folder.
        kind: what it holds: "encoder", "pretraining" (all that pre-training trained, and its teacher) or "recognizer"
            (with its charset).
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        kind: Literal["encoder", "pretraining", "recognizer"],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if kind not in ("encoder", "pretraining", "recognizer"):
            raise DatasetError(f"kind = {kind!r} is no kind of model: choose encoder, pretraining or recognizer")
        super().__init__(filepath=filepath, metadata=metadata)
        self._kind = kind

    def load(self) -> nn.Module:
        """The model, on the CPU."""
        from lmim_kedro.models import weights

        try:
            return getattr(weights, f"load_{self._kind}")(self.path)
        except InputError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: nn.Module) -> None:
        """Write weights and config; each file appears whole or not at all."""
        from lmim_kedro.models import weights

        weights.save_model(self.path, data)

    def preview(self) -> dict[str, Any]:
        """The config, for Kedro-Viz."""
        config = json.loads((self.path / "config.json").read_text("utf-8"))
        characters = config.get("charset", {}).get("characters", "")
        if len(characters) > 100:
            config["charset"]["characters"] = characters[:100] + f"... {len(characters)} in all"
        return config

    def _exists(self) -> bool:
        return (self.path / "config.json").is_file() and (self.path / "model.safetensors").is_file()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"kind": self._kind}
