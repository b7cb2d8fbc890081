"""Make a language model of words: `python scripts/make_language_model.py TARGET --env=reader`.

With --env, the words are drawn as those that the environment renders for fine-tuning, held-out ones among them. With
--words, they are those of files, one a line, each once. `lmim-kedro read --language=TARGET` reads with it.

The model that comes with the package (src/lmim_kedro/text/english.npz) is made by

    make fonts
    python scripts/make_language_model.py src/lmim_kedro/text/english.npz --env=reader
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.words import Vocabulary
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_text
from lmim_kedro.text.language import LanguageModel

ROOT = Path(__file__).resolve().parents[1]
DRAWN = 1_000_000


def main(arguments: list[str] | None = None) -> int:
    """Make the model and say how large it is; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="the file to write, .npz")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--env", help="environment whose rendered words are meant")
    source.add_argument("--words", type=Path, nargs="+", help="files of words, one a line")
    parser.add_argument("--drawn", type=int, default=DRAWN, help="words drawn with --env (default: %(default)s)")
    parser.add_argument("--conf", type=Path, default=ROOT / "conf", help="the configuration of --env")
    given = parser.parse_args(arguments)
    try:
        words = drawn_words(given.conf / given.env, given.drawn) if given.env else listed_words(given.words)
        model = LanguageModel.of(words)
        model.save(given.target)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{given.target}: {len(model.ngrams):,} n-grams, {given.target.stat().st_size / 1e6:.2f} MB")
    return 0


def drawn_words(environment: Path, count: int) -> Iterator[str]:
    """Words as the sources of fine-tuning of an environment draw them, by turns.

    Errors: InputError if one of them is not rendered.
    """
    catalog = environment / "catalog_ingest.yml"
    if not catalog.is_file():
        raise InputError(f"there is no {catalog}: name an environment with sources of its own")
    sources = yaml.safe_load(catalog.read_text("utf-8"))["finetuning.sources"]["sources"]
    if other := [name for name, source in sources.items() if source.get("format") != "rendered"]:
        raise InputError(f"{', '.join(other)} in {catalog} is not rendered: give its words as a file with --words")
    vocabularies = [Vocabulary(source["vocabulary"], {"as_is": 1}) for source in sources.values()]
    for number in range(count):
        vocabulary = vocabularies[number % len(vocabularies)]
        yield vocabulary.draw(Draws(number))


def listed_words(files: list[Path]) -> Iterator[str]:
    """The lines of text files."""
    for file in files:
        yield from read_text(file).split("\n")


if __name__ == "__main__":
    sys.exit(main())
