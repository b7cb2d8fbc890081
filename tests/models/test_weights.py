"""Weights in and out: our layout, the released ones, and what is refused."""

import argparse
import os
import random
from contextlib import suppress

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS
from lmim_kedro.models import released, weights
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, RecognizerParams
from lmim_kedro.recipe import Recipe, up_to_date
from lmim_kedro.text.charset import Charset

ENGLISH = Charset.named("english_94")


def same_tensors(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_our_models_come_back_from_their_folders(tmp_path, released_size, columns_size, stem_size, recipe):
    recognizer = Recognizer(columns_size, Charset("abc", fold_case=True), "ctc", 12)
    weights.save_model(tmp_path / "recognizer", recognizer)
    back = weights.load_recognizer(tmp_path / "recognizer")
    assert same_tensors(recognizer, back)
    assert (back.charset, back.decoder_name, back.max_length) == (recognizer.charset, "ctc", 12)
    stem = LMIM(stem_size, recipe, Encoder(stem_size))
    weights.save_model(tmp_path / "stem", stem)
    back = weights.load_pretraining(tmp_path / "stem")
    assert same_tensors(stem, back) and back.model == stem_size
    lmim = LMIM(released_size, recipe, Encoder(released_size))
    weights.save_model(tmp_path / "lmim", lmim)
    assert same_tensors(lmim, weights.load_pretraining(tmp_path / "lmim"))
    weights.save_model(tmp_path / "encoder", lmim.encoder)
    assert same_tensors(lmim.encoder, weights.load_encoder(tmp_path / "encoder"))


def test_the_released_layouts_survive_export_and_import(tmp_path, released_size, recipe):
    lmim = LMIM(released_size, recipe, Encoder(released_size))
    released.export_released(lmim, tmp_path / "lmim.pth")
    back, imported = released.import_lmim(tmp_path / "lmim.pth", released_size, recipe)
    assert same_tensors(lmim, back) and "nothing ignored" not in imported.sentence()
    recognizer = Recognizer(released_size, ENGLISH)
    released.export_released(recognizer, tmp_path / "recognizer.pth")
    assert same_tensors(
        recognizer, released.import_recognizer(tmp_path / "recognizer.pth", released_size, ENGLISH, 25)[0]
    )
    released.export_released(lmim.encoder, tmp_path / "maerec.pth")
    assert same_tensors(lmim.encoder, released.import_encoder(tmp_path / "maerec.pth", released_size)[0])


def test_an_exported_file_has_the_released_names(tmp_path, released_size, recipe):
    released.export_released(LMIM(released_size, recipe, Encoder(released_size)), tmp_path / "lmim.pth")
    names = released.read_checkpoint(tmp_path / "lmim.pth").keys()
    for name in (
        "mask_token",
        "decoder_pos_embed",
        "model_maeenc.pos_embed",
        "model_maeenc_momentum.blocks.1.attn.qkv.bias",
        "decoder_embed2.weight",
        "decoder_blocks.0.multihead_attn.in_proj_weight",
        "decoder_pred.bias",
    ):
        assert name in names
    released.export_released(Recognizer(released_size, ENGLISH), tmp_path / "recognizer.pth")
    names = released.read_checkpoint(tmp_path / "recognizer.pth").keys()
    for name in ("pos_embed", "patch_embed.proj.weight", "encoder.pos_embed", "linear_norm.0.weight"):
        assert name in names
    assert released.read_checkpoint(tmp_path / "recognizer.pth")["decoder.position_enc.position_table"].shape == (
        1,
        200,
        32,
    )


def test_student_and_teacher_of_a_pretraining_checkpoint_are_told_apart(tmp_path, released_size, recipe):
    lmim = LMIM(released_size, recipe, Encoder(released_size))
    released.export_released(lmim, tmp_path / "lmim.pth")
    student, imported = released.import_encoder(tmp_path / "lmim.pth", released_size)
    teacher, _ = released.import_encoder(tmp_path / "lmim.pth", released_size, part="teacher")
    assert same_tensors(student, lmim.encoder) and same_tensors(teacher, lmim.teacher)
    assert not same_tensors(student, teacher)
    assert any(name.startswith("model_maeenc_momentum.") for name in imported.ignored)


def test_weights_of_another_size_are_refused_with_the_names(tmp_path, released_size):
    released.export_released(Encoder(released_size), tmp_path / "maerec.pth")
    deeper = released_size.model_copy(update={"depth": 3})
    with pytest.raises(InputError, match=r"missing: .*blocks\.\*\.norm1\.weight.*check the model preset"):
        released.import_encoder(tmp_path / "maerec.pth", deeper)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"depth": 1}, r"left over: blocks\.\*\.attn\.proj\.bias, blocks\.\*\.attn\.proj\.weight"),
        ({"mlp_ratio": 2.0}, r"fit the model \(other shape: blocks\.\*\.mlp\.fc1\.bias is \(96,\), not \(48,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(changes, sentence, tmp_path, released_size):
    weights.save_model(tmp_path, Encoder(released_size))
    tensors = load_file(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=sentence):
        weights.load_strictly(Encoder(released_size.model_copy(update=changes)), tensors, "a file")


def test_a_long_list_of_names_is_cut_after_twelve():
    assert weights.grouped("abcdefghijkl") == list("abcdefghijkl")
    assert weights.grouped("abcdefghijklmn")[11:] == ["l", "and 2 more"]


def test_an_encoder_of_this_project_is_taken_in_if_its_sizes_are_the_wanted_ones(tmp_path, released_size):
    encoder = Encoder(released_size)
    weights.save_model(tmp_path, encoder)
    back, imported = released.import_encoder(tmp_path, released_size)
    assert same_tensors(encoder, back)
    assert imported.sentence() == f"{tmp_path}: this project's encoder, 29 tensors loaded; nothing ignored"
    with pytest.raises(
        InputError, match=r"other sizes than the model in use \(heads 3, not 2\): choose the `model` that"
    ):
        released.import_encoder(tmp_path, released_size.model_copy(update={"heads": 2}))


def test_what_maerec_carries_beside_the_encoder_is_ignored_by_name(tmp_path, released_size):
    encoder = Encoder(released_size)
    released.export_released(encoder, tmp_path / "maerec.pth")
    tensors = released.read_checkpoint(tmp_path / "maerec.pth")
    tensors |= {"mask_token": torch.zeros(1, 1, 32), "decoder_embed.weight": torch.zeros(32, 24)}
    torch.save({"model": tensors}, tmp_path / "maerec.pth")
    back, imported = released.import_encoder(tmp_path / "maerec.pth", released_size)
    assert same_tensors(encoder, back) and imported.loaded == len(encoder.state_dict())
    assert imported.ignored == ["decoder_embed.weight", "mask_token", "pos_embed"]


def test_the_encoder_of_a_released_recognizer_is_taken_alone(tmp_path, released_size):
    recognizer = Recognizer(released_size, ENGLISH)
    released.export_released(recognizer, tmp_path / "recognizer.pth")
    encoder, imported = released.import_encoder(tmp_path / "recognizer.pth", released_size, part="teacher")
    assert same_tensors(encoder, recognizer.encoder) and "decoder.classifier.weight" in imported.ignored


def test_sizes_are_told_from_the_tensors(tmp_path, recipe):
    wide = RecognizerParams(width=160, depth=3, heads=2, ffn=40)
    size = ModelParams(
        patch_height=8, patch_width=8, width=128, depth=3, heads=2, mlp_ratio=2.0, position_grid="square"
    )
    size = size.model_copy(update={"decoder_width": 64, "decoder_depth": 4, "decoder_heads": 2, "decoder_ffn": 72})
    released.export_released(LMIM(size, recipe, Encoder(size)), tmp_path / "lmim.pth")
    tensors = released.read_checkpoint(tmp_path / "lmim.pth")
    assert released.sizes(tensors, "lmim_pretraining") == size
    assert released.sizes(tensors, "lmim_pretraining", heads=4) == size.model_copy(update={"heads": 4})
    size = size.model_copy(update={"recognizer": wide})
    released.export_released(Recognizer(size, ENGLISH), tmp_path / "recognizer.pth")
    found = released.sizes(released.read_checkpoint(tmp_path / "recognizer.pth"), "lmim_recognizer")
    assert (found.depth, found.heads, found.recognizer.model_dump(exclude={"dropout"})) == (
        3,
        2,
        wide.model_dump(exclude={"dropout"}),
    )


def test_another_charset_is_refused(tmp_path, released_size):
    released.export_released(Recognizer(released_size, ENGLISH), tmp_path / "recognizer.pth")
    with pytest.raises(InputError, match="97 classes and the charset 39"):
        released.import_recognizer(tmp_path / "recognizer.pth", released_size, Charset.named("english_36"), 25)


def test_another_position_grid_is_refused(tmp_path, released_size):
    released.export_released(Encoder(released_size), tmp_path / "maerec.pth")
    with pytest.raises(InputError, match="position embedding"):
        released.import_encoder(tmp_path / "maerec.pth", released_size.model_copy(update={"position_grid": "layout"}))


class Harm:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm_was_done",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {}, "args": Harm()}, "bad.pth")
    with pytest.raises(InputError, match="cannot be read|not a checkpoint that can be read safely"):
        released.read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "harm_was_done").exists()


