"""Do the tests notice a wrong program? Random small changes of the code, each with the tests that run its line.

    make mutants                              200 changes, seed 0
    python tests/mutants.py --count 50 --seed 1 --packages models,views

The suite runs once under coverage, so that each change meets only the tests that execute its line. Each change is made
in a copy of the project; nothing here is touched. Prints the changes that no test noticed, and the share that was.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = "scoring,reporting,models,views,training"
COPIED = (
    "src",
    "tests",
    "conf",
    "benchmarks",
    "scripts",
    "docs",
    "notebooks",
    "pyproject.toml",
    "dvc.yaml",
    "README.md",
    "LICENSE",
)
PATIENCE = 240  # seconds; a program that a change makes endless is noticed too
HEAVY = ("numpy", "torch", "torch.nn.functional", "pandas", "scipy.stats", "cv2", "PIL.Image", "pyarrow")

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sum": "mean",
    "mean": "sum",
    "sin": "cos",
    "cos": "sin",
}
SAME = ("frozen", "strict")
"""Keywords that guard and do not compute: a program that assigns to no field and zips equal lengths is the same one."""
LOOKS = (
    *("alpha", "aspect", "capsize", "elinewidth", "figsize", "fontsize", "fraction", "h_pad", "height", "hspace"),
    *("labelpad", "linestyle", "linewidth", "markersize", "nbins", "ncols", "pad", "rotation", "w_pad", "width"),
    "wspace",
)
"""Keywords of a drawing's sizes and gaps, where a file imports matplotlib: another one is a matter of taste."""


@dataclass(frozen=True)
class Change:
    """One change: the characters `start` to `stop` of a file become `text`."""

    file: str
    line: int
    start: int
    stop: int
    text: str

    def apply(self, source: str) -> str:
        """The changed source."""
        return source[: self.start] + self.text + source[self.stop :]


def changes_of(file: str, source: str) -> Iterator[Change]:
    """Every change that this tool knows to make to a module."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.splitlines(keepends=True)

    def place(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def change(node: Any, new: ast.AST) -> Change:
        text = ast.unparse(new)
        text = f"({text})" if isinstance(new, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp) else text
        return Change(
            file, node.lineno, place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset), text
        )

    skipped = SAME + LOOKS if "import matplotlib" in source else SAME
    for node in _code(ast.parse(source), skipped):
        match node:
            case ast.BinOp(op=op) if type(op) in SWAPS and not _is_text(node):
                yield change(node, ast.BinOp(node.left, SWAPS[type(op)](), node.right))
            case ast.BoolOp(op=op):
                yield change(node, ast.BoolOp(SWAPS[type(op)](), node.values))
            case ast.Compare(ops=[op]) if type(op) in SWAPS:
                yield change(node, ast.Compare(node.left, [SWAPS[type(op)]()], node.comparators))
            case ast.UnaryOp(op=ast.Not()):
                yield change(node, node.operand)
            case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
                yield change(node, node.operand)
            case ast.Constant(value=bool(value)):
                yield change(node, ast.Constant(not value))
            case ast.Constant(value=int(value)):
                yield change(node, ast.Constant(value + 1))
            case ast.Constant(value=float(value)):
                yield change(node, ast.Constant(value * 2 if value else 1.0))
            case ast.Attribute(attr=name) if name in NAMES:
                yield change(node, ast.Attribute(node.value, NAMES[name], ast.Load()))
            case ast.Call(func=ast.Name(id=name)) if name in NAMES and NAMES[name] != "mean":
                yield change(node.func, ast.Name(NAMES[name], ast.Load()))


def _code(tree: ast.AST, skipped: tuple[str, ...]) -> Iterator[ast.AST]:
    """Nodes that compute: without annotations, raised errors, log lines, texts in f-strings and defaults of fields."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Raise | ast.JoinedStr | ast.arguments | ast.Assert):
            continue
        if isinstance(child, ast.keyword) and child.arg in skipped:
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr == "default_rng":
            continue  # a seed is as good as another
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) and child.target.id == "STYLE":
            continue  # fonts, lines and grays of all drawings
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and _is_log(child.func):
            continue
        if isinstance(child, ast.AnnAssign):
            if child.value is not None:
                yield child.value
                yield from _code(child.value, skipped)
            continue
        if isinstance(child, ast.FunctionDef):
            for statement in child.body:
                yield statement
                yield from _code(statement, skipped)
            continue
        yield child
        yield from _code(child, skipped)


