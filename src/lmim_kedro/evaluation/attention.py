"""What the encoder attends to (paper, Figures 1c and 3)."""

from typing import Any

import numpy as np
import torch

from lmim_kedro.crops.pixels import decode_stored, to_input
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.encoder import Encoder


@torch.no_grad()
def attention_maps(
    encoder: Encoder, crops: PackedStore, index: np.ndarray, queries: int, device: torch.device
) -> dict[str, Any]:
    """Attention of the last encoder block for some query patches (paper, Figure 3).

    Mean over heads, [cls] column dropped. Queries lie in the middle row, evenly spaced.

    Returns:
        crops (N, 3, H, W) uint8, maps (N, Q, rows, columns) summing to 1 each, queries (N, Q, 2) as (row, column).
    """
    model, encoder = encoder.model, encoder.to(device).eval()
    size = model.image_height, model.image_width
    images, _ = decode_stored(crops, index.tolist(), *size, keep_ratio=model.keep_ratio)
    # Rows are queries, columns are keys; the first of both is [cls].
    attention = encoder.attention(to_input(torch.from_numpy(images).to(device)))[:, 1:, 1:]
    columns = np.linspace(0, model.columns - 1, queries + 2).round().astype(int)[1:-1]
    chosen = np.stack([np.full(queries, model.rows // 2), columns], axis=1)
    maps = attention[:, torch.from_numpy(chosen[:, 0] * model.columns + chosen[:, 1])].cpu().numpy()
    maps = maps / maps.sum(-1, keepdims=True)
    return {
        "crops": images,
        "maps": maps.reshape(len(index), queries, model.rows, model.columns),
        "queries": np.repeat(chosen[None], len(index), axis=0),
    }
