"""Draw docs/images/labels.png from docs/tables/labels.csv: accuracy by number of labels and by start."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
STARTS = {
    "ready": ("the ready reader", "#00796b"),
    "encoder": ("its encoder alone", "#5c6bc0"),
    "scratch": ("scratch", "#8d6e63"),
}
SETS = {"iiit5k": "IIIT5K", "svt": "SVT", "ic13_1015": "IC13"}
ALONE = {"iiit5k": 84.4, "svt": 76.2, "ic13_1015": 81.8}  # the ready reader as it is, one look, no language model


def main() -> None:
    """Draw the figure."""
    rows = pd.read_csv(ROOT / "docs/tables/labels.csv")
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.5), sharey=True, layout="constrained")
    for axis, (name, title) in zip(axes, SETS.items(), strict=True):
        for start, (label, color) in STARTS.items():
            found = rows[(rows["benchmark"] == name) & (rows["start"] == start)].groupby("labels")["waics_percent"]
            mean, low, high = found.mean(), found.min(), found.max()
            axis.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
            axis.plot(mean.index, mean, "o-", color=color, label=label)
        axis.axhline(ALONE[name], color="#616161", linestyle=":", linewidth=1, label="the ready reader as it is")
        axis.set(title=title, xscale="log", xlabel="labels", ylim=(0, 100))
        axis.set_xticks([100, 500, 2000], ["100", "500", "2,000"])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("words right, % (WAICS)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(ROOT / "docs/images/labels.png", dpi=160)


if __name__ == "__main__":
    main()
