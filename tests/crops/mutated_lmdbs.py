"""What becomes of LMDBs of which bytes were changed: `python -m tests.crops.mutated_lmdbs 300 /tmp/folder`.

Each is read whole, as ingest would. It counts how it ended: in crops that are all as they were, in crops of which some
are not, or in a sentence. Anything else, such as the end of this process, is a fault of the project.
"""

import hashlib
import shutil
import sys
from collections import Counter
from pathlib import Path

import lmdb
import numpy as np

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError

CROPS, PAGE = 300, 4096


def make(folder: Path) -> dict[str, str]:
    """Write an LMDB of 300 crops with labels, of 1 to 9 KB each; returns the hash of each crop."""
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), lock=False, map_size=2**26) as env:
        for start in range(1, CROPS + 1, 100):  # several transactions leave free pages
            with env.begin(write=True) as txn:
                txn.put(b"num-samples", b"%d" % CROPS)
                for number in range(start, start + 100):
                    txn.put(b"image-%09d" % number, rng.bytes(int(rng.integers(1000, 9000))))
                    txn.put(b"label-%09d" % number, b"word %d" % number)
    return read(folder)


def read(folder: Path) -> dict[str, str]:
    """The hash of each crop, by its key."""
    source = open_source("a", {"path": str(folder)})
    return {
        crop.key: hashlib.sha256(repr((crop.data, crop.label, crop.reason)).encode()).hexdigest()
        for crop in source.read(0, len(source))
    }


def mutate(file: Path, seed: int) -> str:
    """Change a file in a way that the seed chooses; returns what was done."""
    rng = np.random.default_rng(seed)
    data = bytearray(file.read_bytes())
    pages = len(data) // PAGE
    heads = [page for page in range(pages) if data[page * PAGE + 10] & 3]  # branches and leaves
    how = ("bits", "head", "page", "zeros", "meta", "cut", "numbers")[seed % 7]
    if how == "bits":
        for place in rng.integers(0, len(data), 40):
            data[place] ^= 1 << int(rng.integers(8))
    elif how == "head":
        place = int(rng.choice(heads)) * PAGE + int(rng.integers(0, 64))
        data[place : place + 4] = rng.bytes(4)
    elif how == "page":
        page = int(rng.integers(2, pages)) * PAGE
        data[page : page + PAGE] = rng.bytes(PAGE)
    elif how == "zeros":
        page = int(rng.choice(heads)) * PAGE
        data[page : page + PAGE] = bytes(PAGE)
    elif how == "meta":
        place = int(rng.integers(0, 2)) * PAGE + int(rng.integers(16, 152))
        data[place : place + 2] = rng.bytes(2)
    elif how == "cut":
        data = data[: len(data) - int(rng.integers(1, 70 * PAGE))]
    else:
        page = int(rng.choice(heads)) * PAGE
        for place in rng.integers(16, PAGE - 8, 6):
            data[page + place : page + place + 4] = b"\xff\xff\xff\x7f"
    file.write_bytes(data)
    return how


def outcome(folder: Path, whole: dict[str, str]) -> str:
    """How reading a changed LMDB ends."""
    try:
        found = read(folder)
    except InputError as error:
        text = str(error)
        return "died in its own process, one sentence" if "died" in text else "one sentence"
    return "all crops as they were" if found == whole else "some crops changed or missing, in their places"


def main(number: int, folder: Path) -> Counter[tuple[str, str]]:
    """Try seeds 0 to `number`."""
    whole = make(folder / "whole")
    counts: Counter[tuple[str, str]] = Counter()
    for seed in range(number):
        mutant = folder / f"{seed}"
        shutil.copytree(folder / "whole", mutant)
        how = mutate(mutant / "data.mdb", seed)
        counts[how, outcome(mutant, whole)] += 1
        shutil.rmtree(mutant)
    return counts


if __name__ == "__main__":
    found = main(int(sys.argv[1]), Path(sys.argv[2]))
    for (how, ended), count in sorted(found.items()):
        print(f"{how:8} {count:4}  {ended}")
    for ended, count in Counter(ended for _, ended in found.elements()).most_common():
        print(f"{count:13}  {ended}")
