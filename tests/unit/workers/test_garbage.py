"""What a worker does about garbage, in a process of its own."""

import os
import subprocess
import sys

WORKER = """
import gc, weakref
from workers.main import build_broker

class Cycle:
    def __init__(self):
        self.itself = self

build_broker()
gc.collect()  # the count of young objects begins at 0
seen = weakref.ref(Cycle())
print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000, seen() is None)
kept = [[] for _ in range(20_000)]  # twice the threshold: whatever is freed meanwhile counts against it
print(seen() is None)
"""


def test_a_worker_leaves_alone_what_it_has_loaded_and_still_finds_cycles() -> None:
    servers = {"DATABASE_URL": "postgresql://nobody@localhost/none", "REDIS_URL": "redis://localhost/0"}
    servers["CHECKOUT_GATEWAY"] = "sandbox"
    done = subprocess.run(
        [sys.executable, "-c", WORKER], env={**os.environ, **servers}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10000", "True", "False", "True"]
