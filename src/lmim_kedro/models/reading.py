"""Reading whole stores of crops, and looking at what the encoder attends to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from lmim_kedro.crops.decode import decode_batch
from lmim_kedro.crops.store import PackedStore
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.progress import progress_bar


def read_store(recognizer: Recognizer, crops: PackedStore, batch_size: int, device: torch.device) -> pd.DataFrame:
    """Read every crop of a labelled store once, in order.

    Returns:
        a row per crop: benchmark (the source's name), index (in the store), label, prediction, confidence (0 to 1),
        aspect (width / height).
    """
    recognizer = recognizer.to(device).eval()
    model = recognizer.model
    tables = []
    with progress_bar(len(crops), desc="reading", unit="crop") as bar:
        for source in crops.sources:
            for start in range(source.start, source.stop, batch_size):
                index = range(start, min(start + batch_size, source.stop))
                images, aspect = decode_batch(crops.fetch(index), model.image_height, model.image_width)
                readings = recognizer.read_batch(torch.from_numpy(images).to(device).float() / 127.5 - 1)
                tables.append(
                    pd.DataFrame(
                        {
                            "benchmark": source.name,
                            "index": index,
                            "label": crops.labels(index),
                            "prediction": [reading.text for reading in readings],
                            "confidence": [reading.confidence for reading in readings],
                            "aspect": aspect,
                        }
                    )
                )
                bar.update(len(index))
    return pd.concat(tables, ignore_index=True)


@torch.no_grad()
def attention_maps(
    encoder: Encoder, crops: PackedStore, index: np.ndarray, queries: int, device: torch.device
) -> dict[str, Any]:
    """Attention of the last encoder block for some query patches (paper, Figure 3).

    Mean over heads, [cls] column dropped. Queries lie in the middle row, evenly spaced.

    Returns:
        crops (N, 3, H, W) uint8, maps (N, Q, rows, columns) summing to 1 each, queries (N, Q, 2) as (row, column).
    """
    model = encoder.model
    encoder = encoder.to(device).eval()
    images, _ = decode_batch(crops.fetch(index.tolist()), model.image_height, model.image_width)
    attention = encoder.attention(torch.from_numpy(images).to(device).float() / 127.5 - 1)[:, 1:, 1:]
    columns = np.linspace(0, model.columns - 1, queries + 2).round().astype(int)[1:-1]
    chosen = np.stack([np.full(queries, model.rows // 2), columns], axis=1)
    maps = attention[:, torch.from_numpy(chosen[:, 0] * model.columns + chosen[:, 1])].cpu().numpy()
    maps = maps / maps.sum(-1, keepdims=True)
    return {
        "crops": images,
        "maps": maps.reshape(len(index), queries, model.rows, model.columns),
        "queries": np.repeat(chosen[None], len(index), axis=0),
    }
