"""The accuracies of all runs of an environment, by variant, seed and benchmark."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.compare import CROP
from lmim_kedro.scoring.protocols import Labels


@dataclass(frozen=True)
class Results:
    """Right and wrong readings of the same crops by every run.

    Attributes:
        env: name of the environment, the size at which the runs were made.
        metric: name of the metric that decides what is right.
        labels: label set of the six common benchmarks: original or corrected.
        benchmarks: name -> places (n,) of its crops that can be scored.
        images: name -> its crops, those that cannot be scored included.
        seeds: variant -> its seeds, ascending.
        credit: variant -> (S, N) float32: 1 where a seed read a crop right, NaN where it cannot be scored.
    """

    env: str
    metric: str
    labels: Labels
    benchmarks: dict[str, np.ndarray]
    images: dict[str, int]
    seeds: dict[str, tuple[int, ...]]
    credit: dict[str, np.ndarray]

    @property
    def crops(self) -> int:
        """Crops that can be scored."""
        return sum(len(places) for places in self.benchmarks.values())

    def accuracies(self, variant: str, benchmark: str) -> np.ndarray:
        """Percent, a value for each seed (S,)."""
        return 100 * self.credit[variant][:, self.benchmarks[benchmark]].mean(1, dtype=np.float64)


def read_results(
    runs: Mapping[tuple[str, int], Callable[[], pd.DataFrame]], env: str, metric: str, labels: Labels
) -> Results:
    """Collect the verdicts of all runs.

    Args:
        runs: for each variant and seed, a function that loads the judged predictions (benchmark, key, label and a
            column named like the metric).
        env, metric, labels: environment, metric and label set of the runs.

    Errors: InputError if two runs read other crops, or other labels.
    """
    if not runs:
        raise InputError(f"there are no predictions of environment `{env}`: run its evaluate pipeline first")
    credit, seeds = defaultdict(list), defaultdict(list)
    first, crops = "", pd.DataFrame()
    for (variant, seed), load in runs.items():
        table = load().sort_values(list(CROP), ignore_index=True)
        name, own = f"variant {variant}, seed {seed}", table[[*CROP, "label"]]
        if not first:
            first, crops = name, own
        elif not own.equals(crops):
            raise InputError(
                f"{name} read {len(own):,} crops and {first} {len(crops):,}, or other labels: evaluate both anew with "
                f"`kedro run --env={env} --pipelines=evaluate --params=variant=...,seed=...`"
            )
        credit[variant].append(table[metric].to_numpy(dtype="float32", na_value=np.nan))
        seeds[variant].append(seed)
    scorable = ~np.isnan(next(iter(credit.values()))[0])
    benchmark = crops["benchmark"].astype(str).to_numpy()
    places = {name: np.flatnonzero(scorable & (benchmark == name)) for name in dict.fromkeys(benchmark)}
    return Results(
        env=env,
        metric=metric,
        labels=labels,
        benchmarks={name: found for name, found in places.items() if len(found)},
        images={name: int((benchmark == name).sum()) for name in places},
        seeds={variant: tuple(found) for variant, found in seeds.items()},
        credit={variant: np.stack(rows) for variant, rows in credit.items()},
    )
