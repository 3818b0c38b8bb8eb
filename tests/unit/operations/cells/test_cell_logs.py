"""Log lines of a cell name it."""

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("cell", "named"), [("eu1", {"cell": "eu1"}), ("", {})])
def test_a_log_line_names_the_cell(cell: str, named: dict[str, str]) -> None:
    script = f"""
import structlog
from pipeline.settings import Settings
from workers.logs import configure_logs
configure_logs(Settings(database_url="x", redis_url="x", cell="{cell}", log_format="json"))
structlog.get_logger().info("it.happened", count=1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    line = json.loads(done.stderr.splitlines()[-1])
    assert (line["event"], line["count"]) == ("it.happened", 1)
    assert {name: value for name, value in line.items() if name == "cell"} == named
