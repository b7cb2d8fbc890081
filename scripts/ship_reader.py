"""Ship a recognizer as the ready reader: `python scripts/ship_reader.py RECOGNIZER`.

Writes src/lmim_kedro/reading/ready: the weights as 16-bit floats for torch (recognizer/) and for ONNX Runtime (onnx/),
the licenses of the fonts and word lists that it was trained with (LICENSES.tsv), what is known about it (facts.json),
and the card (CARD.md), which is docs/reader.md as well. Recipe, scores and machine are those of the run that left the
recognizer; --note adds what its files do not say. Needs the extra `onnx` and what `make fonts` left in data/01_raw.

`--card` writes the card anew from facts.json, after a change of scripts/ready_card.md.jinja.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml

from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, read_sums, write_json
from lmim_kedro.models.folder import READY, WEIGHTS
from lmim_kedro.params import ModelParams
from lmim_kedro.reading.folder import require_recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.recipe import require_pair
from lmim_kedro.registries import DECODERS

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 8_000_000  # bytes of both files of weights together
WORDS = 300  # rendered words that torch and ONNX must read alike
ALIKE = 0.99  # share of them; torch and ONNX Runtime may round a tie to either side
TIMED = 200
ANY = 10**6
LENGTHS = ((1, 1), (2, 3), (4, 6), (7, 9), (10, 12), (13, ANY))  # characters of words that the card shows together


def main(arguments: list[str] | None = None) -> int:
    """Ship the recognizer, or only write the card anew; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recognizer", type=Path, nargs="?", help="folder of the recognizer that a run left")
    parser.add_argument("--card", action="store_true", help="only write the card anew")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of the data layers")
    parser.add_argument("--conf", type=Path, default=ROOT / "conf", help="the configuration that the run used")
    parser.add_argument("--made-by", help="the command that trained it, where it had more parameters than its variant")
    parser.add_argument("--note", help="what the run's files do not say, for the card: how it was chosen among others")
    parser.add_argument("--to", type=Path, default=READY, help="the folder to write")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/reader.md", help="the page that is the card as well")
    given = parser.parse_args(arguments)
    try:
        if not given.card:
            if given.recognizer is None:
                raise InputError("no recognizer was named: give the folder of one, or --card")
            ship(given.recognizer, given.data, given.conf, given.to, given.made_by, given.note)
        write_card(given.to, given.page)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def ship(
    recognizer: Path, data: Path, conf: Path, target: Path, made_by: str | None = None, note: str | None = None
) -> None:
    """Replace the folder `target` by the ready reader that a recognizer becomes; on an error it stays as it was."""
    facts = facts_of_run(recognizer, data, conf, made_by) | {"note": note}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "ready"
        facts |= write_weights(recognizer, made, facts["scores"]["looks"], facts["scores"]["language"])
        licenses = [row for part in ("fonts", "words") for row in licenses_of(data / "01_raw" / part)]
        write_licenses(licenses, made / "LICENSES.tsv")
        facts["fonts"] = dict(Counter(row["license"] for row in licenses if row["group"] != "words").most_common())
        facts["lists"] = [f"{row['package']} {row['version']}" for row in licenses if row["group"] == "words"]
        write_json(made / "facts.json", facts)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    print(f"{target}: {facts['bytes']['torch'] / 1e6:.1f} MB for torch, {facts['bytes']['onnx'] / 1e6:.1f} MB for ONNX")
    print(f"{facts['milliseconds']:.1f} ms a crop, {facts['cold_seconds']:.2f} s of processor time for the first word")


