"""Every self-contained block of the pages runs as it is written; tests/acceptance/test_pages.py runs the others."""

import tomllib
from collections import Counter
from typing import Final

import pytest

from pipeline.saga import CHAIN
from tests.support.pages import ROOT, Block, read_blocks

#: Languages of blocks, each of which is tested; test_docs.py compares mermaid with the data.
LANGUAGES: Final = {"bash", "ini", "json", "mermaid", "python", "redis", "sql", "text", "toml", "yaml"}
#: Python that needs Redis is run in the acceptance tests.
PYTHON: Final = [block for block in read_blocks("python") if "RedisBroker" not in block.text]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_block_of_python_runs(block: Block) -> None:
    assert "assert " in block.text
    exec(compile(block.text, str(block), "exec"), {"__name__": "page"})  # noqa: S102 - our own document


def test_every_block_has_a_known_language() -> None:
    assert [str(block) for block in read_blocks() if block.language not in LANGUAGES] == []


def test_the_pages_have_their_worked_examples() -> None:
    counts = Counter(block.page for block in PYTHON)
    assert counts["guide.md"] >= 5
    assert counts["gateways.md"] >= 2


def test_an_entry_point_is_of_the_group_that_is_read() -> None:
    [block] = read_blocks("toml")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert tomllib.loads(block.text)["project"]["entry-points"].keys() == groups.keys()


def test_pictures_match_the_project() -> None:
    demo, chain, layout = (block.text for block in read_blocks("text") if block.page != "cluster.md")
    assert "audit             clean" in demo  # tests/acceptance/test_demo.py compares the demo's output
    assert chain.splitlines()[0].split(" > ") == [phase.name for phase in CHAIN]
    for line in layout.splitlines():
        assert (ROOT / line.split()[0]).is_dir(), line
