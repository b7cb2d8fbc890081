"""The charset of a recognizer, from the labels to its folder."""

import logging
from contextlib import contextmanager
from dataclasses import fields, make_dataclass
from types import SimpleNamespace

import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.models import weights
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.folder import require_charset
from lmim_kedro.training import launch
from lmim_kedro.training.finetuning import finetune
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.loop import Interrupted
from lmim_kedro.training.ranks import Ranks


def test_a_charset_from_the_labels_goes_into_the_log_and_the_folder(store, size, recipe_of, training, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lmim_kedro")
    store._labels[:3] = ["Ünder", "", "banana"]
    recipe = recipe_of(charset="from_labels")
    recognizer, _ = finetune(store, Encoder(size), recipe, training, tmp_path / "state")
    weights.save_model(tmp_path / "recognizer", recognizer)
    back = weights.load_recognizer(tmp_path / "recognizer")
    assert back.charset.characters == "".join(sorted("Ünderab"))
    assert back.labels == {"usable": 38, "empty": 1, "too_long": 1, "unknown": {}}
    assert any("charset from the labels: 7 characters: a b d e n r Ü" in line for line in caplog.messages)


def test_unknown_characters_are_in_the_log_and_with_the_recognizer(store, size, recipe_of, training, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lmim_kedro")
    store._labels[:2] = ["aé", "éb"]
    recipe = recipe_of(charset="english_36")
    recognizer, _ = finetune(store, Encoder(size), recipe, training, tmp_path / "state")
    assert recognizer.labels["unknown"] == {"é": 2}
    assert any("2 characters outside the charset: é" in line for line in caplog.messages)


@pytest.fixture
def launched(training, monkeypatch):
    """Settings of several processes, with which their work is done here and by one."""

    @contextmanager
    def alone(device):
        yield Ranks(device)

    jobs = []
    monkeypatch.setattr(Job, "write", lambda job, path: jobs.append(job))
    monkeypatch.setattr(Job, "read", classmethod(lambda cls, path: jobs[-1]))
    monkeypatch.setattr(launch, "joined", alone)
    monkeypatch.setattr(launch, "elastic_launch", lambda config, work: work)
    return training.model_copy(update={"devices": 2})


def test_what_was_found_in_the_labels_comes_back_from_several_processes(store, size, recipe_of, launched, tmp_path):
    store._labels[:2] = ["aé", "éb"]
    recipe = recipe_of(charset="english_36")
    recognizer, _ = finetune(store, Encoder(size), recipe, launched, tmp_path / "state")
    assert recognizer.labels["unknown"] == {"é": 2}


def test_a_torch_without_a_shutdown_timeout_is_given_none(store, size, recipe_of, launched, monkeypatch, tmp_path):
    names = [field.name for field in fields(launch.LaunchConfig) if field.name != "shutdown_timeout"]
    older = make_dataclass("Older", [(name, object, None) for name in names])
    monkeypatch.setattr(launch, "LaunchConfig", older)
    recipe = recipe_of(charset="english_36")
    _, metrics = finetune(store, Encoder(size), recipe, launched, tmp_path / "state")
    assert len(metrics) == 12
    job = Job("fine-tuning", store, recipe, launched, tmp_path)
    assert "shutdown-timeout" not in launch._others(job)
    monkeypatch.setattr(launch, "LaunchConfig", make_dataclass("Newer", [*names, "shutdown_timeout"]))
    assert "--shutdown-timeout=110 --module" in launch._others(job)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_frozen_encoder_stays_as_it_is_however_many_processes_train(
    processes, store, size, recipe_of, training, launched, tmp_path
):
    recipe = recipe_of(charset="english_36", freeze_encoder=True)
    encoder = Encoder(size)
    given = launched if processes == 2 else training
    recognizer, _ = finetune(store, encoder, recipe, given, tmp_path / "state")
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(recognizer.encoder.state_dict()[name], tensor), name


def test_a_process_that_was_asked_to_stop_is_no_failure():
    said = {"message": "Interrupted: pre-training was stopped"}
    error = SimpleNamespace(get_first_failure=lambda: (0, SimpleNamespace(message=said)))
    found = launch._failure(SimpleNamespace(stage="pre-training"), error)
    assert type(found) is Interrupted and str(found) == "pre-training was stopped"


def test_labels_that_all_are_unusable_end_in_a_sentence(store, size, recipe_of, training, tmp_path):
    store._labels[:] = [""] * len(store)
    recipe = recipe_of(charset="from_labels")
    with pytest.raises(InputError, match="no label can be learned from"):
        finetune(store, Encoder(size), recipe, training, tmp_path / "state")


def test_another_charset_than_the_recognizers_is_refused_with_the_difference(
    store, size, recipe_of, training, tmp_path
):
    recipe = recipe_of(charset="english_36")
    recognizer, _ = finetune(store, Encoder(size), recipe, training, tmp_path / "state")
    weights.save_model(tmp_path / "recognizer", recognizer)
    require_charset(tmp_path / "recognizer", "english_36")
    require_charset(tmp_path / "recognizer", "from_labels")
    with pytest.raises(InputError, match=r"36 characters here, 94 there; only there: ! "):
        require_charset(tmp_path / "recognizer", "english_94")
