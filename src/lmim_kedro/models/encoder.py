"""The ViT encoder that both branches share, the teacher is, and the recognizer reads with."""

import math
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lmim_kedro.models._torchvision import make_torchvision_importable
from lmim_kedro.params import ModelParams

make_torchvision_importable()
from timm.layers import ScaledStdConv2d  # noqa: E402  (timm imports torchvision)
from timm.models.vision_transformer import Block  # noqa: E402

NORM_EPS = 1e-6
RELU_GAIN = (2 / (1 - 1 / math.pi)) ** 0.5
"""What a ReLU takes from the deviation of standard normal values, to be given back before it."""


class LayerNorm(nn.LayerNorm):
    """LayerNorm that keeps the precision of its input, though statistics are float32 inside.

    A GPU's autocast would take bfloat16 tokens to float32 and back, which moves four times the bytes.

    Example:
        >>> LayerNorm(4)(torch.zeros(2, 4, dtype=torch.bfloat16)).dtype
        torch.bfloat16
    """

    def forward(self, input: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if input.dtype == self.weight.dtype or input.device.type == "cpu":
            return super().forward(input)  # a CPU's kernel takes weights of float32 with any tokens, a GPU's does not
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


EncoderNorm = partial(LayerNorm, eps=NORM_EPS)


def sincos_position(model: ModelParams, width: int) -> Tensor:
    """Fixed 2-D sin-cos position embedding (1, 1 + tokens, width); the row of [cls] is zero.

    `position_grid = square` is the quirk of the released code and of the MAERec weights: the table is built on a
    sqrt(tokens) x sqrt(tokens) grid although the patches lie in rows x columns. `layout` uses the real grid; with
    `position_columns`, its columns run over so many places.
    """
    if model.position_grid == "square":
        rows = columns = round(model.tokens**0.5)
    else:
        rows, columns = model.rows, model.columns
    frequency = 1.0 / 10000 ** (np.arange(width // 4, dtype=np.float64) / (width / 4))
    y, x = np.meshgrid(np.arange(rows), np.arange(columns, dtype=np.float64), indexing="ij")
    if model.position_columns is not None:  # centers of columns lie at halves
        x = (x + 0.5) * (model.position_columns / columns) - 0.5
    parts = []
    for position in (x.reshape(-1), y.reshape(-1)):  # the released tables hold the column half first
        angle = position[:, None] * frequency[None]
        parts += [np.sin(angle), np.cos(angle)]
    table = np.concatenate([np.zeros((1, width)), np.concatenate(parts, axis=1)])
    return torch.from_numpy(table).float()[None]


def initialize(module: nn.Module) -> None:
    """Xavier uniform for linear layers, bias 0; LayerNorm 1 / 0 (released code)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Rows `index` (B, K) of `tokens` (B or 1, N, D) -> (B, K, D).

    Example:
        >>> gather_tokens(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 0]])).flatten().tolist()
        [3.0, 1.0]
    """
    tokens = tokens.expand(index.shape[0], -1, -1)
    return torch.gather(tokens, 1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


class PatchEmbedding(nn.Module):
    """Crop -> patch tokens: one linear map per patch, which may look `patch_overlap` pixels beyond its sides.

    With `model.stem`, 3 x 3 convolutions and ReLUs come before the linear map. Their weights are standardized, not what
    they compute (Brock et al., arXiv:2101.08692): with statistics of a batch or a crop, a patch would look different
    beside masked ones than beside visible ones.
    """

    def __init__(self, model: ModelParams) -> None:
        super().__init__()
        self.model = model
        self.channels = 3 if model.input == "rgb" else 1
        self.stem = nn.Sequential()
        channels = self.channels
        for width, down, across in model.stem:
            self.stem.append(ScaledStdConv2d(channels, width, 3, (down, across), padding=1, gamma=RELU_GAIN))
            self.stem.append(nn.ReLU())
            channels = width
        down, across = model.stem_strides
        overlap = model.patch_overlap // across
        self.proj = nn.Conv2d(
            channels,
            model.width,
            kernel_size=(model.patch_height // down, model.patch_width // across + 2 * overlap),
            stride=(model.patch_height // down, model.patch_width // across),
            padding=(0, overlap),
        )
        nn.init.xavier_uniform_(self.proj.weight.view(model.width, -1))
        nn.init.zeros_(self.proj.get_parameter("bias"))

    def pixels(self, images: Tensor) -> Tensor:
        """Crops (B, 3, H, W) in [-1, 1] -> the values that patches are cut from, (B, 3 or 1, H, W)."""
        return images if self.model.input == "rgb" else standardized_gray(images)

    def forward(self, pixels: Tensor, removed: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, N, D). If patches see their neighbors, by overlap or through a stem, the pixels of
        `removed` patches (B, M) are blanked first, so that nothing leaks from a masked patch into a visible one.
        """
        if removed is not None and (self.model.patch_overlap or self.model.stem):
            pixels = pixels * self._visible(removed).to(pixels.dtype)
        return self.proj(self.stem(pixels)).flatten(2).transpose(1, 2)

    def _visible(self, removed: Tensor) -> Tensor:
        model = self.model
        visible = torch.ones(removed.shape[0], model.tokens, device=removed.device)
        visible = visible.scatter_(1, removed, 0.0).view(-1, 1, model.rows, model.columns)
        return visible.repeat_interleave(model.patch_height, 2).repeat_interleave(model.patch_width, 3)

    def patches(self, pixels: Tensor) -> Tensor:
        """The pixels of each patch, without overlap: (B, C, H, W) -> (B, N, patch_height * patch_width * C)."""
        model = self.model
        cut = pixels.unflatten(2, (model.rows, model.patch_height)).unflatten(4, (model.columns, model.patch_width))
        return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def standardized_gray(images: Tensor) -> Tensor:
    """Luma with mean 0 and deviation 1 per crop, flipped so that the rarer side (the strokes) is positive.

    (B, 3, H, W) in [-1, 1] -> (B, 1, H, W). Takes color, brightness and polarity out of the task, which lets a small
    model read after minutes.
    """
    red, green, blue = images.split(1, dim=1)
    gray = red * 0.299 + green * 0.587 + blue * 0.114
    gray = gray - gray.mean((2, 3), keepdim=True)
    gray = gray / (gray.square().mean((2, 3), keepdim=True).sqrt() + 0.02)
    skew = gray.pow(3).mean((2, 3), keepdim=True)
    return gray * torch.where(skew < 0, -1.0, 1.0)


class Encoder(nn.Module):
    """ViT with pre-norm blocks, fixed positions and a final norm (paper, section 4.2: ViT-S).

    The names of its parameters are those of the released checkpoints and of MAERec.

    Args:
        model: sizes.

    Example:
        >>> encoder = Encoder(ModelParams(width=24, depth=1, heads=3))
        >>> encoder(torch.zeros(2, 3, 32, 128)).shape  # [cls] and 8 x 32 patches
        torch.Size([2, 257, 24])
    """

    pos_embed: Tensor

    def __init__(self, model: ModelParams) -> None:
        super().__init__()
        self.model = model
        self.patch_embed = PatchEmbedding(model)
        self.cls_token = nn.Parameter(torch.empty(1, 1, model.width).normal_(std=0.02))
        self.register_buffer("pos_embed", sincos_position(model, model.width), persistent=False)
        self.blocks = nn.ModuleList(
            Block(
                model.width, model.heads, model.mlp_ratio, qkv_bias=True, norm_layer=cast(type[nn.Module], EncoderNorm)
            )
            for _ in range(model.depth)
        )
        self.norm = EncoderNorm(model.width)
        self.blocks.apply(initialize)

    checkpointed = False
    """Compute the blocks again in the backward pass instead of keeping what they computed (training.loop)."""

    def forward(self, images: Tensor, kept: Tensor | None = None, removed: Tensor | None = None) -> Tensor:
        """Features of [cls] and of the kept patches.

        Args:
            images: (B, 3, H, W) RGB in [-1, 1].
            kept: (B, K) patch indices in the order wanted; None: all N patches in reading order.
            removed: (B, N - K) the other patches.

        Returns:
            (B, 1 + K, D), [cls] first, after the final norm.
        """
        tokens = self.embed(images, kept, removed)
        for block in self.blocks:
            if self.checkpointed and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.norm(tokens)

    def features_at(self, images: Tensor, places: Tensor) -> Tensor:
        """Features of some patches of whole crops: (B, 3, H, W), places (B, M) -> (B, M, D).

        Every patch is a key of the last block, but only those asked for are queries: the others are not computed.
        """
        tokens = self.embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = cast(Block, self.blocks[-1])
        # timm's block would compute every query: its parts are called one by one instead.
        normed, asked = last.norm1(tokens), places + 1  # [cls] comes before the patches
        project, width = cast(nn.Linear, last.attn.qkv), self.model.width
        weights, biases = (
            project.weight.split([width, 2 * width]),
            project.get_parameter("bias").split([width, 2 * width]),
        )
        queries = self._heads(F.linear(gather_tokens(normed, asked), weights[0], biases[0]))
        keys, values = F.linear(normed, weights[1], biases[1]).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(queries, self._heads(keys), self._heads(values))
        features = gather_tokens(tokens, asked) + cast(nn.Linear, last.attn.proj)(seen.transpose(1, 2).flatten(2))
        return self.norm(features + last.mlp(last.norm2(features)))

    def _heads(self, tokens: Tensor) -> Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)."""
        return tokens.unflatten(2, (self.model.heads, -1)).transpose(1, 2)

    def embed(self, images: Tensor, kept: Tensor | None = None, removed: Tensor | None = None) -> Tensor:
        """Tokens that enter the first block, (B, 1 + K, D); arguments as in `forward`."""
        tokens = self.patch_embed(self.patch_embed.pixels(images), removed)
        position = self.pos_embed.to(tokens.dtype)  # float32 would make all that follows float32
        tokens = tokens + position[:, 1:]
        if kept is not None:
            tokens = gather_tokens(tokens, kept)
        cls = (self.cls_token + self.pos_embed[:, :1]).to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return torch.cat([cls, tokens], dim=1)

    def attention(self, images: Tensor) -> Tensor:
        """Attention of the last block, mean over heads: (B, 1 + N, 1 + N), rows are queries (paper, Figure 3)."""
        tokens = self.embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = cast(Block, self.blocks[-1])
        batch, count, width = tokens.shape
        project = cast(nn.Module, last.attn.qkv)
        qkv = project(last.norm1(tokens)).view(batch, count, 3, self.model.heads, -1).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-2, -1) * (width // self.model.heads) ** -0.5
        return scores.softmax(-1).mean(1)
