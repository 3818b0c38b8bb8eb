"""`bench --only start` measures a worker that polls."""

from pipeline.settings import Settings
from scripts.benchmarks.runner import BenchmarkRunner
from scripts.benchmarks.start import measure_start
from scripts.environments.ending import Ending


def test_the_start_of_a_worker_is_measured(settings: Settings) -> None:
    with Ending() as ending:
        figures = dict(measure_start(BenchmarkRunner(settings, ending, size=1)))
    assert list(figures) == ["start_cpu_ms", "start_megabytes"]
    # Python with SQLAlchemy and psycopg alone takes 200 ms and 45 MB.
    assert figures["start_cpu_ms"] > 200
    assert 45 < figures["start_megabytes"] < 90
