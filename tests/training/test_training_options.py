"""What changes memory, speed and display, and leaves the losses as they are."""

import json
import time

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import TrainingParams, ViewPreset
from lmim_kedro.registries import LOGGERS
from lmim_kedro.training import monitor
from lmim_kedro.training.device import attention_kernel
from lmim_kedro.training.loop import fit
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

VIEWS = ViewPreset(rotate=15, crop_vertical=0.1, contrast=(0.5, 1.0), blur=(0.5, 1.5))


@pytest.fixture
def train(store, size, pretraining, optimization, training, tmp_path):
    def run(name, *, checkpointed=False, views=None, dropout=0.0, **changes):
        torch.manual_seed(0)
        model = LMIM(size.model_copy(update={"decoder_dropout": dropout}), pretraining, Encoder(size))
        model.encoder.checkpointed = checkpointed
        loader = CropLoader(store, height=32, width=128, batch_size=8, seed=1, views=views)
        task = PretrainingTask("pre-training", model, GuidanceViews(VIEWS), 5)
        given = training.model_copy(update={"precision": "fp32", **changes})
        return fit(task, loader, optimization, given, 0, StateFolder(tmp_path / name, {}, 2))

    return run


def test_a_batch_in_parts_gives_the_losses_of_a_whole_one(train):
    whole, parts = train("whole"), train("parts", accumulate=3)
    for column in ("loss", "reconstruction", "alignment"):
        assert np.allclose(whole[column], parts[column], rtol=1e-4), column


def test_activation_checkpointing_gives_the_same_losses_bit_for_bit(train):
    assert train("kept")["loss"].tolist() == train("again", checkpointed=True)["loss"].tolist()


def test_training_sees_materialized_views_where_there_are_some(train, store):
    class Mirror:
        """Every view is the crop itself, so alignment is that of a crop with itself."""

        def __len__(self):
            return 2 * len(store)

        def fetch(self, indices):
            asked.extend(indices)
            return store.fetch([index % len(store) for index in indices])

        def labels(self, indices):
            raise AssertionError("views have no labels")

    asked: list[int] = []
    drawn, stored = train("drawn"), train("stored", views=Mirror())
    assert stored["loss"].tolist() != drawn["loss"].tolist()
    first_epoch = asked[: 8 * 5]  # 40 crops, 5 batches an epoch
    assert max(first_epoch) < len(store)
    assert min(asked[8 * 5 : 8 * 10]) >= len(store)


def test_a_row_of_the_table_holds_the_means_of_its_steps(train):
    each, fours = train("each"), train("fours", log_every=4)
    assert fours["epoch"].tolist() == [0.8, 1.6, 2.4]
    for column in ("loss", "reconstruction", "alignment", "cls_std"):
        assert fours[column].tolist() == pytest.approx(each[column].to_numpy().reshape(3, 4).mean(1), rel=1e-5)
    crops = fours["crops_per_second"][1:] * fours["seconds"].diff()[1:]
    assert crops.tolist() == pytest.approx([4 * 8] * 2, rel=0.5)


def test_the_table_says_how_long_training_waited(train, store, monkeypatch):
    fetch = store.fetch

    def slowly(indices):
        time.sleep(0.2)
        return fetch(indices)

    monkeypatch.setattr(store, "fetch", slowly)
    waiting = train("waiting")["waiting"]
    assert waiting.between(0, 1).all() and waiting.mean() > 0.5


def test_tensorboard_that_is_not_installed_is_a_sentence(train, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[tensorboard\]'"):
        train("board", tensorboard=True)


class JsonLines:
    """A logger from outside: a line of JSON for each row."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.file = (folder / "rows.jsonl").open("w")
        self.close = self.file.close

    def write(self, step, row):
        print(json.dumps({**row, "step": step}), file=self.file)


def test_a_logger_from_outside_gets_the_rows_of_the_table(train, monkeypatch, tmp_path):
    monkeypatch.setattr(LOGGERS, "_entries", dict(LOGGERS._entries))
    LOGGERS.register("lines", JsonLines)
    table = train("lines", loggers=TrainingParams(loggers=["lines"]).loggers)
    lines = (tmp_path / "lines" / "pre-training" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == table.to_dict("records")


def test_a_logger_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValidationError, match="'tensorboard'"):
        TrainingParams(loggers=["tensorbord"])


def test_deterministic_algorithms_keep_to_attention_that_has_a_deterministic_backward_pass():
    gpu = torch.device("cuda")
    with attention_kernel(gpu, torch.bfloat16):
        assert torch.backends.cuda.cudnn_sdp_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with attention_kernel(gpu, torch.bfloat16):
            assert not torch.backends.cuda.cudnn_sdp_enabled() and torch.backends.cuda.flash_sdp_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_utilization_is_that_of_the_gpu_whose_name_fits_best(monkeypatch):
    assert monitor.peak_flops(torch.device("cpu")) is None
    names = {"NVIDIA H100 PCIe": 756e12, "NVIDIA H200": 989e12, "NVIDIA A100-SXM4-80GB": 312e12, "GeForce 210": None}
    for name, peak in names.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        assert monitor.peak_flops(torch.device("cuda")) == peak


def test_features_at_some_places_are_those_of_the_whole_crop(size):
    torch.manual_seed(0)
    encoder = Encoder(size).eval()
    images = torch.rand(3, 3, 32, 128) * 2 - 1
    places = torch.stack([torch.randperm(size.tokens)[:9] for _ in range(3)])
    whole = encoder(images)[:, 1:]
    assert torch.allclose(
        encoder.features_at(images, places), torch.stack([w[p] for w, p in zip(whole, places, strict=True)]), atol=1e-6
    )


def test_a_batch_splits_into_equal_parts_without_loss(store):
    batch = next(CropLoader(store, height=32, width=128, batch_size=8, seed=1, with_labels=True).epoch(0))
    parts = batch.split(3)
    assert [len(part.images) for part in parts] == [3, 3, 2]
    assert torch.cat([part.index for part in parts]).tolist() == batch.index.tolist()
    assert [label for part in parts for label in part.labels] == batch.labels
