"""LMIM: its branches, its shortcuts, and what stays frozen."""

import pytest
import torch

from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM, DecoderBlock, spread_loss
from lmim_kedro.models.masking import split
from lmim_kedro.params import ModelParams, PretrainingParams


def build(size, recipe, **changes):
    recipe = recipe.model_copy(update=changes)
    features = recipe.method == "lmim" and recipe.target != "pixel"
    return LMIM(size, recipe, Encoder(size) if features else None)


@pytest.fixture
def priority() -> torch.Tensor:
    return torch.rand(3, 256)


@pytest.mark.parametrize("order", ["sa_ca_ffn", "ca_sa_ffn"])
def test_decoding_only_hidden_places_gives_what_decoding_all_places_gives(
    order, released_size, recipe, crops, priority
):
    lmim = build(released_size, recipe, decoder_order=order).eval()
    parts = split(priority, 0.8)
    latent, guide = lmim.encoder(crops, parts.kept, parts.removed), lmim.encoder(crops.flip(0))
    everywhere = lmim.decode(latent, guide, parts, everywhere=True)
    hidden = torch.gather(everywhere, 1, parts.removed[..., None].expand(-1, -1, everywhere.shape[-1]))
    torch.testing.assert_close(lmim.decode(latent, guide, parts), hidden, atol=1e-5, rtol=1e-4)


def test_the_two_decoder_orders_differ(released_size, recipe, crops, priority):
    one, other = build(released_size, recipe), build(released_size, recipe, decoder_order="ca_sa_ffn")
    other.load_state_dict(one.state_dict())
    assert one(crops, crops, priority)["loss"] != other(crops, crops, priority)["loss"]


@pytest.mark.parametrize("order", ["sa_ca_ffn", "ca_sa_ffn", "sa_ffn"])
def test_a_block_does_each_step_in_its_order_and_normalizes_after_it(order, released_size):
    block = DecoderBlock(released_size, order).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # so that no two norms are alike
    tokens, guidance = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    seen = tokens
    for place, step in enumerate(order.removesuffix("_ffn").split("_")):
        attend, where = (block.self_attn, seen) if step == "sa" else (block.multihead_attn, guidance)
        seen = (block.norm1, getattr(block, "norm2", None))[place](seen + attend(seen, where, where)[0])
    seen = block.norm3(seen + block.linear2(torch.nn.functional.gelu(block.linear1(seen))))
    torch.testing.assert_close(block(tokens, guidance), seen)
    torch.testing.assert_close(block(tokens, guidance, first=3), seen[:, 3:])


def test_a_new_model_begins_as_the_released_code_does(recipe):
    lmim = LMIM(ModelParams(), recipe, Encoder(ModelParams()))
    assert lmim.mask_token.std().item() == pytest.approx(0.02, rel=0.2)
    for linear in (lmim.decoder_embed, lmim.decoder_embed2, lmim.decoder_blocks[0].linear1, lmim.decoder_pred):
        bound = (6 / sum(linear.weight.shape)) ** 0.5  # Xavier, uniform
        assert linear.weight.abs().max().item() == pytest.approx(bound, rel=0.01) and not linear.bias.any()


def test_gradients_flow_through_the_guidance_branch(released_size, recipe, crops, priority):
    lmim = build(released_size, recipe, alignment_weight=0.0)
    view = crops.flip(0).clone().requires_grad_()
    lmim(crops, view, priority)["loss"].backward()
    assert view.grad is not None and view.grad.abs().sum() > 0


def test_alignment_is_the_distance_of_the_two_cls_features(released_size, recipe, crops, priority):
    lmim = build(released_size, recipe, alignment_weight=2.0).eval()
    losses = lmim(crops, crops.flip(0), priority)
    parts = split(priority, 0.8)
    a, b = lmim.encoder(crops, parts.kept, parts.removed)[:, 0], lmim.encoder(crops.flip(0))[:, 0]
    torch.testing.assert_close(losses["alignment"], (a - b).square().mean())
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + 2 * losses["alignment"])
    torch.testing.assert_close(losses["cls_std"], a.std(0, correction=0).mean())


def test_alignment_compares_both_cls_features_after_the_projector(released_size, recipe, crops, priority):
    lmim = build(released_size, recipe, alignment_projector=8).eval()
    a, b = lmim.encoder(crops, *split(priority, 0.8))[:, 0], lmim.encoder(crops.flip(0))[:, 0]
    expected = (lmim.projector(a) - lmim.projector(b)).square().mean()
    torch.testing.assert_close(lmim(crops, crops.flip(0), priority)["alignment"], expected)


def test_reconstruction_is_the_error_at_the_removed_places_against_the_clean_crops_normalized_features(
    released_size, recipe, crops, priority
):
    lmim = build(released_size, recipe).eval()
    torch.nn.init.uniform_(lmim.teacher.norm.weight, 0.5, 2.0)  # else its last norm leaves nothing to normalize
    torch.nn.init.normal_(lmim.teacher.norm.bias)
    view, parts = crops.flip(0), split(priority, 0.8)
    latent, guide = lmim.encoder(crops, parts.kept, parts.removed), lmim.encoder(view)
    features = lmim.teacher(crops)[:, 1:]
    spread = features.var(-1, correction=0, keepdim=True)
    wanted = (features - features.mean(-1, keepdim=True)) / (spread + 1e-5).sqrt()
    error = (lmim.decode(latent, guide, parts, everywhere=True) - wanted).square().mean(-1)
    expected = (error * parts.mask()).sum() / parts.mask().sum()
    torch.testing.assert_close(lmim(crops, view, priority)["reconstruction"], expected, atol=1e-5, rtol=1e-5)