def facts_of_run(recognizer: Path, data: Path, conf: Path, made_by: str | None) -> dict[str, Any]:
    """What the run that left a recognizer wrote about it: recipe, scores, machine, the words that it rendered.

    Errors: InputError if something is missing, or the run trained on anything but rendered words.
    """
    require_recognizer(recognizer)
    sha256 = read_sums(recognizer).get(WEIGHTS)
    recipe = _required(recognizer.parent / "recipe.json")
    require_pair(recipe, sha256, f"the recognizer in {recognizer}", "kedro run --nodes=note_recipe")
    place = Path(recipe["variant"], recipe["env"], f"seed{recipe['seed']}")
    scores = _required(data / "08_reporting" / place / "scores.json")
    require_pair(recipe, scores.get("sha256"), "scores.json", "kedro run --pipelines=evaluate,report")
    machine = _required(data / "07_model_output" / place / "run_facts.json")
    catalog = yaml.safe_load((conf / recipe["env"] / "catalog_ingest.yml").read_text("utf-8"))
    rendered = {}
    for use in ("pretraining", "finetuning"):
        sources = catalog[f"{use}.sources"]["sources"]
        if other := [name for name, source in sources.items() if source.get("format") != "rendered"]:
            raise InputError(
                f"the environment {recipe['env']} trains on {', '.join(other)} too: the card promises rendered words "
                "alone, so ship another recognizer, or say in scripts/ready_card.md.jinja whose crops these are"
            )
        if use == "finetuning" or recipe["pretraining"]["method"] != "none":
            rendered[use] = sum(source["words"] for source in sources.values())
    params = ",".join(f"{name}={recipe[name]}" for name in ("variant", "seed") if (name, recipe[name]) != ("seed", 0))
    return {
        "model": recipe["model_name"],
        "command": made_by or f"kedro run --env={recipe['env']} --params={params}",
        "recognizer": str(Path("data/06_models", place, "recognizer")),
        "made": f"{datetime.fromtimestamp((recognizer / WEIGHTS).stat().st_mtime, UTC):%Y-%m-%d}",
        "recipe": recipe,
        "rendered": rendered,
        "scores": {name: scores[name] for name in ("metric", "labels", "looks", "language", "accuracy", "interval_95")},
        "by_length": by_length(data / "08_reporting" / place / "accuracy_by_length.csv"),
        "calibration_error": scores.get("calibration_error"),
        "machine": {name: machine.get(name) for name in ("torch", "processor", "gpu", "commit", "parameters")},
    }


def by_length(file: Path) -> dict[str, dict[str, float]]:
    """Crops and accuracy (a fraction) of words of about the same length, all sets together, as `report` counted them.

    Errors: InputError if there is no such file.
    """
    with _existing(file).open(encoding="utf-8", newline="") as lines:
        rows = [(int(row["length"].lstrip("≥")), row) for row in csv.DictReader(lines)]
    found = {}
    for least, most in LENGTHS:
        some = [row for length, row in rows if least <= length <= most]
        if crops := sum(int(row["crops"]) for row in some):
            name = f"{least}" if least == most else f"{least} to {most}" if most < ANY else f"{least} or more"
            right = sum(int(row["crops"]) * float(row["accuracy_percent"]) / 100 for row in some)
            found[name] = {"n": crops, "accuracy": round(right / crops, 6)}
    return found


def write_weights(recognizer: Path, made: Path, looks: int, language: str) -> dict[str, Any]:
    """Write the two folders of weights, check that they read alike, and return sizes and speed.

    The reader will look at each crop as often as it did when it was scored, with the same language model.

    Errors: InputError if they are too large together, or read differently.
    """
    from lmim_kedro.models.weights import load_recognizer, save_model
    from lmim_kedro.reading.export_onnx import export_recognizer
    from lmim_kedro.reading.reader import Reader

    ready = load_recognizer(recognizer).half()
    ready.looks, ready.language = looks, None if language == "none" else language
    save_model(made / "recognizer", ready)
    weights = made / "recognizer" / "model.safetensors"
    weights.chmod(0o644)  # safetensors writes for its owner alone
    graphs = export_recognizer(load_recognizer(made / "recognizer"), made / "onnx", "float16")
    (made / "onnx" / "read.py").unlink()  # in the package, `lmim-kedro read` does this
    size = {"torch": weights.stat().st_size, "onnx": sum(graph.stat().st_size for graph in graphs)}
    if sum(size.values()) > LARGEST:
        raise InputError(
            f"the weights take {sum(size.values()) / 1e6:.1f} MB, and the package holds {LARGEST / 1e6:g} MB at most: "
            "ship a smaller model"
        )
    exported = OnnxReader(made / "onnx", threads=1)
    crops = [(None, crop) for crop in RenderedWords(WORDS, 5, "heldout").read(0, WORDS)]
    pairs = zip(*(each.read_named(crops) for each in (Reader.load(made / "recognizer", "cpu"), exported)), strict=True)
    same = sum(one.text == other.text for one, other in pairs)
    if same < ALIKE * WORDS:
        raise InputError(f"torch and ONNX read only {same} of {WORDS} rendered words alike: do not ship these weights")
    print(f"torch and ONNX read {same} of {WORDS} rendered words alike")
    return {
        "bytes": size,
        "milliseconds": milliseconds_a_crop(exported),
        "cold_seconds": cold_seconds(made / "onnx"),
    }


