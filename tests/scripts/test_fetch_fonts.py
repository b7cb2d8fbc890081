"""`make fonts`, with an npm and an apt-get that answer from a folder."""

import importlib.util
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/fetch_fonts.py"
LIST = """
licenses = ["OFL-1.1"]
[npm]
plain = "good sold"
varied = "absent"
[debian]
varied = "fonts-good fonts-gpl"
[words]
package = "scowl"
lists = [10]
"""
NPM = """#!{python}
import pathlib, shutil, sys
names = [name.rpartition("/")[2] for name in sys.argv[1:] if not name.startswith("-") and name != "pack"]
for name in names:
    archive = pathlib.Path({folder!r}, name + ".tgz")
    if not archive.exists():
        sys.exit("npm error 404 " + name)
    shutil.copy(archive, ".")
"""
APT = """#!{python}
import pathlib, sys
package = sys.argv[-1]
if not pathlib.Path({folder!r}, package).exists():
    sys.exit("E: Unable to locate package " + package)
pathlib.Path(package + "_1%3a2.0-1_all.deb").touch()
"""
DPKG = """#!{python}
import pathlib, shutil, sys
shutil.copytree(pathlib.Path({folder!r}, sys.argv[2].partition("_")[0]), ".", dirs_exist_ok=True)
"""


@pytest.fixture
def fetch():
    spec = importlib.util.spec_from_file_location("fetch_fonts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fetch_fonts"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose package managers know a few packages."""
    for name, license_name in (("good", "OFL-1.1"), ("sold", "proprietary")):
        _npm_package(tmp_path / f"{name}.tgz", name, license_name)
    for name, terms in (("fonts-good", "SIL Open Font License"), ("fonts-gpl", "GPL-3"), ("scowl", "public domain")):
        (tmp_path / name / "usr/share/doc" / name).mkdir(parents=True)
        (tmp_path / name / "usr/share/doc" / name / "copyright").write_text(terms)
        (tmp_path / name / f"{name}.otf").write_bytes(b"face")
    (tmp_path / "scowl/usr/share/dict/scowl").mkdir(parents=True)
    for kind, words in (("words", "the cat's\nna\xefve of"), ("upper", "Rome"), ("proper-names", "Ada")):
        (tmp_path / f"scowl/usr/share/dict/scowl/english-{kind}.10").write_text(words, "latin-1")
    (tmp_path / "bin").mkdir()
    for name, text in (("npm", NPM), ("apt-get", APT), ("dpkg-deb", DPKG)):
        (tmp_path / "bin" / name).write_text(text.format(python=sys.executable, folder=str(tmp_path)))
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "list.toml").write_text(LIST)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _npm_package(path, name, license_name):
    files = {
        "package.json": json.dumps({"name": f"@fontsource/{name}", "version": "5.0", "license": "see metadata"}),
        "metadata.json": json.dumps({"license": {"type": license_name, "attribution": "Ada"}}),
        f"files/{name}-latin-400-normal.woff2": "face",
        f"files/{name}-cyrillic-400-normal.woff2": "not this one",
        f"files/{name}-latin-100-normal.woff2": "nor this one",
    }
    with tarfile.open(path, "w:gz") as archive:
        for place, text in files.items():
            entry = tarfile.TarInfo(f"package/{place}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def test_faces_words_and_licenses_are_kept_and_the_rest_is_named(fetch, machine, capsys):
    assert fetch.main(["--to", str(machine / "raw"), "--list", str(machine / "list.toml")]) == 3
    raw = machine / "raw"
    found = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.suffix in (".woff2", ".otf", ".txt")}
    assert found == {
        "fonts/plain/good/good-latin-400-normal.woff2",
        "fonts/varied/fonts-good/fonts-good.otf",
        "words/common_10.txt",
        "words/names.txt",
    }
    assert (raw / "words/common_10.txt").read_text().split() == ["of", "the"]
    assert (raw / "words/names.txt").read_text().split() == ["Ada", "Rome"]
    rows = [line.split("\t") for line in (raw / "fonts/LICENSES.tsv").read_text().splitlines()]
    assert [row[1:4] for row in rows[1:]] == [
        ["@fontsource/good", "5.0", "OFL-1.1"],
        ["fonts-good", "1:2.0-1", "OFL-1.1"],
    ]
    told = capsys.readouterr()
    assert "2 font families, 2 files" in told.out
    assert "@fontsource/sold is under proprietary" in told.err
    assert (
        "npm could not fetch some of @fontsource/good, @fontsource/sold, @fontsource/absent: npm error 404" in told.err
    )
    assert "fonts-gpl is not under the Open Font License" in told.err


def test_a_machine_without_npm_gets_the_rest(fetch, machine, capsys):
    os.remove(machine / "bin/npm")
    assert fetch.main(["--to", str(machine / "raw"), "--list", str(machine / "list.toml")]) == 2
    assert "npm is not installed" in capsys.readouterr().err
    assert (machine / "raw/fonts/varied/fonts-good/fonts-good.otf").is_file()
