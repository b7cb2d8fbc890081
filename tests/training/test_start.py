"""Fine-tuning from a whole recognizer: what comes along, for which characters, and what is refused."""

import logging

import pandas as pd
import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.released import export_released
from lmim_kedro.models.start import load_start, take_over
from lmim_kedro.models.weights import save_model
from lmim_kedro.registries import DECODERS
from lmim_kedro.text.charset import Charset
from lmim_kedro.training import finetuning as stage
from lmim_kedro.training.finetuning import finetune


@pytest.fixture
def untrained(monkeypatch):
    """Fine-tuning of no step: its result is what it started from."""
    monkeypatch.setattr(stage, "train", lambda job, module: (module, pd.DataFrame()))


@pytest.mark.parametrize("decoder", ["ctc", "autoregressive"])
def test_characters_that_stay_keep_their_rows_wherever_they_stand_and_new_ones_are_fresh(decoder, size):
    start, recognizer = (Recognizer(size, Charset(characters), decoder, 6) for characters in ("abcd", "xdbyz"))
    fresh = {name: tensor.clone() for name, tensor in recognizer.state_dict().items()}
    take_over(recognizer, start, "start")
    rows = {"ctc": ("classifier.weight", "classifier.bias")}.get(
        decoder, ("decoder.trg_word_emb.weight", "decoder.classifier.weight", "decoder.classifier.bias")
    )
    for name, tensor in recognizer.state_dict().items():
        old = start.state_dict()[name]
        if name in rows:
            assert torch.equal(tensor[[1, 2]], old[[3, 1]]), name  # d and b
            assert torch.equal(tensor[[0, 3, 4]], fresh[name][[0, 3, 4]]), name
            assert torch.equal(tensor[5:], old[4:]), name  # blank, or end, padding, unknown and start
        else:
            assert torch.equal(tensor, old), name


def test_upper_case_begins_with_the_row_that_it_was_written_with(size):
    start = Recognizer(size, Charset("abc", fold_case=True), "ctc")
    recognizer = Recognizer(size, Charset("CaAx"), "ctc")
    take_over(recognizer, start, "start")
    assert torch.equal(recognizer.head.classifier.weight[[0, 1, 2, 4]], start.head.classifier.weight[[2, 0, 0, 3]])
    other = Recognizer(size, Charset("CaAx"), "ctc")
    take_over(other, Recognizer(size, Charset("abc"), "ctc"), "start")
    assert not torch.equal(other.head.classifier.weight[1], other.head.classifier.weight[2])


def test_a_charset_of_the_same_size_in_another_order_is_another_charset(size):
    start, recognizer = (Recognizer(size, Charset(characters), "ctc") for characters in ("abc", "cab"))
    take_over(recognizer, start, "start")
    assert torch.equal(recognizer.head.classifier.bias, start.head.classifier.bias[[2, 0, 1, 3]])
    assert torch.equal(recognizer.head.classifier.weight, start.head.classifier.weight[[2, 0, 1, 3]])


def test_rows_of_a_head_from_outside_are_found_by_what_one_more_character_changes(size, monkeypatch):
    class Deep(DECODERS["ctc"]):
        def __init__(self, model, charset, max_length):
            super().__init__(model, charset, max_length)
            self.classifier = torch.nn.Sequential(torch.nn.Linear(model.width, model.width), self.classifier)

    monkeypatch.setattr(DECODERS, "_entries", {**DECODERS._entries, "deep": Deep})
    characters = "abcdefghijklmno"  # with the blank, as many symbols as the hidden layer has features
    start, recognizer = (Recognizer(size, Charset(order), "deep") for order in (characters, characters[::-1]))
    take_over(recognizer, start, "start")
    (hidden, rows), (old, before) = recognizer.head.classifier, start.head.classifier
    assert torch.equal(hidden.weight, old.weight)
    assert torch.equal(rows.weight, before.weight[[*range(14, -1, -1), 15]])


def test_fine_tuning_starts_from_the_whole_recognizer_and_the_log_says_which_characters_stay(
    store, size, recipe_of, training, tmp_path, untrained, caplog
):
    caplog.set_level(logging.INFO, "lmim_kedro")
    start = Recognizer(size, Charset("abé"), "ctc")
    save_model(tmp_path / "start", start)
    recipe = recipe_of(decoder="ctc", charset="from_labels", start=str(tmp_path / "start"))
    recognizer, _ = finetune(store, None, recipe, training, tmp_path / "state")
    assert recognizer.charset.characters == "ab"
    assert torch.equal(recognizer.head.classifier.weight, start.head.classifier.weight[[0, 1, 3]])
    for name, tensor in start.encoder.state_dict().items():
        assert torch.equal(recognizer.encoder.state_dict()[name], tensor), name
    assert f"fine-tuning starts from {tmp_path / 'start'}: this project's recognizer" in caplog.text
    assert "charset: 3 characters become 2: 2 stay, none new, 1 gone (é)" in caplog.messages


