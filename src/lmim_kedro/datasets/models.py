"""Models in the catalog."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kedro.io import AbstractDataset, DatasetError
from safetensors import safe_open

from lmim_kedro.datasets import JSONPreview
from lmim_kedro.datasets.path import AtPath
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json

if TYPE_CHECKING:
    from torch import nn


_CHARACTERS = 100
"""Of a charset, in the preview."""


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

    def preview(self, **beside: dict[str, str]) -> JSONPreview:
        """Size and config of the model, and what the JSON files beside it say.

        Args:
            beside: title -> {filepath: of a JSON file}; those that are not there yet are left out.
        """
        config = read_json(self.path / "config.json")
        characters = config.get("charset", {}).get("characters", "")
        if len(characters) > _CHARACTERS:
            config["charset"]["characters"] = characters[:_CHARACTERS] + f"... {len(characters)} in all"
        weights = self.path / "model.safetensors"
        with safe_open(weights, "numpy") as file:
            parameters = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        size = {"parameters": parameters, "megabytes": round(weights.stat().st_size / 1e6, 1)}
        files = {title: Path(where["filepath"]) for title, where in beside.items()}
        found = {title: read_json(file) for title, file in files.items() if file.is_file()}
        return JSONPreview(json.dumps({"size": size} | found | {"config": config}))

    def _exists(self) -> bool:
        return (self.path / "config.json").is_file() and (self.path / "model.safetensors").is_file()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"kind": self._kind}
