"""The Procfile and the pins fit what they describe."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from pipeline.messaging import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.saga import CHAIN
from scripts.environments.supervisor import GRACE_SECONDS
from scripts.local_servers.embedded import ROOT
from scripts.up import read_lines, read_scale


def test_every_queue_has_its_line_and_is_named_after_it() -> None:
    # Given
    lines = read_lines(ROOT / "Procfile", "")
    # When
    found = {name: match[1] for name, line in lines.items() if (match := re.search(r"-Q (\S+)", line))}
    # Then
    queues = [INTAKE, *(phase.queue for phase in CHAIN), UNWIND, RESOLVE, WEBHOOKS, ORDER_CHANGES, DELIVERIES, SWEEP]
    assert found == {queue.removeprefix("checkout."): queue for queue in queues}
    assert lines.keys() - found.keys() == {"scheduler", "web"}


def test_every_worker_has_one_process_and_ends_before_it_is_ended_by_force() -> None:
    for name, line in read_lines(ROOT / "Procfile", "").items():
        if name not in {"scheduler", "web"}:
            assert " -p 1 " in line
            milliseconds = re.search(r"--worker-shutdown-timeout (\d+)$", line)
            assert milliseconds is not None
            assert int(milliseconds[1]) < GRACE_SECONDS * 1000


def test_lines_are_chosen_and_scaled_by_name() -> None:
    lines = read_lines(ROOT / "Procfile", "sweep,intake")
    assert list(lines) == ["sweep", "intake"]
    assert read_scale(["sweep=3"], lines) == {"sweep": 3}
    with pytest.raises(typer.BadParameter, match="The Procfile has no nothing; it has intake"):
        read_lines(ROOT / "Procfile", "nothing")
    with pytest.raises(typer.BadParameter, match="`unwind=2` is not NAME=COUNT"):
        read_scale(["unwind=2"], lines)


def test_every_dependency_is_pinned_and_no_address_is_named() -> None:
    # Given
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    constraints = Path(ROOT / "scripts" / "constraints.txt").read_text()
    # When
    pinned = set(re.findall(r"^([a-z0-9-]+)==", constraints, re.MULTILINE))
    # Then
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} - {project["name"]}
    assert names - pinned == set()
    assert "://" not in constraints