def test_the_teacher_stays_as_it_was(released_size, recipe, crops, priority):
    lmim = build(released_size, recipe).train()
    before = {name: value.clone() for name, value in lmim.teacher.state_dict().items()}
    optimizer = torch.optim.SGD(lmim.parameters(), lr=0.1)
    lmim(crops, crops, priority)["loss"].backward()
    optimizer.step()
    assert not lmim.teacher.training
    assert all(torch.equal(before[name], value) for name, value in lmim.teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in lmim.teacher.parameters())


@pytest.mark.parametrize("size", ["released_size", "columns_size", "stem_size"])
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "mim"},
        {"target": "pixel"},
        {"target": "random_features"},
        {"guidance": False, "alignment_weight": 0.0},
        {"masking": "block"},
    ],
)
def test_every_ablation_takes_a_step_that_lowers_its_loss(size, changes, recipe, crops, request):
    model = request.getfixturevalue(size)
    lmim = build(model, recipe, **changes)
    priority, optimizer = torch.rand(3, model.tokens), torch.optim.AdamW(lmim.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        losses.append(lmim(crops, crops if lmim.guided else None, priority)["loss"])
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_pixel_targets_are_normalized_per_patch(released_size, recipe, crops):
    target = build(released_size, recipe, method="mim").target(crops)
    assert target.shape == (3, 256, 48)
    torch.testing.assert_close(target.mean(-1), torch.zeros(3, 256), atol=1e-5, rtol=0)
    patch = crops[1, :, 8:12, 20:24].permute(1, 2, 0).reshape(-1)  # row 2, column 5
    torch.testing.assert_close(target[1, 2 * 32 + 5], (patch - patch.mean()) / (patch.var() + 1e-6).sqrt())


def test_cls_std_is_zero_when_all_crops_share_one_cls(released_size, recipe, crops, priority):
    lmim = build(released_size, recipe).eval()
    same = crops[:1].expand(3, -1, -1, -1)
    assert lmim(same, same, priority[:1].expand(3, -1))["cls_std"] < 1e-6
    assert lmim(crops, crops, priority)["cls_std"] > 1e-4


@pytest.mark.parametrize(
    ("changes", "reaches_guidance"),
    [({}, True), ({"alignment_stop_gradient": True}, False), ({"alignment_projector": 8}, True)],
)
def test_variants_of_the_alignment_decide_whether_the_guidance_cls_is_pulled(changes, reaches_guidance):
    torch.manual_seed(0)
    size = ModelParams(width=16, depth=1, heads=2, decoder_width=16, decoder_heads=2, decoder_ffn=16)
    optimization = {
        "steps": 1,
        "batch_size": 2,
        "warmup_steps": 0,
        "base_learning_rate": 1e-3,
        "betas": (0.9, 0.95),
        "weight_decay": 0.05,
        "layer_decay": 1.0,
    }
    pretraining = PretrainingParams.model_validate(
        {"teacher": {"optimization": optimization}, "optimization": optimization, **changes}
    )
    lmim = LMIM(size, pretraining, Encoder(size))
    masked, guide = torch.randn(4, 16, requires_grad=True), torch.randn(4, 16, requires_grad=True)
    lmim._alignment(masked, guide).backward()
    assert masked.grad is not None and masked.grad.abs().sum() > 0
    assert (guide.grad is not None) == reaches_guidance


def test_the_variance_term_counts_both_branches_and_enters_the_loss_by_its_weight(
    released_size, recipe, crops, priority
):
    lmim = build(released_size, recipe, alignment_weight=2.0, alignment_variance=0.25).eval()
    view, parts = crops.flip(0) * torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1), split(priority, 0.8)
    masked, guide = spread_loss(lmim.encoder(crops, *parts)[:, 0]), spread_loss(lmim.encoder(view)[:, 0])
    losses = lmim(crops, view, priority)
    assert (masked - guide).abs() > 1e-3
    torch.testing.assert_close(losses["variance"], masked + guide)
    wanted = losses["reconstruction"] + 2 * losses["alignment"] + 0.25 * losses["variance"]
    torch.testing.assert_close(losses["loss"], wanted)


def test_the_variance_term_is_zero_for_spread_features_and_pushes_equal_ones_apart():
    spread, equal = torch.randn(500, 8) * 2, torch.randn(1, 8).repeat(4, 1) + torch.randn(4, 8) * 1e-3
    assert spread_loss(spread) == 0
    assert spread_loss(torch.tensor([[0.4], [-0.4]])).item() == pytest.approx(1 - 0.4, abs=1e-3)
    equal.requires_grad_()
    loss = spread_loss(equal)
    assert loss > 0.9
    loss.backward()
    apart = (equal - equal.grad).var(0, correction=0).mean()
    assert apart > equal.var(0, correction=0).mean()
