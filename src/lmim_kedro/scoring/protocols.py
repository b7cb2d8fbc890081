"""Evaluation protocols by name: which test sets, of which size, are averaged together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.metrics import Score

Labels = Literal["original", "corrected"]

SIZES: dict[str, int] = {
    "iiit5k": 3000, "svt": 647, "ic13_857": 857, "ic13_1015": 1015, "ic15_1811": 1811, "ic15_2077": 2077,
    "svtp": 645, "cute80": 288,
    "curve": 2426, "multi_oriented": 1369, "artistic": 900, "contextless": 779, "salient": 1585, "multi_words": 829,
    "general": 400_000,
    "scene": 63_646, "web": 14_059, "document": 50_000, "handwriting": 23_389,
}  # fmt: skip
"""Images of each published test set: common benchmarks, Union14M, Chinese benchmark."""

_SUBSETS: dict[str, tuple[str, ...]] = {
    "common_1015_2077": ("iiit5k", "ic13_1015", "svt", "ic15_2077", "svtp", "cute80"),
    "common_857_1811": ("iiit5k", "ic13_857", "svt", "ic15_1811", "svtp", "cute80"),
    "union14m": ("curve", "multi_oriented", "artistic", "contextless", "salient", "multi_words", "general"),
    "chinese": ("scene", "web", "document", "handwriting"),
}
NAMES = tuple(_SUBSETS)


@dataclass(frozen=True)
class EvaluationProtocol:
    """Test sets that belong together.

    The paper reports the six common benchmarks with 1,015 images of IC13 and 2,077 of IC15; others use 857 and 1,811.
    Averages of the two must not be compared, which is why they are two protocols.

    Attributes:
        name: one of NAMES.
        metric: name of the metric of its accuracies.
        subsets: names of its test sets.
        labels: original, or corrected: the corrected labels of the same images.
    """

    name: str
    metric: str
    subsets: tuple[str, ...]
    labels: Labels

    @property
    def sizes(self) -> dict[str, int]:
        """Images that each test set must have."""
        return {name: SIZES[name] for name in self.subsets}

    def average(self, scores: Mapping[str, Score]) -> tuple[float, float]:
        """Avg and W-Avg of the test sets, 0 to 1: each counting the same, and each by its images.

        Args:
            scores: by name of test set; others than the protocol's are ignored.

        Errors: InputError if a test set is missing, is not of its size, or has nothing that could be scored.
        """
        if missing := [name for name in self.subsets if name not in scores]:
            raise InputError(
                f"protocol {self.name} averages {', '.join(self.subsets)}, but {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing (found {', '.join(scores) or 'none'}): "
                "evaluate all of them, or give each accuracy by itself"
            )
        own = [scores[name] for name in self.subsets]
        for (name, size), each in zip(self.sizes.items(), own, strict=True):
            if (images := each.count + each.unscorable) != size:
                raise InputError(
                    f"`{name}` has {images:,} images, but in protocol {self.name} it has {size:,}: "
                    "use the published test set, all of it (the ingest summary says what was set aside, and why)"
                )
        if empty := [name for name in self.subsets if scores[name].count == 0]:
            raise InputError(f"no label of `{empty[0]}` can be scored by {self.metric}: check its labels")
        weighted = sum(each.accuracy * each.count for each in own) / sum(each.count for each in own)
        return sum(each.accuracy for each in own) / len(own), weighted


def labels_known(name: str) -> tuple[Labels, ...]:
    """The label sets that a protocol has: only the six common benchmarks have been corrected."""
    return ("original", "corrected") if name.startswith("common") else ("original",)


def get_protocol(name: str, labels: Labels = "original") -> EvaluationProtocol:
    """Look up a protocol by name, for original or corrected labels.

    Errors: InputError for an unknown name, or labels that do not exist for it.

    Example:
        >>> get_protocol("chinese").subsets
        ('scene', 'web', 'document', 'handwriting')
    """
    if name not in _SUBSETS:
        raise InputError(f"there is no protocol `{name}`: choose one of {', '.join(NAMES)}")
    known = labels_known(name)
    if labels not in known:
        raise InputError(f"protocol {name} has {' and '.join(known)} labels, not `{labels}`: choose one that exists")
    return EvaluationProtocol(name, "chinese" if name == "chinese" else "waics", _SUBSETS[name], labels)
