"""Fetch free fonts and word lists for rendered words, as scripts/fonts.toml names them: `make fonts`.

Fonts come from npm's @fontsource packages (`npm pack`) and from Debian's (`apt-get download`), word lists from Debian's
scowl. Only the files that rendering needs are kept, below data/01_raw/{fonts,words}, with the license of each in
LICENSES.tsv beside them. Where npm or apt-get is not there, its part is left out with a sentence.
"""

import argparse
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FACES = re.compile(r"package/files/[a-z0-9-]+-latin-(400|700|900)-(normal|italic)\.woff2$")
FONT_SUFFIXES = (".ttf", ".otf")
AT_ONCE = 20
PLAIN_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Kept:
    """One package whose files were kept."""

    group: str
    package: str
    version: str
    license: str
    files: int
    attribution: str


class NoPackage(Exception):
    """A package manager gave no package, with the sentence that says so."""


def main(arguments: list[str] | None = None) -> int:
    """Fetch everything; return how many packages could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("data/01_raw"), help="the folder that gets fonts/ and words/")
    parser.add_argument("--list", type=Path, default=Path(__file__).with_name("fonts.toml"), help="what to fetch")
    options = parser.parse_args(arguments)
    wanted = tomllib.loads(options.list.read_text(encoding="utf-8"))
    fonts, words, problems = options.to / "fonts", options.to / "words", []
    kept: list[Kept] = []
    steps = (
        ("npm", _fetch_npm, [fonts, wanted["npm"], wanted["licenses"]]),
        ("apt-get", _fetch_debian, [fonts, wanted["debian"]]),
        ("apt-get", _fetch_words, [words, wanted["words"]]),
    )
    for tool, step, given in steps:
        if shutil.which(tool) is None:
            problems.append(
                f"{tool} is not installed, so its packages were left out: install it, or fetch them by hand"
            )
            continue
        for one in step(*given):
            if isinstance(one, Kept):
                kept.append(one)
            else:
                problems.append(one)
    _write_licenses(fonts, [one for one in kept if one.group != "words"])
    _write_licenses(words, [one for one in kept if one.group == "words"])
    families = sum(one.group != "words" for one in kept)
    print(f"{families} font families, {sum(one.files for one in kept if one.group != 'words')} files in {fonts}")
    print(f"word lists in {words}: {', '.join(sorted(path.name for path in words.glob('*.txt'))) or 'none'}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return len(problems)


def _fetch_npm(folder: Path, groups: dict[str, str], licenses: list[str]) -> Iterator[Kept | str]:
    group_of = {f"@fontsource/{name}": group for group, names in groups.items() for name in names.split()}
    names = list(group_of)
    for start in range(0, len(names), AT_ONCE):
        with tempfile.TemporaryDirectory() as here:
            some = names[start : start + AT_ONCE]
            done = _run(["npm", "pack", "--silent", *some], here)
            for archive in sorted(Path(here).glob("*.tgz")):
                yield _keep_npm(archive, folder, group_of, licenses)
            if done.returncode:
                yield f"npm could not fetch some of {', '.join(some)}: {_last_line(done.stderr)}"


def _keep_npm(archive: Path, folder: Path, group_of: dict[str, str], licenses: list[str]) -> Kept | str:
    with tarfile.open(archive) as files:
        about = json.load(_member(files, "package/package.json"))
        facts = json.load(_member(files, "package/metadata.json"))
        license_name = _license(facts, about)
        if license_name not in licenses:
            return f"{about['name']} is under {license_name}, which is not among the licenses of the list: left out"
        target = folder / group_of[about["name"]] / about["name"].rpartition("/")[2]
        target.mkdir(parents=True, exist_ok=True)
        faces = [name for name in files.getnames() if FACES.match(name)]
        for name in faces:
            (target / Path(name).name).write_bytes(_member(files, name).read())
    if not faces:
        return f"{about['name']} {about['version']} holds no Latin face of weight 400, 700 or 900: left out"
    attribution = facts["license"].get("attribution", "") if isinstance(facts["license"], dict) else ""
    return Kept(group_of[about["name"]], about["name"], about["version"], license_name, len(faces), attribution)


def _license(facts: dict, about: dict) -> str:
    found = facts.get("license", about.get("license", "no named license"))
    return str(found.get("type", "no named license") if isinstance(found, dict) else found)


def _member(files: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    member = files.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member  # type: ignore[return-value]


def _fetch_debian(folder: Path, groups: dict[str, str]) -> Iterator[Kept | str]:
    for group, names in groups.items():
        for name in names.split():
            with tempfile.TemporaryDirectory() as here:
                try:
                    version = _unpack(name, here)
                except NoPackage as problem:
                    yield str(problem)
                    continue
                terms = (Path(here) / "usr/share/doc" / name / "copyright").read_text(errors="replace")
                if not re.search(r"Open Font License|OFL", terms):
                    yield f"{name} is not under the Open Font License: left out"
                    continue
                faces = [file for file in Path(here).rglob("*") if file.suffix in FONT_SUFFIXES]
                target = folder / group / name
                target.mkdir(parents=True, exist_ok=True)
                for file in faces:
                    shutil.copyfile(file, target / file.name)
                (target / "copyright").write_text(terms, encoding="utf-8")
                yield Kept(group, name, version, "OFL-1.1", len(faces), "see the file copyright in its folder")


def _fetch_words(folder: Path, wanted: dict) -> Iterator[Kept | str]:
    package = wanted["package"]
    with tempfile.TemporaryDirectory() as here:
        try:
            version = _unpack(package, here)
        except NoPackage as problem:
            yield str(problem)
            return
        folder.mkdir(parents=True, exist_ok=True)
        lists = Path(here) / "usr/share/dict/scowl"
        for level in wanted["lists"]:
            _write_words(folder / f"common_{level}.txt", [lists / f"english-words.{level}"])
        names = [
            lists / f"{kind}.{level}" for kind in ("english-upper", "english-proper-names") for level in (10, 35, 50)
        ]
        _write_words(folder / "names.txt", names)
        shutil.copyfile(Path(here) / "usr/share/doc" / package / "copyright", folder / "copyright")
    yield Kept("words", package, version, "SCOWL", len(list(folder.glob("*.txt"))), "see the file copyright")


def _write_words(target: Path, lists: list[Path]) -> None:
    """Write the words of some lists, one a line, without those that hold more than the letters a to z."""
    words = [word for file in lists if file.exists() for word in file.read_text("latin-1").split()]
    kept = sorted({word for word in words if PLAIN_WORD.fullmatch(word)})
    target.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _unpack(package: str, here: str) -> str:
    """Unpack a Debian package into a folder and return its version."""
    done = _run(["apt-get", "download", package], here)
    archives = list(Path(here).glob("*.deb"))
    if done.returncode or not archives:
        raise NoPackage(f"apt-get could not fetch {package} (run apt-get update first?): {_last_line(done.stderr)}")
    _run(["dpkg-deb", "-x", archives[0].name, "."], here)
    return archives[0].name.split("_")[1].replace("%3a", ":")


def _run(command: list[str], here: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=here, capture_output=True, text=True)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1]


def _write_licenses(folder: Path, kept: list[Kept]) -> None:
    if not kept:
        return
    with (folder / "LICENSES.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(Kept.__dataclass_fields__)
        table.writerows(vars(one).values() for one in kept)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
