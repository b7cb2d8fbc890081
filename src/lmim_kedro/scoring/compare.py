"""Two recognizers on the same crops: `lmim-kedro compare A.parquet B.parquet [--metric waics]`.

Files are the evaluate stage's predictions (Parquet), or any file that `lmim-kedro score` reads.
"""

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lmim_kedro.errors import InputError
from lmim_kedro.files import guarded
from lmim_kedro.old_names import call
from lmim_kedro.scoring.files import read_pairs
from lmim_kedro.scoring.metrics import METRICS, score, verdicts

CROP = ("benchmark", "key")
"""Columns that identify a crop in a file of predictions."""


@dataclass(frozen=True)
class Comparison:
    """Counts of the crops that two recognizers A and B read right.

    Attributes:
        both, only_a, only_b, neither: numbers of crops read right by both, by one alone, or by none.
        unscorable: number of crops that are left out because the metric cannot score their label.

    Example:
        >>> result = Comparison(both=80, only_a=2, only_b=12, neither=6)
        >>> result.difference, round(result.p_value, 4)
        (0.1, 0.0129)
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    unscorable: int = 0

    @property
    def count(self) -> int:
        """Crops compared."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of B minus that of A, -1 to 1; NaN if nothing was compared."""
        return (self.only_b - self.only_a) / self.count if self.count else math.nan

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided: how likely a difference as large is where A and B are equally good.

        Under that hypothesis, a crop that only one of them reads right belongs to either with probability 1/2.
        """
        from scipy.stats import binomtest

        differ = self.only_a + self.only_b
        return float(binomtest(self.only_a, differ).pvalue) if differ else 1.0

    def interval(self, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
        """Paired percentile bootstrap interval of the difference, over crops; NaN if nothing was compared.

        Crops drawn with replacement fall to A alone, to B alone or to the rest as a multinomial does: the draws are
        taken from that distribution, which is the bootstrap's own, at no cost in the number of crops.
        """
        if not self.count:
            return math.nan, math.nan
        shares = np.array([self.only_a, self.only_b, self.both + self.neither]) / self.count
        drawn = np.random.default_rng(seed).multinomial(self.count, shares, draws)
        low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / self.count, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def table(self, metric: str) -> str:
        """The comparison in a few lines."""
        low, high = self.interval()
        title = METRICS[metric].title
        rows = {
            "crops": f"{self.count:,}" + (f" ({self.unscorable:,} more cannot be scored)" if self.unscorable else ""),
            "both right": f"{self.both:,}",
            "only A right": f"{self.only_a:,}",
            "only B right": f"{self.only_b:,}",
            "both wrong": f"{self.neither:,}",
            f"{title} of A": f"{100 * (self.both + self.only_a) / self.count:.2f} %",
            f"{title} of B": f"{100 * (self.both + self.only_b) / self.count:.2f} %",
            "B - A": f"{100 * self.difference:+.2f} points (95 %: {100 * low:+.2f} to {100 * high:+.2f})",
            "p (McNemar, exact)": f"{self.p_value:.2g}",
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())


def compare(labels: Sequence[str], a: Sequence[str], b: Sequence[str], metric: str = "waics") -> Comparison:
    """Compare the predictions of A and B for crops with these labels.

    Errors: InputError for a graded metric, or lists of different lengths.

    Example:
        >>> compare(["cat", "dog"], ["cat", "dig"], ["Cat", "dog"])
        Comparison(both=1, only_a=0, only_b=1, neither=0, unscorable=0)
    """
    if METRICS[metric].graded:
        raise InputError(f"`{metric}` does not say right or wrong: compare by one of {', '.join(verdicts())}")
    one, other = (score(each, labels, metric).credit for each in (a, b))
    scored = ~np.isnan(one)
    right_a, right_b = one[scored] == 1, other[scored] == 1
    counted = (right_a & right_b, right_a & ~right_b, ~right_a & right_b, ~right_a & ~right_b, ~scored)
    return Comparison(*(int(np.count_nonzero(each)) for each in counted))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read a file of predictions: benchmark, key, label, prediction, and confidence if the file has it.

    The key of a file without keys is the number of the line, from 1. Errors: InputError for a file that cannot be used.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        predictions, labels = read_pairs(path)
        keys = [str(number) for number in range(1, len(labels) + 1)]
        return pd.DataFrame({"benchmark": "", "key": keys, "label": labels, "prediction": predictions})
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read ({reason}): give the predictions of an evaluate run") from error
    if missing := [name for name in (*CROP, "label", "prediction") if name not in table]:
        raise InputError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(table.columns)}): give the predictions of "
            "an evaluate run"
        )
    if other := [name for name in (*CROP, "label", "prediction") if not table[name].map(type).eq(str).all()]:
        raise InputError(
            f"{path} has other values than text in {', '.join(other)}: give the predictions of an evaluate run"
        )
    return table


def pair_up(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B")) -> pd.DataFrame:
    """Pair two tables of predictions crop by crop, in the order of A.

    Returns: benchmark, key, label, prediction_a, prediction_b; confidence_a and confidence_b where they are known.

    Errors: InputError if the crops are not the same, or a crop has another label.
    """
    sides = [table.filter([*CROP, "label", "prediction", "confidence"]) for table in (a, b)]
    for name, side in zip(names, sides, strict=True):
        if twice := int(side.duplicated(list(CROP)).sum()):
            raise InputError(f"{name} holds {twice:,} crops more than once: give a file with one row for each crop")
    both = sides[0].merge(sides[1], on=list(CROP), how="outer", suffixes=("_a", "_b"), indicator=True)
    for side, name in zip(("left_only", "right_only"), names, strict=True):
        if len(only := both[both["_merge"] == side]):
            first = " ".join(map(str, only.iloc[0][list(CROP)])).strip()
            raise InputError(
                f"the crops are not the same: {len(only):,} are in {name} alone (the first is {first}): read the same "
                "benchmarks with both recognizers"
            )
    both = sides[0][list(CROP)].merge(both.drop(columns="_merge"), on=list(CROP), how="left")
    if len(other := both[both["label_a"] != both["label_b"]]):
        row = other.iloc[0]
        raise InputError(
            f"{len(other):,} crops have another label in {names[1]} (the first is {row['key']}: {row['label_a']!r} and "
            f"{row['label_b']!r}): compare by the same label set, original or corrected"
        )
    return both.drop(columns="label_b").rename(columns={"label_a": "label"})


def write_differences(pairs: pd.DataFrame, metric: str, path: Path) -> int:
    """Write the crops of `pair_up` that one side alone reads right as CSV; returns their number.

    Texts that a spreadsheet would take for formulas are guarded (`files.guarded`). Errors: InputError.
    """
    labels = pairs["label"].tolist()
    right = [score(pairs[f"prediction_{side}"].tolist(), labels, metric).credit == 1 for side in "ab"]
    differing = pairs.assign(right=np.where(right[0], "A", "B"))[right[0] != right[1]]
    texts = ["benchmark", "key", "label", "prediction_a", "prediction_b"]
    try:
        cells = differing.assign(**{name: differing[name].map(guarded) for name in texts})
        cells.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)  # a text may hold line ends
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): give another --differences") from error
    return len(differing)


if __name__ == "__main__":
    sys.exit(call("lmim_kedro.scoring.compare", "compare"))