def _is_log(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id in ("log", "warnings")


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def covered_by(project: Path, store: Path, tests: str) -> dict[tuple[str, int], list[str]]:
    """Run the suite once: (file below src, line) -> the tests that execute it, those of its own package first."""
    from coverage import CoverageData

    settings = store / "coveragerc"
    settings.write_text(f"[run]\nsource = {project / 'src'}\ndata_file = {store / 'data'}\n")
    if not (store / "data").exists():
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-p"]
        command += ["no:cacheprovider", "-p", "tests.mutants_context", *tests.split()]
        subprocess.run(command, cwd=project, env=_environment(project), check=False)
    data = CoverageData(str(store / "data"))
    data.read()
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for file in data.measured_files():
        name = "src/" + file.rpartition("/src/")[2]
        package = Path(name).parts[2] if len(Path(name).parts) > 3 else ""
        by_line = {line: {*filter(None, contexts)} for line, contexts in data.contexts_by_lineno(file).items()}
        every = set().union(*by_line.values())
        for line, tests in by_line.items():  # a line that only an import executes may matter to any test of the file
            found[name, line] = sorted(tests or every, key=lambda test: (f"tests/{package}/" not in test, test))
    return found


def _environment(project: Path) -> dict[str, str]:
    path = os.pathsep.join((str(project / "src"), str(project)))
    shared = os.environ.get("LMIM_SHARED", str(ROOT.parent / "shared"))  # golden values lie beside the project, if any
    own = {"PYTHONPATH": path, "LMIM_SHARED": shared, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | own


def _worker(project: Path, waiting: Any, done: Any) -> None:
    """Try changes from a queue, each in a process of its own that has the heavy libraries already."""
    os.environ.update(_environment(project))
    sys.path[:0] = [str(project / "src"), str(project)]
    os.chdir(project)
    for name in HEAVY:
        __import__(name)
    while (task := waiting.get()) is not None:
        change, tests = task
        file = project / change.file
        whole = file.read_text("utf-8")
        file.write_text(change.apply(whole), "utf-8")
        child = os.fork()
        if child == 0:
            _try(tests)
        try:
            done.put((change, _outcome(child)))
        finally:
            file.write_text(whole, "utf-8")


def _try(tests: list[str]) -> None:
    import pytest

    os.setsid()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    signal.alarm(PATIENCE)
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests])))


def _outcome(child: int) -> bool:
    """Whether the tests noticed: any end but a passed run."""
    _, status = os.waitpid(child, 0)
    return status != 0


def main() -> int:
    """Print what was not noticed; 0 if at least the wanted share was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packages", default=PACKAGES)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tests", default="tests", help="what pytest runs, by paths")
    parser.add_argument("--keep", type=Path, help="folder in which the coverage of the suite is kept and looked for")
    parser.add_argument("--wanted", type=float, default=0.97)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / f"copy{number}" for number in range(given.workers)]
        for copy in copies:
            for name in COPIED:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
                elif (ROOT / name).exists():
                    copy.mkdir(exist_ok=True)
                    shutil.copy(ROOT / name, copy / name)
            (copy / "data" / "01_raw").mkdir(parents=True)
        store = given.keep or Path(folder)
        store.mkdir(parents=True, exist_ok=True)
        tests_of = covered_by(copies[0], store, given.tests)
        every = [
            change
            for package in given.packages.split(",")
            for file in sorted((copies[0] / "src" / "lmim_kedro" / package).rglob("*.py"))
            for change in changes_of(str(file.relative_to(copies[0])), file.read_text("utf-8"))
        ]
        chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
        context = get_context("fork")
        waiting, done = context.Queue(), context.Queue()
        results = {}
        for change in chosen:
            tests = tests_of.get((change.file, change.line), [])
            if tests:
                waiting.put((change, tests))
            else:
                results[change] = False
        for _ in copies:
            waiting.put(None)
        workers = [context.Process(target=_worker, args=(copy, waiting, done)) for copy in copies]
        for worker in workers:
            worker.start()
        while len(results) < len(chosen):
            try:
                change, noticed = done.get(timeout=5)
            except Empty:
                if not all(worker.is_alive() or worker.exitcode == 0 for worker in workers):
                    raise RuntimeError("a worker ended early; its traceback is above") from None
                continue
            results[change] = noticed
            print("." if noticed else "S", end="", flush=True)
        for worker in workers:
            worker.join()
        print()
        for change in sorted((c for c, noticed in results.items() if not noticed), key=lambda c: (c.file, c.line)):
            source = (copies[0] / change.file).read_text("utf-8")
            print(f"{change.file}:{change.line}: {source[change.start : change.stop]!r} -> {change.text!r}")
    noticed = sum(results.values())
    print(
        f"{noticed} of {len(chosen)} changes noticed, {100 * noticed / len(chosen):.1f} %; {len(every):,} were possible"
    )
    return 0 if noticed >= given.wanted * len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