def test_the_charset_of_the_start_can_be_kept(store, size, recipe_of, training, tmp_path, untrained):
    start = Recognizer(size, Charset("bé", fold_case=True), "ctc")
    save_model(tmp_path / "start", start)
    recipe = recipe_of(decoder="ctc", charset="from_start", start=str(tmp_path / "start"))
    recognizer, _ = finetune(store, None, recipe, training, tmp_path / "state")
    assert recognizer.charset == start.charset
    assert all(torch.equal(recognizer.state_dict()[name], tensor) for name, tensor in start.state_dict().items())


def test_a_released_recognizer_is_a_start_and_its_charset_is_known_by_its_classes(
    released_size, recipe_of, store, training, tmp_path, untrained
):
    size = released_size.model_copy(update={"recognizer": released_size.recognizer})
    released = Recognizer(size, Charset.named("english_94"))
    export_released(released, tmp_path / "lmim_finetune.pth")
    recipe = recipe_of(model=size, start=str(tmp_path / "lmim_finetune.pth"), charset="english_36")
    recognizer, _ = finetune(store, None, recipe, training, tmp_path / "state")
    rows = [*range(36), *range(94, 97)]
    own = released.state_dict()["decoder.classifier.weight"]
    assert torch.equal(recognizer.state_dict()["decoder.classifier.weight"], own[rows])
    assert torch.equal(recognizer.encoder.cls_token, released.encoder.cls_token)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"decoder": "autoregressive"},
            "the recognizer .* has the decoder 'ctc', but .*: set finetuning.decoder to ctc",
        ),
        ({"model": {"width": 32}}, "other sizes than the model in use .width 16, not 32.: choose the `model`"),
        ({"start": "encoder"}, "holds a model of kind 'encoder', and 'recognizer' is wanted here"),
        ({"start": "maerec.pth"}, "the maerec layout, which holds no recognizer: name one, or fine-tune the encoder"),
        ({"start": "released.pth"}, "has the decoder 'autoregressive', .*: set finetuning.decoder to autoregressive"),
        ({"start": "released.pth", "decoder": "autoregressive"}, "has 5 classes, and no built-in charset has 2 char"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_parameter_to_set(
    changes, sentence, size, released_size, recipe_of, tmp_path
):
    save_model(tmp_path / "start", Recognizer(size, Charset("ab"), "ctc"))
    save_model(tmp_path / "encoder", Encoder(size))
    export_released(Encoder(released_size), tmp_path / "maerec.pth")
    export_released(Recognizer(released_size, Charset("ab")), tmp_path / "released.pth")
    asked = {"decoder": "ctc", "charset": "english_36", "start": "start"} | changes
    model = size.model_copy(update=asked.pop("model", {}))
    finetuning = recipe_of(model=model, **asked | {"start": str(tmp_path / asked["start"])}).finetuning
    with pytest.raises(InputError, match=sentence):
        load_start(finetuning, model)


def test_a_head_of_other_sizes_is_refused(size, recipe_of, store, training, tmp_path):
    save_model(tmp_path / "start", Recognizer(size, Charset("ab")))
    wider = size.model_copy(update={"recognizer": size.recognizer.model_copy(update={"ffn": 24})})
    recipe = recipe_of(model=wider, charset="english_36", start=str(tmp_path / "start"))
    with pytest.raises(InputError, match=r"do not fit the model \(other shape: .*mlp.w_1.bias is .16,., not .24,"):
        finetune(store, None, recipe, training, tmp_path / "state")


def test_fine_tuning_needs_something_to_start_from(recipe_of, store, training, tmp_path):
    with pytest.raises(InputError, match="nothing to start from: give an encoder, or set finetuning.start"):
        finetune(store, None, recipe_of(charset="english_36"), training, tmp_path / "state")


def test_the_encoder_stays_bit_for_bit_for_its_steps_and_learns_after_them(
    store, size, recipe_of, optimization, training, tmp_path
):
    encoder = Encoder(size)
    for steps, same in ((12, True), (11, False)):
        later = optimization.model_copy(update={"freeze_encoder_steps": steps})
        recipe = recipe_of(optimization=later, charset="english_36")
        recognizer, metrics = finetune(store, encoder, recipe, training, tmp_path / str(steps))
        after = recognizer.encoder.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in encoder.state_dict().items()) == same
        assert len(metrics) == 12 and metrics["learning_rate"].iloc[5] > 0
