"""Score predictions: word accuracies, normalized edit distance, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from lmim_kedro.errors import InputError
from lmim_kedro.registries import METRICS
from lmim_kedro.scoring.normalization import NotInstalled, chinese, letters_and_digits, waics

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Metric:
    """One way to compare a prediction with its label: all that scores, tables and pages know of it.

    Attributes:
        title: its name in tables.
        normalize: applied to both sides before they are compared.
        meaning: what it counts, for the page.
        graded: gives 1 minus the edit distance over the longer length, instead of a verdict of right or wrong.
        companion: name of the graded metric that is given with it as 1 - NED.
        beside: names of the verdicts that are given beside it.

    Example:
        >>> digits = Metric("digits", lambda text: "".join(filter(str.isdigit, text)), "only 0-9 are compared")
        >>> digits.normalize("No. 17")
        '17'
    """

    title: str
    normalize: Callable[[str], str]
    meaning: str = ""
    graded: bool = False
    companion: str = "ned"
    beside: tuple[str, ...] = ("waics", "case_sensitive", "exact")


WAICS = Metric("WAICS", waics, "word accuracy ignoring case and symbols: only 0-9, A-Z and a-z are compared")
CASE_SENSITIVE = Metric(
    "case-sensitive",
    letters_and_digits,
    "word accuracy ignoring symbols: only 0-9, A-Z and a-z are compared, and their case counts",
)
EXACT = Metric("exact", str, "words right in every character, case and symbols included", companion="ned_exact")
CHINESE = Metric(
    "Chinese",
    chinese,
    "words right after half-width, lower-case and simplified forms; symbols count",
    companion="ned_chinese",
    beside=("chinese", "exact"),
)
NED = Metric("1 - NED", waics, graded=True)
NED_EXACT = Metric("1 - NED, exact", str, graded=True)
NED_CHINESE = Metric("1 - NED, Chinese", chinese, graded=True)


def verdicts() -> tuple[str, ...]:
    """Names of the metrics that say right or wrong, such as `waics`."""
    return tuple(name for name in METRICS if not METRICS[name].graded)


def accuracies_with(metric: str) -> tuple[str, ...]:
    """Names of the accuracies that are given where `metric` is the one that tables show; itself the first.

    Example:
        >>> accuracies_with("exact")
        ('exact', 'waics', 'case_sensitive')
    """
    return tuple(dict.fromkeys((metric, *METRICS[metric].beside)))


def with_companion(metric: str) -> tuple[str, ...]:
    """Names of a metric and of the one that is given with it: an accuracy and its 1 - NED, in this order.

    Example:
        >>> with_companion("waics"), with_companion("ned_exact")
        (('waics', 'ned'), ('exact', 'ned_exact'))
    """
    if not METRICS[metric].graded:
        return metric, METRICS[metric].companion
    return (*[name for name in verdicts() if METRICS[name].companion == metric][:1], metric)


@dataclass(frozen=True)
class Score:
    """Result of a metric for a list of pairs.

    Attributes:
        credit: (N,) floats: 1 for right, 0 for wrong, between them if the metric is graded; NaN where the label is
            empty in the metric's form, which nothing can be compared with.
    """

    credit: np.ndarray

    @property
    def count(self) -> int:
        """Pairs that could be scored."""
        return int(np.count_nonzero(~np.isnan(self.credit)))

    @property
    def unscorable(self) -> int:
        """Pairs left out because their label is empty in the metric's form."""
        return len(self.credit) - self.count

    @property
    def accuracy(self) -> float:
        """Mean credit of the pairs that could be scored, 0 to 1; NaN if there are none."""
        return float(np.nansum(self.credit, dtype=np.float64) / self.count) if self.count else math.nan


