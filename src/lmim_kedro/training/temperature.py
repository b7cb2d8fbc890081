"""Fits the temperature of a recognizer, so that confidences say how often words are right (Guo et al., 2017)."""

import logging
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lmim_kedro.crops.loader import CropLoader, send
from lmim_kedro.crops.pixels import to_input
from lmim_kedro.models.recognizer import Recognizer

log = logging.getLogger(__name__)

TEMPERATURES = 2.0 ** np.linspace(-3, 3, 49)
"""Those that are tried, 9 % apart; the one in the middle is 1."""


@torch.no_grad()
def fit_temperature(recognizer: Recognizer, loader: CropLoader, metric: str) -> dict[str, Any]:
    """Find the temperature under which the confidences of held-out words fit best whether they are right.

    What is minimized is the mean of -log(confidence) over right words and -log(1 - confidence) over wrong ones. Which
    symbols are read greedily does not depend on the temperature.

    Args:
        recognizer: its weights are not changed; a temperature that it has already does not count.
        loader: held-out crops with labels.
        metric: says which words are right; where it is graded, its companion does.

    Returns:
        temperature; calibration_error (expected, 0 to 1) without it and calibration_error_tempered with it. All are
        None where all words are right or all are wrong, or the head gives no steps.
    """
    from lmim_kedro.scoring.analysis import calibration, calibration_error
    from lmim_kedro.scoring.metrics import score, with_companion

    verdict, before = with_companion(metric)[0], recognizer.temperature
    none = dict.fromkeys(("temperature", "calibration_error", "calibration_error_tempered"))
    device, training = recognizer.encoder.cls_token.device, recognizer.training
    predictions: list[str] = []
    labels: list[str] = []
    sure = []
    recognizer.eval()
    recognizer.temperature = None
    for batch in loader.epoch(0):
        features = recognizer.encoder(to_input(send(batch.images, device)))
        if (steps := recognizer.head.steps(features)) is None:
            break
        predictions += [reading.text for reading in recognizer.head.read(features, 1, 0.0)]
        labels += batch.labels or []
        sure.append(_log_confidences(*steps))
    recognizer.train(training)
    recognizer.temperature = before
    if not sure:
        log.info("no temperature is fitted: the head gives no steps")
        return none
    right, logs = score(predictions, labels, verdict).credit, np.concatenate(sure)
    known = ~np.isnan(right)
    if len(found := set(right[known])) < 2:
        words = "right" if found == {1.0} else "wrong"
        log.info("no temperature is fitted: all %s held-out words are %s", f"{known.sum():,}", words)
        return none
    # A confidence of 1 for a wrong word would cost infinitely much.
    chosen = np.clip(logs[known], None, -1e-7)
    costs = -np.where(right[known, None] == 1, chosen, np.log(-np.expm1(chosen))).mean(0)
    best, one = int(costs.argmin()), len(TEMPERATURES) // 2
    table = pd.DataFrame({"label": labels, "prediction": predictions})
    without, tempered = (
        calibration_error(calibration(table.assign(confidence=np.exp(logs[:, place])), verdict))
        for place in (one, best)
    )
    temperature = round(float(TEMPERATURES[best]), 4)
    log.info(
        "temperature %.3f: expected calibration error %.4f without it, %.4f with it", temperature, without, tempered
    )
    return {
        "temperature": temperature,
        "calibration_error": without,
        "calibration_error_tempered": tempered,
    }


def _log_confidences(logits: Tensor, counts: Tensor) -> np.ndarray:
    """Log-probabilities (B, temperatures) of greedy words: logits (B, T, C), and which steps count (B, T)."""
    best, found = logits.amax(-1), []
    for temperature in TEMPERATURES.tolist():
        step = best / temperature - (logits / temperature).logsumexp(-1)
        found.append((step * counts).sum(1))
    return torch.stack(found, 1).clamp(max=0).double().cpu().numpy()
