"""LMIM (paper, section 3) and, without its second branch and its teacher, the masked autoencoder it builds on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.models.encoder import NORM_EPS, Encoder, LayerNorm, gather_tokens, initialize, sincos_position
from lmim_kedro.models.masking import Split, split
from lmim_kedro.models.whole_batch import cls_deviation, whole_batch
from lmim_kedro.params import ModelParams, PretrainingParams


class DecoderBlock(nn.TransformerDecoderLayer):
    """One post-norm block of self-attention, cross-attention to the guidance features, feed-forward (section 3.2).

    `order` is "sa_ca_ffn" (the paper's), "ca_sa_ffn" (Table 3) or "sa_ffn" (no guidance branch, Table 1).
    The names of its parameters are those of the released checkpoint.
    """

    def __init__(self, model: ModelParams, order: str) -> None:
        super().__init__(
            model.decoder_width,
            model.decoder_heads,
            model.decoder_ffn,
            model.decoder_dropout,
            activation="gelu",
            layer_norm_eps=NORM_EPS,
            batch_first=True,
        )
        self.order = order
        for name in ("norm1", "norm2", "norm3"):
            setattr(self, name, LayerNorm(model.decoder_width, eps=NORM_EPS))
        if order == "sa_ffn":
            del self.multihead_attn, self.norm2, self.dropout2

    def forward(self, tokens: Tensor, guidance: Tensor | None, first: int = 0) -> Tensor:  # type: ignore[override]
        """Tokens from `first` on: (B, T, W) and guidance (B, G, W) -> (B, T - first, W).

        Every token is a key, but only those from `first` on are queries: the last block need not compute what the loss
        does not look at.
        """
        if self.order == "ca_sa_ffn":
            tokens = self._attend_to_guidance(tokens, guidance, self.norm1)
        norm = self.norm2 if self.order == "ca_sa_ffn" else self.norm1
        queries = self._attend_to_self(tokens[:, first:], tokens, norm)
        if self.order == "sa_ca_ffn":
            queries = self._attend_to_guidance(queries, guidance, self.norm2)
        hidden = self.dropout(F.gelu(self.linear1(queries)))
        return self.norm3(queries + self.dropout3(self.linear2(hidden)))

    def _attend_to_self(self, queries: Tensor, tokens: Tensor, norm: nn.LayerNorm) -> Tensor:
        seen, _ = self.self_attn(queries, tokens, tokens, need_weights=False)
        return norm(queries + self.dropout1(seen))

    def _attend_to_guidance(self, queries: Tensor, guidance: Tensor | None, norm: nn.LayerNorm) -> Tensor:
        seen, _ = self.multihead_attn(queries, guidance, guidance, need_weights=False)
        return norm(queries + self.dropout2(seen))


class LMIM(nn.Module):
    """The model that pre-training trains: masked branch, guidance branch, guided decoder (section 3, Figure 2).

    With `guidance = False` and `target = "pixel"` it is a masked autoencoder: the MIM baseline, and the teacher's own
    training.

    Args:
        model: sizes.
        pretraining: which parts are on.
        teacher: frozen encoder whose patch features are the target; None where the target is pixels.

    Example:
        >>> mim = PretrainingParams.model_construct(method="mim", target="pixel", mask_ratio=0.75)
        >>> small = ModelParams(width=24, depth=1, heads=3, decoder_width=16, decoder_heads=2)
        >>> sorted(LMIM(small, mim)(torch.rand(2, 3, 32, 128), None, torch.rand(2, 256)))
        ['cls_std', 'loss', 'reconstruction']
    """

    decoder_pos_embed: Tensor

    def __init__(self, model: ModelParams, pretraining: PretrainingParams, teacher: Encoder | None = None) -> None:
        super().__init__()
        self.model, self.pretraining = model, pretraining
        self.encoder = Encoder(model)
        self.guided = pretraining.method == "lmim" and pretraining.guidance
        order = pretraining.decoder_order if self.guided else "sa_ffn"
        self.decoder_embed = nn.Linear(model.width, model.decoder_width)
        if self.guided:
            self.decoder_embed2 = nn.Linear(model.width, model.decoder_width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, model.decoder_width).normal_(std=0.02))
        self.register_buffer("decoder_pos_embed", sincos_position(model, model.decoder_width), persistent=False)
        self.decoder_blocks = nn.ModuleList(DecoderBlock(model, order) for _ in range(model.decoder_depth))
        self.decoder_norm = LayerNorm(model.decoder_width, eps=NORM_EPS)
        self.projector: nn.Sequential | None = None
        if self.guided and (hidden := pretraining.alignment_projector) is not None:
            layers = nn.Linear(model.width, hidden), nn.GELU(), nn.Linear(hidden, model.width)
            self.projector = nn.Sequential(*layers).apply(initialize)
        self.pixel_target = pretraining.method == "mim" or pretraining.target == "pixel"
        patch_values = model.patch_height * model.patch_width * self.encoder.patch_embed.channels
        self.decoder_pred = nn.Linear(model.decoder_width, patch_values if self.pixel_target else model.width)
        for part in (self.decoder_embed, *self.decoder_blocks, self.decoder_norm, self.decoder_pred):
            part.apply(initialize)
        if self.guided:
            self.decoder_embed2.apply(initialize)
        wanted = pretraining.method != "none" and not self.pixel_target
        if wanted != (teacher is not None):
            raise ValueError("a teacher belongs to a feature target, and pixels need none")
        self.teacher = teacher.requires_grad_(False).eval() if teacher is not None else None

    def train(self, mode: bool = True) -> "LMIM":
        """Training mode for all but the teacher, which never leaves evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, images: Tensor, guidance: Tensor | None, priority: Tensor) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            images: (B, 3, H, W) clean crops, RGB in [-1, 1].
            guidance: (B, 3, H, W) their guidance views; None without guidance branch.
            priority: (B, N) the masking's sort key (models.masking).

        Returns:
            scalars `loss` = `reconstruction` + weight * `alignment`, and `cls_std`, the deviation of the [cls] feature
            over the batch (mean over dimensions): 0 when all crops share one [cls].
        """
        parts = split(priority, self.pretraining.mask_ratio)
        latent = self.encoder(images, parts.kept, parts.removed)
        guide = self.encoder(guidance) if self.guided else None
        predicted = self.decode(latent, guide, parts)
        target = self.target(images, parts.removed)
        losses = {"reconstruction": (predicted.float() - target).square().mean()}
        losses["loss"] = losses["reconstruction"]
        if guide is not None:
            losses["alignment"] = self._alignment(latent[:, 0], guide[:, 0])
            losses["loss"] = losses["loss"] + self.pretraining.alignment_weight * losses["alignment"]
            if self.pretraining.alignment_variance:
                losses["variance"] = spread_loss(whole_batch(latent[:, 0])) + spread_loss(whole_batch(guide[:, 0]))
                losses["loss"] = losses["loss"] + self.pretraining.alignment_variance * losses["variance"]
        losses["cls_std"] = cls_deviation(latent[:, 0])
        return losses

    def _alignment(self, masked: Tensor, guide: Tensor) -> Tensor:
        """Mean squared difference of the two [cls] (B, D) (section 3.2), after what variants put in between."""
        if self.projector is not None:
            masked, guide = self.projector(masked), self.projector(guide)
        if self.pretraining.alignment_stop_gradient:
            guide = guide.detach()
        return F.mse_loss(masked.float(), guide.float())

    def decode(self, latent: Tensor, guide: Tensor | None, parts: Split, everywhere: bool = False) -> Tensor:
        """Predict the removed patches: latent (B, 1 + K, D), guide (B, 1 + N, D) -> (B, M, P), in their order.

        Tokens stay in the order kept, then removed: attention does not care, so nothing is shuffled back, and the last
        block computes the removed places only. `everywhere` computes all places and returns reading order (B, N, P).
        """
        kept = parts.kept.shape[1]
        order = torch.cat([parts.kept, parts.removed], dim=1)
        masked = self.mask_token.expand(latent.shape[0], order.shape[1] - kept, -1)
        embedded = self.decoder_embed(latent)
        tokens = torch.cat([embedded, masked.to(embedded.dtype)], dim=1)
        table = self.decoder_pos_embed.to(tokens.dtype)
        position = gather_tokens(table[:, 1:], order)
        tokens = tokens + torch.cat([table[:, :1].expand(len(order), -1, -1), position], dim=1)
        memory = self.decoder_embed2(guide) if guide is not None else None
        for block in self.decoder_blocks[:-1]:
            tokens = block(tokens, memory)
        tokens = self.decoder_blocks[-1](tokens, memory, first=1 if everywhere else 1 + kept)
        predicted = self.decoder_pred(self.decoder_norm(tokens))
        return gather_tokens(predicted, order.argsort(1)) if everywhere else predicted

    @torch.no_grad()
    def target(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        """Targets at `places` (B, M) or everywhere: crops (B, 3, H, W) -> (B, M or N, P), float32.

        Teacher features are normalized over the feature dimension (LayerNorm without affine); pixels per patch.
        """
        if self.teacher is None:
            pixels = self.encoder.patch_embed.pixels(images)
            wanted = self.encoder.patch_embed.patches(pixels).float()
            wanted = wanted if places is None else gather_tokens(wanted, places)
            mean, variance = wanted.mean(-1, keepdim=True), wanted.var(-1, keepdim=True)
            return (wanted - mean) / (variance + 1e-6).sqrt()
        features = self.teacher(images)[:, 1:] if places is None else self.teacher.features_at(images, places)
        features = features.float()
        return F.layer_norm(features, features.shape[-1:])


def spread_loss(features: Tensor) -> Tensor:
    """Mean over dimensions of max(0, 1 - deviation over the batch), as in VICReg: features (B, D) -> scalar.

    Example:
        >>> round(spread_loss(torch.zeros(8, 4)).item(), 2), spread_loss(torch.eye(8) * 9).item()
        (0.99, 0.0)
    """
    deviation = (features.float().var(0, correction=0) + 1e-4).sqrt()
    return F.relu(1 - deviation).mean()