def score(predictions: Sequence[str], labels: Sequence[str], metric: str) -> Score:
    """Compare predictions with labels, pair by pair.

    Args:
        predictions: N predicted texts.
        labels: N true texts.
        metric: a name in METRICS.

    Errors: InputError for an unknown metric, or lists of different lengths.

    Example:
        >>> score(["its", "cat"], ["It's", "car"], "waics").accuracy
        0.5
        >>> score(["its", "cat"], ["It's", "car"], "ned").credit.round(2).tolist()
        [1.0, 0.67]
    """
    compared = METRICS[metric]
    if len(predictions) != len(labels):
        raise InputError(f"{len(predictions):,} predictions do not pair with {len(labels):,} labels: give one for each")
    right = [compared.normalize(label) for label in labels]
    read = [compared.normalize(prediction) for prediction in predictions]
    if compared.graded:
        credit = cpdist(read, right, scorer=Levenshtein.normalized_similarity, dtype=np.float64)
    else:
        credit = np.fromiter(map(eq, read, right), np.float64, len(right))
    credit[~np.fromiter(map(bool, right), np.bool_, len(right))] = np.nan
    return Score(credit)


def bootstrap_interval(result: Score, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of an accuracy, over crops.

    The accuracy of n crops drawn with replacement, each right with the share p that is right, is binomial: the draws
    are taken from that distribution, which is the bootstrap's own, at no cost in n. If none or all are right, every
    draw would be the same, so the interval is Wilson's score interval instead (Wilson, 1927).

    Args:
        result: scores by a metric of right and wrong.
        level: share of samples whose interval holds the true accuracy.
        draws: number of bootstrap samples.
        seed: seed of the draws.

    Returns: lower and upper bound, 0 to 1; NaN if nothing could be scored. Errors: InputError for a graded metric.

    Example:
        >>> low, high = bootstrap_interval(score(["a", "b"], ["a", "b"], "waics"))
        >>> round(low, 3), high
        (0.342, 1.0)
    """
    scored = result.credit[~np.isnan(result.credit)]
    if not np.isin(scored, (0, 1)).all():
        raise InputError("the binomial bootstrap needs a metric of right and wrong, not a graded one: use an accuracy")
    if not len(scored):
        return math.nan, math.nan
    if (right := int(scored.sum())) in (0, len(scored)):
        from scipy.stats import binomtest

        low, high = binomtest(right, len(scored)).proportion_ci(level, "wilson")
    else:
        means = np.random.default_rng(seed).binomial(len(scored), scored.mean(), draws) / len(scored)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def judge_readings(readings: pd.DataFrame, manifest: pd.DataFrame, metric: str = "waics") -> pd.DataFrame:
    """Add the verdict of each metric, and the size of each crop, to readings.

    Args:
        readings: a row per crop: benchmark, index (in the packed store), label, prediction, confidence and more.
        manifest: rows of the same store: store_index, key, width, height, status.
        metric: the verdict that must be given; others are missing where a package that they need is not installed.

    Returns:
        the readings' columns and key, length (characters of the label), width and height (pixels of the crop as it
        came), every verdict (nullable booleans, missing where the label cannot be scored) and one_minus_ned.

    Errors: InputError if the manifest is of another store, or `metric` needs a package that is not installed.
    """
    import pandas as pd

    stored = manifest.loc[manifest["status"] == "ok", ["store_index", "key", "width", "height"]]
    stored = stored.rename(columns={"store_index": "index"}).astype({"index": "int64"})
    judged = readings.merge(stored, on="index", how="left", validate="one_to_one")
    if unknown := int(judged["key"].isna().sum()):
        raise InputError(
            f"{unknown:,} of {len(judged):,} crops that were read are not in the manifest: it is of another store; "
            "run `kedro run --pipelines=ingest,evaluate` with the --env of this run"
        )
    predictions, labels = judged["prediction"].tolist(), judged["label"].tolist()
    judged["length"] = judged["label"].str.len().astype("int64")
    for name in verdicts():
        try:
            credit = score(predictions, labels, name).credit
        except NotInstalled:
            if name == metric:
                raise
            credit = np.full(len(judged), np.nan)
        judged[name] = pd.arrays.BooleanArray(credit == 1, np.isnan(credit))
    judged["one_minus_ned"] = score(predictions, labels, "ned").credit
    first = ["benchmark", "key", "index", "label", "prediction", "confidence", *verdicts(), "one_minus_ned", "length"]
    return judged[[*first, *(name for name in judged.columns if name not in first)]]
