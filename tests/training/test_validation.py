"""Held-out crops: which they are, what is measured on them, and that the best step is the result."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lmim_kedro import open_source, prepare
from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.store.packed import PackedStore, exclude
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import IngestParams, ValidationParams
from lmim_kedro.reading.reader import read_store
from lmim_kedro.recipe import Recipe
from lmim_kedro.scoring.metrics import score
from lmim_kedro.training import loop
from lmim_kedro.training.finetuning import choose_charset, finetune
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.loop import Interrupted, fit
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.temperature import fit_temperature
from lmim_kedro.training.validation import Validation, hold_out, labels_in_use


def picture(number: int) -> np.ndarray:
    """Noise on one side: the right one of crops with the first label."""
    small = np.random.default_rng(number).integers(0, 256, (5, 15, 3), np.uint8)
    small[:, 8:] = 128
    small = small if number % 2 else small[:, ::-1]
    return cv2.resize(small, (60, 20))


def packed(folder: Path, *names: str, copies: int = 0, turned: bool = False, labels: tuple[str, str] = ("ab", "ba")):
    """A store of sources of 20 crops each, each crop followed by that many copies in other bytes."""
    sources = []
    for place, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        lines = []
        for number in range(20):
            for copy in range(copies + 1):
                file = f"{number:02d}-{copy}.png"
                cv2.imwrite(
                    str(folder / name / file), picture(100 * place + number), [cv2.IMWRITE_PNG_COMPRESSION, copy]
                )
                lines.append(f"{file}\t{labels[number % 2]}\n")
        (folder / name / "gt.txt").write_text("".join(reversed(lines) if turned else lines))
        sources.append(open_source(name, {"path": str(folder / name / "gt.txt")}))
    return prepare(sources, IngestParams(workers=1), folder / "crops", need_labels=True)


def contents(store: PackedStore, places: np.ndarray) -> set[bytes]:
    return set(store.fetch(places.tolist()))


@dataclass(frozen=True)
class Places:
    """Some crops of a store."""

    store: PackedStore
    places: np.ndarray

    def __len__(self):
        return len(self.places)

    def fetch(self, indices):
        return self.store.fetch(self.places[indices])

    def labels(self, indices):
        return self.store.labels(self.places[indices])


READ_ALL = {"height": 32, "width": 128, "batch_size": 8, "seed": 0, "shuffle": False, "drop_last": False}


@pytest.fixture
def words(tmp_path) -> PackedStore:
    return packed(tmp_path, "words", "signs")


@pytest.fixture
def validated(recipe_of, optimization):
    def make(optimization=optimization, decoder="ctc", **validation) -> Recipe:
        return recipe_of(optimization=optimization, decoder=decoder, charset="english_36", validation=validation)

    return make


def test_a_share_is_held_out_by_what_crops_look_like_and_not_by_their_order(tmp_path):
    first, second = packed(tmp_path / "a", "words"), packed(tmp_path / "b", "words", turned=True)
    held, trained = hold_out(first, ValidationParams(share=0.25))
    assert len(held) == 5 and sorted([*held, *trained]) == list(range(20))
    assert contents(first, held) == contents(second, hold_out(second, ValidationParams(share=0.25))[0])
    more = hold_out(first, ValidationParams(share=0.5))[0]
    assert len(more) == 10 and set(held) < set(more)
    assert len(hold_out(first, ValidationParams(share=0.001))[0]) == 1
    assert held.tolist() != list(range(5))


def test_copies_of_a_crop_are_held_out_together(tmp_path):
    store = packed(tmp_path, "words", copies=2)
    held, trained = hold_out(store, ValidationParams(share=0.25))
    assert len(contents(store, np.arange(60))) > 20  # the bytes of copies differ
    assert len(held) == 15 and set(held // 3).isdisjoint(trained // 3)


def test_whole_sources_are_held_out_and_copies_of_their_crops_are_not_trained_on(tmp_path):
    store = packed(tmp_path, "words", "signs")
    held, trained = hold_out(store, ValidationParams(sources=("signs",)))
    assert held.tolist() == list(range(20, 40)) and trained.tolist() == list(range(20))
    for number in (3, 4):
        cv2.imwrite(str(tmp_path / "signs" / f"{number:02d}-0.png"), picture(number))
    sources = [open_source(name, {"path": str(tmp_path / name / "gt.txt")}) for name in ("words", "signs")]
    store = prepare(sources, IngestParams(workers=1), tmp_path / "again", need_labels=True)
    held, trained = hold_out(store, ValidationParams(sources=("signs",)))
    assert len(held) == 20 and trained.tolist() == [place for place in range(20) if place not in (3, 4)]


def test_crops_that_are_left_out_are_neither_held_out_nor_trained_on(tmp_path):
    store = packed(tmp_path, "words")
    held, _ = hold_out(store, ValidationParams(share=0.25))
    before = [store.fetch([place])[0] for place in held[1:].tolist()]
    fewer = exclude(store, pd.DataFrame({"store_index": [held[0], held[0] - 1], "reason": "leak"}))
    held, trained = hold_out(fewer, ValidationParams(share=0.2))
    assert len(held) + len(trained) == 18 and set(before) & contents(fewer, held)
    assert len(contents(fewer, held) - set(before)) <= 1


def test_a_share_of_the_labels_is_drawn_by_content_and_seed(tmp_path):
    first, second = packed(tmp_path / "a", "words"), packed(tmp_path / "b", "words", turned=True)
    few, more = labels_in_use(first, 0.25, seed=1), labels_in_use(first, 0.5, seed=1)
    assert len(few) == 5 and len(more) == 10 and set(few) < set(more)
    assert contents(first, few) == contents(second, labels_in_use(second, 0.25, seed=1))
    assert few.tolist() != labels_in_use(first, 0.25, seed=2).tolist()
    assert few.tolist() != hold_out(first, ValidationParams(share=0.25))[0].tolist()
    assert labels_in_use(first, None, seed=1).tolist() == list(range(20))
    copied = packed(tmp_path / "c", "words", copies=2)
    assert len(set(labels_in_use(copied, 0.25, seed=1) // 3)) == 5


def test_only_labels_in_use_are_trained_on_held_out_and_give_characters(
    size, validated, training, tmp_path, monkeypatch
):
    words = packed(tmp_path, "words", "signs")
    seen = []
    step = loop._Run._step
    monkeypatch.setattr(
        loop._Run, "_step", lambda run, batch, *more: seen.extend(batch.index) or step(run, batch, *more)
    )
    recipe = validated(share=0.25)
    some = recipe.model_copy(update={"finetuning": recipe.finetuning.model_copy(update={"label_share": 0.5})})
    recognizer, _ = finetune(words, Encoder(size), some, training, tmp_path / "state")
    in_use = set(labels_in_use(words, 0.5, recipe.seed))
    held, trained = map(set, hold_out(words, recipe.finetuning.validation))
    assert {int(place) for place in seen} == in_use & trained
    assert recognizer.labels["held_out"] == len(in_use & held) > 0 and recognizer.labels["usable"] == 20
    one = packed(tmp_path / "one", "words", labels=("ab", "yz"))
    few = validated().model_copy(
        update={"finetuning": recipe.finetuning.model_copy(update={"charset": "from_labels", "label_share": 0.01})}
    )
    assert choose_charset(one, few).characters in ("ab", "yz")


def test_a_source_that_is_not_there_is_refused_with_those_that_are(words):
    with pytest.raises(InputError, match="names 'sings' .did you mean `signs`.., but .* are words, signs: name one"):
        hold_out(words, ValidationParams(sources=("sings",)))


def test_labels_that_the_metric_cannot_compare_are_refused(tmp_path):
    store = packed(tmp_path, "words", labels=("!", "?!"))
    loader = CropLoader(store, height=32, width=128, batch_size=8, seed=0, shuffle=False, drop_last=False)
    with pytest.raises(InputError, match="none of the 20 held-out labels can be scored by WAICS: hold out others"):
        Validation(ValidationParams(share=0.5), loader)
    Validation(ValidationParams(share=0.5, metric="exact"), loader)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_the_result_reads_the_held_out_crops_as_well_as_the_table_says(
    ema, size, optimization, validated, training, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "lmim_kedro")
    words = packed(tmp_path, "words", "signs", labels=("a", "b"))
    longer = optimization.model_copy(update={"steps": 45, "base_learning_rate": 0.2, "ema": ema})
    recipe = validated(longer, "autoregressive", share=0.25, every=15)
    torch.manual_seed(0)
    recognizer, metrics = finetune(words, Encoder(size), recipe, training, tmp_path / "state")
    measured = metrics.dropna(subset=["validation_waics"])
    assert measured["step"].tolist() == [15, 30, 45]
    held, trained = hold_out(words, recipe.finetuning.validation)
    read = read_store(recognizer, words, 7, torch.device("cpu")).iloc[held]
    accuracy = score(read["prediction"].tolist(), read["label"].tolist(), "waics").accuracy
    best = measured["validation_waics"].idxmax()
    assert accuracy == measured["validation_waics"][best] > 0
    assert score(read["prediction"].tolist(), read["label"].tolist(), "ned").accuracy == pytest.approx(
        measured["validation_ned"][best]
    )
    assert recognizer.labels["held_out"] == 10
    last = metrics.iloc[-1]
    found = fit_temperature(recognizer, CropLoader(Places(words, held), with_labels=True, **READ_ALL), "waics")
    for name in ("temperature", "calibration_error", "calibration_error_tempered"):
        assert found[name] == pytest.approx(last[name]) if found[name] is not None else np.isnan(last[name])
    assert recognizer.temperature == found["temperature"]
    assert "fine-tuning: 10 crops are held out, and 30 are trained on" in caplog.messages
    assert f"keeps the weights of step {measured['step'][best]} of 45: waics {accuracy:.4f} on 10 held" in caplog.text


def test_training_sees_no_held_out_crop(words, size, validated, training, tmp_path, monkeypatch):
    seen = []
    step = loop._Run._step
    monkeypatch.setattr(
        loop._Run, "_step", lambda run, batch, *more: seen.extend(batch.index) or step(run, batch, *more)
    )
    recipe = validated(share=0.25)
    finetune(words, Encoder(size), recipe, training, tmp_path / "state")
    assert {int(place) for place in seen} == set(hold_out(words, recipe.finetuning.validation)[1])


@dataclass
class Model:
    """A task whose one weight is the number of its steps."""

    module: nn.Module
    name: str = "fine-tuning"

    def loss(self, batch, epoch, forward):
        return {"loss": forward(torch.ones(1, 1)).sum()}


class Told(Validation):
    """A validation that is told what to measure, step by step, and keeps what it was shown."""

    def __init__(self, values, **params):
        self.values, self.shown = dict(values), []
        super().__init__(ValidationParams(share=0.5, **params), None)
        self.loader = range(4)

    def __post_init__(self):
        pass

    def measure(self, module):
        self.shown.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
        return {"waics": self.values[len(self.shown) * self.params.every], "ned": 0.5}


@pytest.fixture
def run(store, optimization, training, tmp_path):
    def train(validation, folder="state", ranks=None, settings=None, **changes):
        torch.manual_seed(0)
        module = nn.Linear(1, 1, bias=False)
        loader = CropLoader(store, height=32, width=128, batch_size=8, seed=1)
        chosen = optimization.model_copy(update=changes)
        state = StateFolder(tmp_path / folder, {"seed": 0}, 2)
        given = training.model_copy(update=settings or {})
        return module, fit(Model(module), loader, chosen, given, 0, state, ranks, validation)

    return train


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_first_of_the_best_steps_is_the_result_with_its_average_where_there_is_one(ema, run):
    told = Told({3: 0.25, 6: 0.75, 9: 0.75, 12: 0.5}, every=3)
    module, metrics = run(told, ema=ema)
    assert len(told.shown) == 4
    assert torch.equal(module.weight, told.shown[1]["module.weight" if "module.weight" in told.shown[1] else "weight"])
    assert not torch.equal(module.weight, told.shown[2]["weight"])
    last = run(None, folder="without", ema=ema)[0]
    assert torch.equal(told.shown[3]["weight"], last.weight)  # what would be the result without a validation
    column = metrics["validation_waics"]
    assert column.dropna().tolist() == [0.25, 0.75, 0.75, 0.5] and metrics["step"][column.notna()].tolist() == [
        3,
        6,
        9,
        12,
    ]


def test_training_takes_the_same_steps_whether_and_how_often_it_is_measured(run):
    without = run(None, folder="without")[1]
    assert not [name for name in without.columns if name.startswith("validation")]
    for every in (1, 12):
        _, metrics = run(Told(dict.fromkeys(range(1, 13), 0.5), every=every), folder=f"every {every}")
        assert metrics["loss"].tolist() == without["loss"].tolist()


def test_a_measured_step_has_a_row_wherever_it_lies_and_the_last_step_is_measured(run):
    told = Told({5: 0.1, 10: 0.2, 15: 0.3}, every=5)
    _, metrics = run(told, settings={"log_every": 4})
    assert metrics["step"].tolist() == [4, 5, 8, 10, 12]
    assert metrics["validation_waics"].notna().tolist() == [False, True, False, True, True]


def test_training_ends_when_its_patience_does(run, caplog):
    caplog.set_level(logging.INFO, "lmim_kedro")
    told = Told({2: 0.1, 4: 0.5, 6: 0.4, 8: 0.5, 10: 0.9}, every=2, patience=2)
    module, metrics = run(told)
    assert metrics["step"].iloc[-1] == 8
    assert torch.equal(module.weight, told.shown[1]["weight"])
    assert "fine-tuning keeps the weights of step 4 of 12, and ended at step 8: waics 0.5000 on 4 held-out crops" in (
        caplog.messages
    )
    # The same command again finds the result, and trains no further.
    again, rows = run(Told({}, every=2, patience=2))
    assert torch.equal(again.weight, module.weight) and rows["step"].iloc[-1] == 8


@pytest.mark.parametrize("values", [{3: 0.9, 6: 0.5, 9: 0.6, 12: 0.7}, {3: 0.3, 6: 0.5, 9: 0.9, 12: 0.7}])
def test_a_run_that_was_stopped_keeps_the_best_step_so_far(values, run, monkeypatch):
    whole, rows = run(Told(values, every=3), folder="whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_asked_to_stop", lambda run, stop: run.done == 7)
        with pytest.raises(Interrupted):
            run(Told(values, every=3))
    rest = Told({step - 6: value for step, value in values.items() if step > 6}, every=3)
    module, resumed = run(rest)
    assert len(rest.shown) == 2
    assert torch.equal(module.weight, whole.weight)
    columns = ["step", "loss", "validation_waics", "validation_ned"]
    pd.testing.assert_frame_equal(resumed[columns], rows[columns])


def test_patience_goes_on_where_a_run_was_stopped(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_asked_to_stop", lambda run, stop: run.done == 7)
        with pytest.raises(Interrupted):
            run(Told({3: 0.9, 6: 0.5}, every=3, patience=2))
    assert run(Told({3: 0.6}, every=3, patience=2))[1]["step"].iloc[-1] == 9


def test_processes_that_do_not_measure_are_told_and_keep_the_same_step(run):
    @dataclass(frozen=True)
    class Second(Ranks):
        rank: int = 1

        def told(self, value):
            return {"waics": 0.5, "ned": 0.5} if value is None else value

    told = Told({}, every=4)
    _, metrics = run(told, ranks=Second(torch.device("cpu")))
    assert told.shown == [] and metrics["validation_waics"].dropna().tolist() == [0.5] * 3
    assert (told.step, told.worse) == (4, 2)


def test_weights_that_are_not_finite_are_not_measured(run):
    with pytest.raises(InputError, match="a weight is not finite at step 3"):
        run(Told({}, every=3), base_learning_rate=float("inf"), settings={"log_every": 100})


def test_a_validation_that_is_off_is_no_part_of_what_must_be_the_same(store, validated, training, tmp_path):
    """So that a run that an earlier version stopped goes on."""

    def identity(recipe: Recipe) -> dict[str, Any]:
        return Job("fine-tuning", store, recipe, training, tmp_path).folder.recipe["finetuning"]

    assert "validation" not in identity(validated(every=7))
    assert identity(validated(share=0.1))["validation"]["share"] == 0.1