def milliseconds_a_crop(reader: OnnxReader) -> float:
    """Processor time of one rendered word at batch 1, decoded, in milliseconds; the mean of TIMED."""
    words = [crop.data for crop in RenderedWords(TIMED, 6, "heldout").read(0, TIMED) if crop.data]
    images = decode_batch(words, reader.height, reader.width)[0][:, None]
    for image in images[:20]:
        reader.look(image)
    start = time.process_time()
    for image in images:
        reader.look(image)
    return 1000 * (time.process_time() - start) / len(images)


def cold_seconds(folder: Path) -> float:
    """Processor time, in seconds, of `lmim-kedro read` with one word in a new process; the least of three."""
    with tempfile.TemporaryDirectory() as scratch:
        word = Path(scratch) / "word.jpg"
        word.write_bytes(RenderedWords(1, 5, "heldout").render(0)[1])
        command = [sys.executable, "-m", "lmim_kedro", "read", f"--recognizer={folder}", str(word)]
        spent = []
        for _ in range(3):
            before = os.times()
            subprocess.run(command, check=True, capture_output=True)
            after = os.times()
            spent.append(sum(after[2:4]) - sum(before[2:4]))
    return min(spent)


def licenses_of(folder: Path) -> list[dict[str, str]]:
    """The rows of the LICENSES.tsv that `make fonts` wrote. Errors: InputError if there is none."""
    file = folder / "LICENSES.tsv"
    if not file.is_file():
        raise InputError(f"there is no {file}, which says whose fonts and words these are: run `make fonts` first")
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def write_licenses(rows: list[dict[str, str]], file: Path) -> None:
    """Write the licenses of fonts and word lists as one table."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        table = csv.DictWriter(lines, rows[0].keys(), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write_card(folder: Path, page: Path) -> None:
    """Write the card of the weights in a folder, there and as a page of the documentation, from its facts.json."""
    text = card(_required(folder / "facts.json"), require_recognizer(folder / "recognizer"))
    (folder / "CARD.md").write_text(text, "utf-8")
    page.write_text(text, "utf-8")


def card(facts: dict[str, Any], config: dict[str, Any]) -> str:
    """The card in Markdown.

    Args:
        facts: what facts.json holds.
        config: the recognizer's config.json.
    """
    from lmim_kedro.reporting.recipe_in_words import recipe_in_words

    groups = recipe_in_words(facts["recipe"], {"parameters": facts["machine"]["parameters"]})
    rows = [(what, value) for title, group in groups if title != "Run" for what, value in group]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("ready_card.md.jinja").read_text("utf-8"))
    longest = DECODERS[config["decoder"]].longest_label(ModelParams(**config["model"]), config["max_length"])
    return template.render(facts, config=config, rows=rows, longest=longest).rstrip() + "\n"


def _required(file: Path) -> dict[str, Any]:
    return read_json(_existing(file))


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"there is no {file}: ship a recognizer that `kedro run` left, with its report")
    return file


if __name__ == "__main__":
    sys.exit(main())