def test_files_that_are_no_checkpoints_get_a_sentence(tmp_path):
    with pytest.raises(InputError, match="there is no checkpoint at"):
        released.read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="is a folder, and a checkpoint file was expected"):
        released.read_checkpoint(tmp_path)
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="not a checkpoint"):
        released.read_checkpoint(tmp_path / "text.pth")
    torch.save({"model": {"conv1.weight": torch.zeros(1)}, "args": argparse.Namespace()}, tmp_path / "resnet.pth")
    tensors = released.read_checkpoint(tmp_path / "resnet.pth")
    with pytest.raises(InputError, match=r"conv1\.weight: of no known layout"):
        released.layout_of(tensors, tmp_path / "resnet.pth")
    for content in ([tensors], {"state_dict": tensors}, {"model": {"epoch": 3}}, {"model": [tensors["conv1.weight"]]}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(InputError, match="holds no dictionary of tensors under 'model'"):
            released.read_checkpoint(tmp_path / "other.pth")
    for name in ("cls_token", "blocks.0.attn.qkv.weight"):  # a ViT that is not MAERec's
        with pytest.raises(InputError, match="of no known layout"):
            released.layout_of({name: torch.zeros(1)}, tmp_path / "vit.pth")


@pytest.mark.parametrize("changes", [{"target": "pixel"}, {"guidance": False}])
def test_a_pretraining_model_without_teacher_or_guidance_has_no_released_layout(
    changes, tmp_path, released_size, recipe
):
    recipe = recipe.model_copy(update=changes)
    lmim = LMIM(released_size, recipe, None if "target" in changes else Encoder(released_size))
    with pytest.raises(InputError, match="holds a guidance branch and a teacher; this model lacks one"):
        released.export_released(lmim, tmp_path / "x.pth")


def test_a_checkpoint_of_another_layout_than_is_asked_for_is_refused(tmp_path, released_size, recipe):
    released.export_released(Encoder(released_size), tmp_path / "maerec.pth")
    with pytest.raises(InputError, match="has the maerec layout: give a released LMIM pre-training checkpoint"):
        released.import_lmim(tmp_path / "maerec.pth", released_size, recipe)
    with pytest.raises(InputError, match="has the maerec layout: give a released LMIM recognizer checkpoint"):
        released.import_recognizer(tmp_path / "maerec.pth", released_size, ENGLISH, 25)


@pytest.mark.parametrize(
    "change", [{"input": "gray"}, {"patch_overlap": 1}, {"position_grid": "layout"}, {"stem": ((8, 2, 2),)}]
)
def test_a_model_that_the_released_code_cannot_express_is_not_exported(change, tmp_path, released_size):
    with pytest.raises(InputError, match="square position grid only"):
        released.export_released(Encoder(released_size.model_copy(update=change)), tmp_path / "x.pth")


def test_a_ctc_recognizer_is_not_exported(tmp_path, released_size):
    with pytest.raises(InputError, match="no CTC head"):
        released.export_released(Recognizer(released_size, ENGLISH, "ctc"), tmp_path / "x.pth")


def test_a_damaged_folder_and_a_wrong_kind_get_a_sentence(tmp_path, released_size):
    weights.save_model(tmp_path / "encoder", Encoder(released_size))
    with pytest.raises(InputError, match="kind 'encoder', and 'recognizer' is wanted"):
        weights.load_recognizer(tmp_path / "encoder")
    tensors = tmp_path / "encoder" / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        weights.load_encoder(tmp_path / "encoder")


def test_fixed_tables_are_not_stored(tmp_path, released_size):
    weights.save_model(tmp_path, Encoder(released_size))
    assert "pos_embed" not in load_file(tmp_path / "model.safetensors")


def test_models_and_recipes_of_earlier_versions_are_read(tmp_path, columns_size, recipe):
    lmim = LMIM(columns_size, recipe.model_copy(update={"method": "mim"}))
    weights.save_model(tmp_path, lmim)
    written = (tmp_path / "config.json").read_text()
    assert '"input": "gray"' in written and '"optimization"' in written
    (tmp_path / "config.json").write_text(written.replace('"gray"', '"grey"').replace("optimization", "optimisation"))
    (tmp_path / SUMS).unlink()  # they had none
    back = weights.load_pretraining(tmp_path)
    assert same_tensors(lmim, back)
    assert (back.model, back.pretraining) == (lmim.model, lmim.pretraining)
    steps = back.pretraining.optimization.model_dump()
    given = {"variant": "mim", "env": "test", "seed": 0, "model_name": "tiny", "views_name": "none", "views": {}}
    now = given | {"model": back.model, "pretraining": back.pretraining, "finetuning": {"optimization": steps}}
    before = now | {"model": {**back.model.model_dump(), "input": "grey"}, "finetuning": {"optimisation": steps}}
    assert Recipe(**before) == Recipe.model_validate(before) == Recipe(**now)


def test_only_names_of_parameters_are_brought_up_to_date():
    saved = {"charset": {"characters": "grey"}, "labels": {"unknown": {"input": 3}}, "teacher": {"optimisation": None}}
    assert up_to_date(saved) == saved | {"teacher": {"optimization": None}}
    assert "optimisation" in saved["teacher"]


def test_a_flipped_bit_anywhere_in_a_folder_is_noticed(tmp_path, columns_size):
    weights.save_model(tmp_path, Recognizer(columns_size, Charset("ab"), "ctc"))
    draw = random.Random(0)
    for name in ("model.safetensors", "config.json", SUMS):
        path = tmp_path / name
        whole = path.read_bytes()
        for _ in range(20):
            data = bytearray(whole)
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            with pytest.raises(InputError, match=r"(config.json|model.safetensors) in .* not what was saved there"):
                weights.load_recognizer(tmp_path)
        path.write_bytes(whole)
    assert weights.load_recognizer(tmp_path).charset.characters == "ab"


def test_weights_of_one_model_beside_the_config_of_another_are_refused(tmp_path, columns_size):
    for name in ("one", "other"):
        weights.save_model(tmp_path / name, Recognizer(columns_size, Charset("ab"), "ctc"))
    (tmp_path / "other/model.safetensors").replace(tmp_path / "one/model.safetensors")
    with pytest.raises(
        InputError, match="^model.safetensors in .*/one is not what was saved there, .* or of another model"
    ):
        weights.load_recognizer(tmp_path / "one")
    with pytest.raises(InputError, match="/one is not what was saved there"):
        released.import_encoder(tmp_path / "one", columns_size)


def test_a_folder_without_checksums_is_of_an_earlier_version_and_is_read(tmp_path, columns_size):
    weights.save_model(tmp_path, Recognizer(columns_size, Charset("ab"), "ctc"))
    (tmp_path / SUMS).unlink()
    assert weights.load_recognizer(tmp_path).origin == weights.Origin()


def test_a_full_disk_is_a_sentence_and_the_model_before_stays(tmp_path, columns_size, monkeypatch):
    module = Recognizer(columns_size, Charset("ab"), "ctc")
    weights.save_model(tmp_path, module)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_room(tensors, path):
        with suppress(OSError):
            path.write_bytes(b"some of it")
        raise SafetensorError("Error while serializing: I/O error")

    monkeypatch.setattr(weights, "save_file", no_room)
    with pytest.raises(SafetensorError):
        weights.save_model(tmp_path, module)

    def no_room_at_all(tensors, path):
        path.symlink_to("/dev/full")
        no_room(tensors, path)

    monkeypatch.setattr(weights, "save_file", no_room_at_all)
    with pytest.raises(InputError, match=r"^the disk of .* became full while model.safetensors was written: make room"):
        weights.save_model(tmp_path, module)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
