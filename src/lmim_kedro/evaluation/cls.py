"""What [cls] carries: how far it spreads over crops, in how many directions, and which crops it takes for alike.

Alignment pulls the [cls] of a crop and of its guidance view together (paper, section 3.2), which an encoder can also
reach by giving every crop the same [cls]. These numbers tell the two apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from lmim_kedro.crops.pixels import decode_stored, to_input
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.encoder import Encoder

CROPS = 1000
"""Crops that are looked at, at most, evenly spaced over the store: spread and rank need no more."""


@dataclass(frozen=True)
class Features:
    """Features of the same crops.

    Attributes:
        cls: (N, D) float32.
        patch_covariance: (D, D) float64, over all patches of all crops.
    """

    cls: np.ndarray
    patch_covariance: np.ndarray


def spaced(count: int, most: int = CROPS) -> np.ndarray:
    """Indices of at most `most` of `count` crops, evenly spaced.

    Example:
        >>> spaced(10, 4).tolist()
        [0, 3, 6, 9]
    """
    return np.linspace(0, count - 1, min(most, count)).astype(int)


@torch.no_grad()
def encode(encoder: Encoder, crops: PackedStore, index: np.ndarray, batch_size: int, device: torch.device) -> Features:
    """Features of some crops by the encoder's final norm; patches are not kept, only their covariance."""
    model, encoder = encoder.model, encoder.to(device).eval()
    cls: list[Tensor] = []
    # Sums are in float64: the covariance is a small difference of two large ones.
    count, total = 0, torch.zeros(model.width, dtype=torch.float64)
    products = torch.zeros(model.width, model.width, dtype=torch.float64)
    size = model.image_height, model.image_width
    for start in range(0, len(index), batch_size):
        images, _ = decode_stored(crops, index[start : start + batch_size], *size, keep_ratio=model.keep_ratio)
        features = encoder(to_input(torch.from_numpy(images).to(device))).float().cpu()
        patches = features[:, 1:].flatten(0, 1).double()
        cls.append(features[:, 0])
        count, total, products = count + len(patches), total + patches.sum(0), products + patches.T @ patches
    mean = total / count
    covariance = products / count - mean[:, None] * mean[None]
    return Features(torch.cat(cls).numpy(), covariance.numpy())


def effective_rank(covariance: np.ndarray) -> float:
    """In how many directions features vary: exp of the entropy of the covariance's eigenvalues, as shares of their sum.

    Takes a covariance (D, D); gives 1 to D, or 0 where nothing varies. Source: Roy and Vetterli, The effective rank,
    EUSIPCO 2007.

    Example:
        >>> round(effective_rank(np.diag([2.0, 2.0, 0.0])), 3)
        2.0
    """
    values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    return float(np.exp(entropy(values))) if values.sum() > 1e-12 else 0.0


def statistics(features: Features) -> dict[str, Any]:
    """Spread and effective rank.

    Returns: crops, width; for cls and patches: std (over crops, or all patches; mean over dimensions), effective_rank.
    """
    cls = features.cls.astype(np.float64)
    of_cls = np.cov(cls, rowvar=False, bias=True).reshape(cls.shape[1], -1)
    covariances = {"cls": of_cls, "patches": features.patch_covariance}
    return {"crops": len(cls), "width": cls.shape[1]} | {
        name: {
            "std": round(float(np.sqrt(np.clip(np.diagonal(covariance), 0, None)).mean()), 6),
            "effective_rank": round(effective_rank(covariance), 3),
        }
        for name, covariance in covariances.items()
    }


def nearest(cls: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The other crops whose [cls] points most the same way, by cosine once the mean of all crops is taken off.

    The mean is what all crops share: with it, every two crops of a collapsed [cls] would be alike.

    Args:
        cls: (N, D).
        queries: (Q,) rows of it.
        count: how many to find for each.

    Returns: rows (Q, K), the nearest first, and cosines (Q, K); K = count, or all others.

    Example:
        >>> nearest(np.array([[2.0, 0], [3, 0.1], [-2, 0], [-3, 0.1]]), np.array([0, 2]), 1)[0].tolist()
        [[1], [3]]
    """
    centered = cls.astype(np.float64) - cls.mean(0, dtype=np.float64)
    centered /= np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    cosines = centered[queries] @ centered.T
    cosines[np.arange(len(queries)), queries] = -np.inf
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(cls) - 1)]
    return rows, np.take_along_axis(cosines, rows, axis=1)


def look_at_cls(
    encoders: dict[str, Encoder | None],
    crops: PackedStore,
    *,
    batch_size: int,
    device: torch.device,
    queries: int = 4,
    neighbors: int = 5,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Statistics of encoders on the same labeled crops, and the neighbors of a few of them.

    Args:
        encoders: encoders by name; None for an encoder that does not exist.
        batch_size: number of crops encoded at once.
        queries, neighbors: how many crops are shown, and how many neighbors of each.

    Returns:
        by encoder its `statistics` or None; arrays: queries (Q, 3, H, W) uint8 and query_labels (Q,), and for each
        encoder `<name>` (Q, K, 3, H, W) uint8, `<name>_labels` (Q, K) and `<name>_cosines` (Q, K).
    """
    index = spaced(len(crops))
    asked = spaced(len(index), queries + 2)[1:-1] if len(index) > queries + 1 else np.arange(len(index))[:queries]
    found: dict[str, Any] = dict.fromkeys(encoders)
    arrays: dict[str, np.ndarray] = {}
    for name, encoder in encoders.items():
        if encoder is not None:
            size = (encoder.model.image_height, encoder.model.image_width)
            keep = encoder.model.keep_ratio
            features = encode(encoder, crops, index, batch_size, device)
            rows, cosines = nearest(features.cls, asked, neighbors)
            flat = index[rows.ravel()]
            found[name] = statistics(features)
            arrays["queries"] = decode_stored(crops, index[asked], *size, keep_ratio=keep)[0]
            arrays["query_labels"] = np.array(crops.labels(index[asked]), dtype=np.str_)
            shown = decode_stored(crops, flat, *size, keep_ratio=keep)[0]
            arrays[name] = shown.reshape(*rows.shape, 3, *size)
            arrays[f"{name}_labels"] = np.array(crops.labels(flat), dtype=np.str_).reshape(rows.shape)
            arrays[f"{name}_cosines"] = cosines.astype(np.float32)
    return found, arrays
