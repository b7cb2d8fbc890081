"""The data card: what a set of crops holds, source by source, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lmim_kedro.crops.store.manifest import manifest_tables
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.text.marks import shown

_COLUMNS = ["source", "width", "height", "label", "status", "reason", "turned"]
_SHOWN = 20
"""Characters that are listed."""


@dataclass(frozen=True)
class LabelRule:
    """What a recognizer can learn to write.

    Attributes:
        characters: characters it knows, in both cases where it folds case.
        longest: most characters of a label.
    """

    characters: frozenset[str]
    longest: int


@dataclass
class _Source:
    """Counts of one source so far."""

    turned: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sizes: list[np.ndarray] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)
    empty: int = 0
    outside: int = 0
    characters: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.Table, rule: LabelRule) -> None:
        """Count some of its rows of the manifest."""
        self.turned += pc.sum(rows["turned"]).as_py() or 0
        self.statuses.update(rows["status"].to_pylist())
        self.reasons.update(reason.partition(":")[0] for reason in rows["reason"].to_pylist() if reason)
        ok = rows.filter(pc.equal(rows["status"].cast(pa.string()), "ok"))
        self.sizes.append(np.stack([ok["width"].to_numpy(), ok["height"].to_numpy()]))
        self.empty += sum(not label.strip() for label in rows["label"].drop_null().to_pylist())
        labels = ok["label"].drop_null().to_pylist()
        self.lengths.append(np.array([len(label) for label in labels], np.int64))
        self.outside += sum(not rule.characters.issuperset(label) for label in labels)
        self.characters.update("".join(labels))


def describe_sources(
    store: PackedStore, duplicates: pd.DataFrame, leaks: pd.DataFrame, rule: LabelRule
) -> pd.DataFrame:
    """Describe each source of a store.

    Args:
        store: crops that are left out of it count as excluded.
        duplicates: the table of find_duplicates.
        leaks: leaks among the store's crops: columns source, store_index and match.
        rule: what labels are checked against.

    Returns:
        a row per source: the number of `crops` listed, `ok`, `set_aside` and `excluded`, with `reasons`; `turned`; 5 %,
        50 % and 95 % quantiles of width and height, in pixels, and of width / height. For the labels of crops that are
        ok: median and largest length, how many are too long or have characters that the recognizer cannot write,
        these characters, the number of characters and the most frequent ones. `labels_empty` counts all crops.
        `duplicates_exact` and `duplicates_near`: copies of an earlier crop; `leaks_exact` and `leaks_near`: crops that
        are also in a benchmark, or for a benchmark in a set to train on.
    """
    sources: dict[str, _Source] = {}
    for table in manifest_tables(store, _COLUMNS):
        names = table["source"].cast(pa.string())
        for name in names.unique().to_pylist():
            sources.setdefault(name, _Source()).add(table.filter(pc.equal(names, name)), rule)
    leaked = leaks.sort_values("match").drop_duplicates("store_index").groupby(["source", "match"]).size()
    found = {"duplicates": duplicates.groupby(["source", "copy"]).size(), "leaks": leaked}
    rows = []
    for name, source in sources.items():
        counts = {
            f"{what}_{kind}": int(sizes.get((name, kind), 0))
            for what, sizes in found.items()
            for kind in ("exact", "near")
        }
        rows.append({"source": name, **_row(source, rule), **counts})
    return pd.DataFrame(rows)


def describe_data(found: Mapping[str, Any], rule: LabelRule) -> pd.DataFrame:
    """Describe the sources of all uses: `use`, and the columns of describe_sources.

    Args:
        found: <use>_crops and <use>_duplicates for pretraining, finetuning and benchmarks; <use>_leaks for the two that
            are trained on.
        rule: what labels are checked against.
    """
    trained = {use: found[f"{use}_leaks"] for use in ("pretraining", "finetuning")}
    scored = pd.concat(trained.values())[["benchmark", "benchmark_index", "match"]]
    leaks = trained | {"benchmarks": scored.rename(columns={"benchmark": "source", "benchmark_index": "store_index"})}
    cards = {
        use: describe_sources(found[f"{use}_crops"], found[f"{use}_duplicates"], its_leaks, rule)
        for use, its_leaks in leaks.items()
    }
    return pd.concat(cards, names=["use"]).reset_index("use").reset_index(drop=True)


def _row(source: _Source, rule: LabelRule) -> dict[str, object]:
    width, height = np.concatenate(source.sizes, axis=1).astype(float)
    lengths = np.concatenate(source.lengths)
    outside = Counter({name: count for name, count in source.characters.items() if name not in rule.characters})
    return {
        "crops": source.statuses.total(),
        "ok": source.statuses["ok"],
        "set_aside": source.statuses["set aside"],
        "excluded": source.statuses["excluded"],
        "reasons": ", ".join(f"{count} {reason}" for reason, count in source.reasons.most_common()),
        "turned": source.turned,
        **_quantiles("width", width, 0),
        **_quantiles("height", height, 0),
        **_quantiles("aspect", width / height, 2),
        "labeled": len(lengths),
        "label_length_median": float(np.median(lengths)) if len(lengths) else None,
        "label_length_max": int(lengths.max()) if len(lengths) else None,
        "labels_empty": source.empty,
        "labels_too_long": int((lengths > rule.longest).sum()),
        "labels_outside": source.outside,
        "outside": _listed(outside),
        "characters": len(source.characters),
        "most_frequent": _listed(source.characters),
    }


def _quantiles(name: str, values: np.ndarray, digits: int) -> dict[str, object]:
    found = np.quantile(values, [0.05, 0.5, 0.95]).round(digits).tolist() if len(values) else [None] * 3
    return dict(zip((f"{name}_5", f"{name}_50", f"{name}_95"), found, strict=True))


def _listed(characters: Counter[str]) -> str:
    """Write "e 120, a 90": the most frequent first, ties by code point; ␣ is a space, U+200B a mark without width."""
    ranked = sorted(characters.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return ", ".join(f"{'␣' if name == ' ' else shown(name)} {count}" for name, count in ranked)
