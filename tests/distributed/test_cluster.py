"""Several hosts on this machine: three faults under load lose nothing, and nothing of the cluster is left.

Not a part of `python3 scripts/dev.py test`, which collects no test of this folder by itself: it takes minutes, needs
root, and reserves the machine. `.ci/run` ends with it.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from scripts.distributed.cluster import open_cluster
from scripts.distributed.network import read_namespace
from scripts.distributed.requirements import explain_missing
from scripts.distributed.rounds import Outcome, run_faults
from scripts.environments.ending import Ending

pytestmark = pytest.mark.timeout(900)

CHOSEN: Final = ("primary-off", "valkey-killed", "switchover")


def list_namespaces() -> set[str]:
    """Return the network namespaces of all processes."""
    return {read_namespace(folder.name) for folder in Path("/proc").glob("[0-9]*")} - {""}


def test_three_faults_lose_nothing_and_nothing_is_left() -> None:
    if (missing := explain_missing()) is not None:
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    before = list_namespaces()
    outcomes: list[Outcome] = []
    with Ending() as ending, open_cluster(ending, print) as cluster:
        outcomes += run_faults(cluster, CHOSEN, print)
        folder = cluster.folder
        # Each host has a namespace, and the bridge.
        assert len(list_namespaces() - before) == len(cluster.network.hosts) + 1
    # Then: everything that was acknowledged is there, once; each fault was felt, and purchases went on after it
    assert [each.fault for each in outcomes] == list(CHOSEN)
    assert [each.verdict.list_objections() for each in outcomes] == [[], [], []]
    assert [each.skipped for each in outcomes] == ["", "", ""]
    assert all(each.purchases > 0 and each.commits > 0 for each in outcomes)
    # ... and of the cluster nothing is left
    assert list_namespaces() <= before
    assert not folder.exists()
