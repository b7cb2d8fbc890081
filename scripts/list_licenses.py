"""Write docs/dependencies.md: every package that the project brings along, with its license.

    .venv/bin/python scripts/list_licenses.py            # of the environment that runs it
    .venv/bin/python scripts/list_licenses.py --check    # fails where the file names another package or license

The licenses are what the packages say of themselves in their metadata, and nobody's legal advice.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import deque
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PROJECT, EXTRAS = FACTS["name"], FACTS["optional-dependencies"]
PAGE = ROOT / "docs" / "dependencies.md"
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|GPLv\d|LGPLv\d|EPL|MPL|EUPL|CDDL|OSL|GNU)\b|General Public|Mozilla|Eclipse", re.I)
WHY = {
    "asyncssh": "through DVC's scmrepo, for Git over SSH; the project never calls it",
    "certifi": "certificates, through requests",
    "dulwich": "through DVC, which may take it under Apache-2.0 instead",
    "grandalf": "through DVC, to draw `dvc dag` in the terminal",
    "pathspec": "through DVC",
    "pygit2": "through DVC's scmrepo",
    "tqdm": "progress bars",
    "zhconv": "in the extra `chinese` alone, which nothing else needs",
    "orjson": "through Kedro-Viz",
    "shtab": "through DVC, for completion in shells",
    "text-unidecode": "through Kedro's cookiecutter; or under the Artistic License",
}
"""Why a package under copyleft is there, where its reader will ask."""


def license_of(found: Distribution) -> str:
    """The license of a package in a few words, as its metadata says."""
    facts = found.metadata
    if expression := facts.get("License-Expression"):
        return expression
    names = [name.rpartition(" :: ")[2] for name in facts.get_all("Classifier") or () if name.startswith("License ::")]
    names = [name for name in names if name != "OSI Approved"]
    said = (facts.get("License") or "").strip().splitlines()
    if names:
        return " or ".join(names)
    return said[0][:60] if said else "not said"


def closure(extra: str | None) -> dict[str, Distribution]:
    """What is installed of all that the project needs, with one of its extras or none."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = deque([(PROJECT, extra or "")])
    while waiting:
        name, wanted = waiting.popleft()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name == PROJECT:
            lines = FACTS["dependencies"] + EXTRAS.get(wanted, [])
        else:
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                continue
            lines = found[name].requires or []
        for line in lines:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": wanted}):
                waiting += [(canonical(need.name), each) for each in need.extras or {""}]
                waiting.append((canonical(need.name), ""))
    return found


def canonical(name: str) -> str:
    """The name of a package as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def page() -> str:
    """The text of docs/dependencies.md."""
    extras = sorted(EXTRAS)
    needed = closure(None)
    use = dict.fromkeys(needed, "always")
    packages = dict(needed)
    for extra in sorted(extras, key=lambda extra: extra == "test"):
        for name, package in closure(extra).items():
            if name not in use:
                packages[name], use[name] = package, f"`{extra}`"
    licenses = {name: license_of(package) for name, package in packages.items()}
    rows = [f"| {name} | {licenses[name].replace('|', '/')} | {use[name]} |" for name in sorted(packages)]
    copyleft = [name for name in sorted(packages) if COPYLEFT.search(licenses[name])]
    marked = [
        f"| {name} | {licenses[name]} | {use[name]} | {WHY.get(name, '')} |".replace("|  |", "| |") for name in copyleft
    ]
    return "\n".join(
        [
            "# Dependencies and their licenses",
            "",
            f"What `pip install -e '.[{','.join(extras)}]'` brings along, {len(packages)} packages in all, as their",
            "metadata say; `scripts/list_licenses.py` writes this page. The project itself is under Apache-2.0, and",
            "contains none of their code. *Always*: needed without any extra; else the first extra that needs it.",
            "Packages that some machines alone need, such as NVIDIA's libraries for torch, are missing where they are",
            "not installed.",
            "",
            "## Under copyleft",
            "",
            "They are used as packages of their own, and not changed. Who passes on a whole environment, as an",
            "image of a machine for instance, passes these on as well, under their terms.",
            "",
            "| package | license | needed | why |",
            "| --- | --- | --- | --- |",
            *marked,
            "",
            "## All",
            "",
            "| package | license | needed |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the page, or compare it with what is installed."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, "utf-8")
        print(f"{PAGE}: {text.count('| ')} cells")
        return 0
    old = set(PAGE.read_text("utf-8").splitlines())
    if new := [line for line in text.splitlines() if line.startswith("| ") and line not in old]:
        advice = "write it anew: python scripts/list_licenses.py"
        print("docs/dependencies.md lacks", *new, advice, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
