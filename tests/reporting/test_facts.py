"""What the report says of the machine and the code."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from torch import nn

from lmim_kedro.reporting import facts


def test_facts_count_the_parameters_and_name_the_device() -> None:
    found = facts.run_facts(nn.Linear(3, 2), "cpu")
    assert (found["parameters"], found["device"]) == (8, "cpu")
    assert found["processor"] and found["cpu_threads"] >= 1


def test_commit_has_a_plus_where_files_were_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.setattr(facts, "__file__", str(tmp_path / "facts.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert facts.run_facts(nn.Linear(1, 1), "cpu")["commit"] is None, "not in a repository"
    git("init", "-q")
    (tmp_path / "a").write_text("one")
    git("add", "a")
    git("commit", "-qm", "One")
    assert facts.run_facts(nn.Linear(1, 1), "cpu")["commit"] == git("rev-parse", "HEAD")[:12]
    (tmp_path / "a").write_text("two")
    assert facts.run_facts(nn.Linear(1, 1), "cpu")["commit"] == git("rev-parse", "HEAD")[:12] + "+"


def test_processor_is_the_one_of_the_machine_with_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "processor : 0\nmodel name : Chip: 9 GHz\nprocessor : 1\nmodel name : Chip: 9 GHz\n"
    monkeypatch.setattr(Path, "read_text", lambda path: lines)
    assert facts._processor() == "Chip: 9 GHz, 2 cores"


def test_command_is_kedros_without_the_folder_of_the_program() -> None:
    assert facts._command(["/some/where/bin/kedro", "run", "--params=a=b c"]) == "kedro run '--params=a=b c'"
    assert facts._command(["/lib/site-packages/kedro/__main__.py", "run"]) == "kedro run"
    assert facts._command(["/lib/ipykernel_launcher.py", "-f", "x.json"]) is None


def test_date_is_that_of_today_in_utc() -> None:
    found = facts.run_facts(nn.Linear(1, 1), "cpu")["date"]
    made = datetime.strptime(found, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert datetime.now(UTC) - made < timedelta(minutes=3)
