"""What a pre-trained decoder predicts where patches were removed."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.crops.pixels import decode_stored, to_input
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import draw_priority, split

GRAY_STEP = 42.0
"""Gray levels per deviation in a picture of standardized gray: three to either side of the middle."""


@torch.no_grad()
def reconstruct(
    model: LMIM, crops: PackedStore, index: np.ndarray, device: torch.device, seed: int = 0
) -> dict[str, np.ndarray]:
    """Predictions for some crops, masked at random at the model's own ratio; the guidance branch sees the clean crop.

    The masks depend on seed and crop alone: models with the same patches and ratio are shown the same.

    Returns:
        crops and masked (N, 3, H, W) uint8, removed patches in mid gray; for a pixel target predicted (N, 3, H, W)
        uint8, with mean and deviation of each removed patch taken from the crop, as its target is normalized by them;
        for a feature target similarity (N, rows, columns): the cosine of prediction and target, NaN where nothing was
        removed.
    """
    size, model = model.model, model.to(device).eval()
    shape = size.image_height, size.image_width
    pictures, _ = decode_stored(crops, index.tolist(), *shape, keep_ratio=size.keep_ratio)
    images = to_input(torch.from_numpy(pictures).to(device))
    priority = draw_priority("random", size.rows, size.columns, seed=seed, epoch=0, index=index).to(device)
    parts = split(priority, model.pretraining.mask_ratio)
    guide = model.encoder(images) if model.guided else None
    predicted = model.decode(model.encoder(images, parts.kept, parts.removed), guide, parts).float()
    patches = model.encoder.patch_embed.patches(model.encoder.patch_embed.pixels(images))
    places = parts.removed.unsqueeze(-1).expand(-1, -1, patches.shape[-1])
    found = {"crops": pictures, "masked": _picture(model, patches.scatter(1, places, 0))}  # 0 is mid gray
    if model.pixel_target:
        # Targets are pixels normalized patch by patch: the crop's own mean and deviation put them back.
        there = patches.gather(1, places)
        mean, deviation = there.mean(-1, keepdim=True), (there.var(-1, keepdim=True) + 1e-6).sqrt()
        return found | {"predicted": _picture(model, patches.scatter(1, places, predicted * deviation + mean))}
    cosine = F.cosine_similarity(predicted, model.target(images, parts.removed), dim=-1)
    similarity = torch.full((len(index), size.tokens), torch.nan, device=device).scatter(1, parts.removed, cosine)
    return found | {"similarity": similarity.view(-1, size.rows, size.columns).cpu().numpy()}


def _picture(model: LMIM, patches: Tensor) -> np.ndarray:
    """Patches (B, N, P) of what the encoder is given -> pictures (B, 3, H, W) uint8."""
    size, channels = model.model, model.encoder.patch_embed.channels
    cut = patches.view(len(patches), size.rows, size.columns, size.patch_height, size.patch_width, channels)
    image = cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, size.image_height, size.image_width)
    levels = 127.5 + image * (127.5 if channels == 3 else GRAY_STEP)
    return levels.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).cpu().numpy()
