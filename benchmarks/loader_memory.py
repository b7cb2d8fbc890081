"""How much memory the loader takes, with few crops and with many.

    python benchmarks/loader_memory.py --crops 10000 1000000 --json loader_memory.json

A packed store of each size is written first, of a few rendered words over and over. Each is then loaded in a process of
its own: the first 200 shuffled batches of an epoch. What counts is anonymous memory (RssAnon); resident memory counts
the mapped pages of LMDBs as well, which the system drops whenever it needs the room. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

DISTINCT = 64
SHARD_CROPS = 100_000
HEIGHT, WIDTH = 32, 128


def main() -> None:
    """Print a row per size, and write the rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes of the stores")
    parser.add_argument("--batches", type=int, default=200, help="that are taken")
    parser.add_argument("--batch-size", type=int, default=32, help="crops of a batch")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--folder", type=Path, help="where the stores go; removed afterwards")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    chosen = parser.parse_args()
    if chosen.load:
        print(json.dumps(load(chosen.load, chosen.batches, chosen.batch_size)))
        return
    rows = []
    for crops in chosen.crops:
        with tempfile.TemporaryDirectory(prefix="lmim-loader-", dir=chosen.folder) as folder:
            write(Path(folder), crops)
            asked = ["--load", folder, "--batches", str(chosen.batches), "--batch-size", str(chosen.batch_size)]
            done = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True, text=True)
        rows.append({"crops": crops, **json.loads(done.stdout)})
        shown = ", ".join(f"{name} {value:,}" for name, value in rows[-1].items())
        print(shown, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


def write(store: Path, crops: int) -> None:
    """A packed store as ingest leaves it, without a manifest."""
    from lmim_kedro.crops.sources.open import open_source
    from lmim_kedro.crops.store.packed import shard_folder, write_card
    from lmim_kedro.crops.store.shard_writer import ShardWriter

    words = open_source("words", {"format": "rendered", "words": DISTINCT, "seed": 0, "split": "pretraining"})
    blobs = [crop.data or b"" for crop in words.read(0, DISTINCT)]
    (store / "shards").mkdir()
    shards = []
    for number, start in enumerate(range(0, crops, SHARD_CROPS)):
        shards.append((shard_folder(store, number), "words", min(SHARD_CROPS, crops - start)))
        with ShardWriter(shards[-1][0]) as writer:
            for place in range(shards[-1][2]):
                writer.add(blobs[place % DISTINCT], None)
    write_card(store, "synthetic", False, shards)


def load(store: Path, batches: int, batch_size: int) -> dict[str, float]:
    """Memory in MiB before the loader is made, and after so many batches of its first epoch, which is still open."""
    from lmim_kedro.crops.loader import CropLoader
    from lmim_kedro.crops.store.packed import PackedStore

    before = memory("RssAnon")
    loader = CropLoader(PackedStore(store), height=HEIGHT, width=WIDTH, batch_size=batch_size, seed=0)
    epoch = loader.epoch(0)
    taken = sum(1 for _ in islice(epoch, batches))
    found = {
        "batches": taken,
        "before_mib": before,
        "anonymous_mib": memory("RssAnon"),
        "resident_mib": memory("VmRSS"),
    }
    epoch.close()
    return found


def memory(name: str) -> float:
    """Of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"/proc/self/status has no {name}: Linux is needed")


if __name__ == "__main__":
    main()
