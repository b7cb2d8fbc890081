"""The encoder: what it sees, and what it must not see."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.evaluation.attention import attention_maps
from lmim_kedro.models.encoder import Encoder, sincos_position, standardized_gray
from lmim_kedro.models.masking import split
from lmim_kedro.params import ModelParams


def test_the_papers_encoder_has_21_313_536_parameters():
    assert sum(parameter.numel() for parameter in Encoder(ModelParams()).parameters()) == 21_313_536


@pytest.mark.parametrize("size", ["released_size", "columns_size", "stem_size"])
def test_a_hidden_patch_does_not_leak_into_visible_ones(size, crops, request):
    model = request.getfixturevalue(size)
    encoder = Encoder(model).eval()
    parts = split(torch.rand(3, model.tokens), 0.75)
    hidden = parts.mask().view(3, 1, model.rows, model.columns)
    hidden = hidden.repeat_interleave(model.patch_height, 2).repeat_interleave(model.patch_width, 3)
    pixels = encoder.patch_embed.pixels(crops)
    changed = torch.where(hidden > 0, torch.randn_like(pixels), pixels)

    def visible(values: torch.Tensor) -> torch.Tensor:
        tokens = encoder.patch_embed(values, parts.removed)
        return torch.gather(tokens, 1, parts.kept[..., None].expand(-1, -1, model.width))

    assert torch.equal(visible(pixels), visible(changed))


def test_overlapping_patches_see_their_neighbors_when_nothing_is_hidden(columns_size, crops):
    embed = Encoder(columns_size).patch_embed
    pixels = embed.pixels(crops)
    changed = pixels.clone()
    changed[..., 64:68] += 1  # the pixels of column 16
    moved = (embed(pixels) != embed(changed)).any(-1).any(0)
    assert moved.nonzero().flatten().tolist() == [15, 16, 17]


def test_what_is_hidden_changes_no_feature_of_a_visible_column_in_training_either(stem_size, crops):
    encoder = Encoder(stem_size).train()
    parts = split(torch.rand(3, 32), 0.8)
    hidden = parts.mask().view(3, 1, 1, 32).repeat_interleave(4, 3) > 0
    encoder.patch_embed.pixels = lambda images: images[:, :1]  # gray as it is: standardizing looks at the whole crop
    seen = [encoder(torch.where(hidden, other, crops), parts.kept, parts.removed) for other in (crops, -crops, 9.0)]
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    whole = [encoder(torch.where(hidden, other, crops)) for other in (crops, -crops)]
    assert not torch.equal(*whole), "nothing was hidden, and still nothing changed"


def test_columns_of_a_stem_see_their_neighbors_and_no_further(stem_size, crops):
    embed = Encoder(stem_size).patch_embed
    pixels = embed.pixels(crops)
    changed = pixels.clone()
    changed[..., 64:68] += 1  # the pixels of column 16
    moved = (embed(pixels) != embed(changed)).any(-1).any(0)
    assert moved.nonzero().flatten().tolist() == [15, 16, 17, 18]  # strides look further left than right


@pytest.mark.parametrize("ratio", [0.0, 0.8])
def test_a_crop_has_the_features_in_training_that_it_has_alone_and_in_evaluation(ratio, stem_size, crops):
    encoder = Encoder(stem_size).train()
    parts = split(torch.rand(3, 32), ratio) if ratio else None
    given = (crops, parts.kept, parts.removed) if parts else (crops,)
    together = encoder(*given)
    for crop in range(3):
        alone = encoder(*(part[crop : crop + 1] for part in given))
        torch.testing.assert_close(alone[0], together[crop], atol=1e-5, rtol=1e-4)
    assert torch.equal(encoder.eval()(*given), together)


def test_a_stem_that_does_not_divide_the_patches_is_refused(stem_size):
    with pytest.raises(ValidationError, match="row of 6 and one column of 4, which do not divide patches of 32 x 4"):
        ModelParams(**stem_size.model_dump() | {"stem": [[8, 2, 2], [8, 3, 2]]})
    with pytest.raises(ValidationError, match="an overlap of 2: choose strides"):
        ModelParams(**stem_size.model_dump() | {"patch_overlap": 2})


def test_gray_input_is_the_same_for_inverted_and_for_darker_crops(crops):
    word = -torch.ones(1, 3, 32, 128)
    word[..., 10:20, 30:60] = 1.0
    gray = standardized_gray(word)
    torch.testing.assert_close(gray, standardized_gray(-word), atol=1e-4, rtol=0)
    torch.testing.assert_close(gray, standardized_gray(word * 0.5 - 0.2), atol=0.05, rtol=0.05)
    assert gray[0, 0, 15, 45] > 0


def test_gray_input_has_one_spread_whatever_the_contrast_and_a_flat_crop_stays_flat(crops):
    for contrast in (1.0, 0.5):
        gray = standardized_gray(crops * contrast)
        assert gray.mean((1, 2, 3)).abs().max() < 0.05
        assert gray.square().mean((1, 2, 3)).sqrt().tolist() == pytest.approx([1] * 3, abs=0.2)
    assert standardized_gray(torch.full((1, 3, 32, 128), 0.3)).abs().max() < 1e-3


def test_kept_patches_have_the_features_of_an_encoder_that_sees_only_them(released_size, crops):
    encoder = Encoder(released_size).eval()
    order = torch.randperm(256).expand(3, -1)
    shuffled = encoder(crops, order, order[:, :0])
    torch.testing.assert_close(shuffled[:, 1:], encoder(crops)[:, 1 + order[0]], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", ["released_size", "stem_size"])
def test_attention_rows_sum_to_one_and_are_those_the_features_are_made_with(size, crops, request):
    model = request.getfixturevalue(size)
    encoder = Encoder(model).eval()
    attention = encoder.attention(crops)
    assert attention.shape == (3, 1 + model.tokens, 1 + model.tokens)
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 1 + model.tokens))
    last = encoder.blocks[-1].attn
    seen = {}
    last.fused_attn = False
    last.attn_drop.register_forward_hook(lambda _module, inputs, _output: seen.update(attention=inputs[0]))
    encoder(crops)
    torch.testing.assert_close(attention, seen["attention"].mean(1), atol=1e-6, rtol=1e-4)


def test_attention_maps_show_what_their_own_query_patch_attends_to(released_size):
    encoder = Encoder(released_size)
    beside = torch.eye(257).roll(1, 1)  # every token attends to the one after it
    given = []
    encoder.attention = lambda images: given.append(images) or (0.5 * beside + 0.5 / 257).expand(len(images), -1, -1)
    store = SimpleNamespace(fetch=lambda index: [RenderedWords(9).render(number)[1] for number in index])
    found = attention_maps(encoder, store, np.array([4, 2]), 3, torch.device("cpu"))
    assert found["queries"].tolist() == [[[4, 8], [4, 16], [4, 23]]] * 2  # the middle row, evenly spaced
    peaks = np.stack(np.unravel_index(found["maps"].reshape(2, 3, -1).argmax(-1), (8, 32)), -1)
    assert (peaks - found["queries"]).tolist() == [[[0, 1]] * 3] * 2
    assert found["maps"].sum((2, 3)) == pytest.approx(np.ones((2, 3)))
    assert torch.equal(given[0], torch.from_numpy(found["crops"]).float() / 127.5 - 1)


def test_gray_is_luma():
    strokes = -torch.ones(1, 3, 32, 128)
    for channel in range(3):
        strokes[:, channel, :, 30 * channel : 30 * channel + 4] = 1.0
    gray = standardized_gray(strokes)[0, 0, 16]
    shares = torch.stack([gray[0], gray[30], gray[60]]) - gray[127]
    assert (shares / shares.sum()).tolist() == pytest.approx([0.299, 0.587, 0.114], abs=1e-4)


def test_positions_are_sines_and_cosines_of_the_column_then_of_the_row():
    table = sincos_position(ModelParams(position_grid="layout"), 8)[0]
    assert not table[0].any()  # [cls]
    row, column = 3, 17
    waves = [wave(place / wait) for place in (column, row) for wave in (np.sin, np.cos) for wait in (1, 100)]
    assert table[1 + 32 * row + column].tolist() == pytest.approx(waves, abs=1e-6)


def test_the_layout_grid_tells_rows_from_columns(columns_size):
    table = sincos_position(ModelParams(position_grid="layout"), 384)[0, 1:].view(8, 32, 384)
    assert torch.equal(table[0, :, 192:], table[0, :1, 192:].expand(32, -1))  # row half: equal along a row
    assert torch.equal(table[:, 0, :192], table[:1, 0, :192].expand(8, -1))  # column half: equal along a column


def test_a_square_grid_for_a_layout_that_has_none_is_refused():
    with pytest.raises(ValidationError, match="square number of patches, and 1 x 32 is not one"):
        ModelParams(patch_height=32)
