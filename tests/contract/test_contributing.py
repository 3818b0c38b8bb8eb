"""CONTRIBUTING.md and the repository's configuration files name existing files and tools."""

import re
from typing import Any, Final

import pytest
import yaml

from tests.support.pages import ROOT

CONTRIBUTING: Final = (ROOT / "CONTRIBUTING.md").read_text()


def read_way() -> list[list[str]]:
    """Return the files of each numbered list in the section of one checkout's way."""
    section = CONTRIBUTING.partition("## The way of one checkout\n")[2].partition("\n## ")[0]
    lists = re.findall(r"(?:^\d+\. .*\n)+", section, re.MULTILINE)
    return [re.findall(r"^\d+\. `([\w/]+\.py)`", each, re.MULTILINE) for each in lists]


def read_yaml(path: str) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load((ROOT / path).read_text())


def test_the_files_and_rooms_are_there() -> None:
    named = re.findall(r"`((?:models|pipeline|workers|scripts|tests)/[\w/.]*)`", CONTRIBUTING)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_way_is_short() -> None:
    request, local = read_way()
    assert 10 <= len(request) <= 15
    assert 5 <= len(local) <= 10
    assert (len(set(request)), len(set(local))) == (len(request), len(local))


def test_the_hooks_are_local_and_run_the_tools_of_the_environment() -> None:
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {(hook["language"], hook["entry"].partition(" ")[0]) for hook in repository["hooks"]} == {
        ("system", ".venv/bin/ruff"),
        ("system", ".venv/bin/mypy"),
    }


def test_the_workflow_runs_what_the_project_runs() -> None:
    workflow = read_yaml(".github/workflows/ci.yml")
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    assert runs == {"test": [".ci/run"], "chaos": ["python3 scripts/dev.py chaos --checkouts 2000"]}
    job = workflow["jobs"]["test"]
    assert workflow["permissions"] == {"contents": "read"}
    oldest = re.search(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert job["strategy"]["matrix"]["python"][0] == oldest[1]


@pytest.mark.parametrize("name", ["bug", "proposal"])
def test_a_form_has_required_fields(name: str) -> None:
    form = read_yaml(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
