"""A package outside this repository, with only the engine installed, runs the suite on its gateway."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow

#: Cases of the suite for one adapter, skipped ones included.
SUITE_SIZE = 291

SETTINGS = '''
"""Settings of the paper bank, as its entry point would name them."""

from paper_bank import PaperBank
from pipeline.gateways import Gateway, GatewaySettings
from pipeline.database.invariant import Invariant
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.settings import GatewaySettings
from pipeline.settings import Settings
from pydantic_settings import SettingsConfigDict


class PaperSettings(GatewaySettings):
    """Settings of the paper bank."""

    model_config = SettingsConfigDict(env_prefix="PAPER_")

    name = "paper"
    color: str = "white"

    def build(self, settings: Settings) -> Gateway:
        return PaperBank()

    @classmethod
    def list_invariants(cls) -> tuple[Invariant, ...]:
        query = """
            SELECT p.checkout_id, o.total_minor FROM payments p JOIN orders o USING (checkout_id)
            WHERE p.gateway = 'paper' AND o.total_minor > 1000
        """
        return (Invariant("paper_sheets_are_small", "No order on paper is over 10.00.", query),)
'''

#: The package's entry point.
ENTRY_POINTS = "[checkout_engine.gateways]\npaper = paper_settings:PaperSettings\n"

#: A subject that asks for settings: their times are short, and their database is there.
TIMED = """
from contextlib import contextmanager
from paper_bank import PaperBank, describe
from pipeline.database.connections import connect_engine
from sqlalchemy import text

@contextmanager
def build(settings):
    assert settings.gateway_timeout_seconds == 0.5
    database = connect_engine(settings, application_name="paper")
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM checkouts")).scalar_one() == 0
    database.dispose()
    yield describe(PaperBank())
"""

PURCHASE = """
from models.states import CheckoutState
from paper_bank import PaperBank
from pipeline.audit.report import Violation
from pipeline.testing import checkout_engine


def test_a_cup_is_bought_and_a_bad_card_is_declined() -> None:
    bank = PaperBank()
    with checkout_engine(bank) as engine:
        engine.add_variant("cup", stock=3, price_minor=450)
        bought = engine.start(engine.add_cart(("cup", 2)), token="good")
        declined = engine.start(engine.add_cart(("cup", 1)), token="bad")
        assert engine.settle(bought) is CheckoutState.COMPLETED
        assert engine.settle(declined) is CheckoutState.FAILED
        assert [sheet.captured_minor for sheet in bank.sheets.values()] == [900, 0]
        assert engine.audit() == []


def test_the_audit_checks_the_gateways_own_invariant() -> None:
    with checkout_engine(PaperBank()) as engine:
        engine.add_variant("cup", stock=9, price_minor=450)
        small, large = (engine.start(engine.add_cart(("cup", count)), token="good") for count in (2, 3))
        assert [engine.settle(each) for each in (small, large)] == [CheckoutState.COMPLETED] * 2
        rows = ({"checkout_id": large, "total_minor": 1350},)
        assert engine.audit() == [Violation("paper_sheets_are_small", "No order on paper is over 10.00.", 1, rows)]


def test_the_sandbox_bank_is_there_without_an_adapter() -> None:
    with checkout_engine() as engine:
        engine.add_variant("cup", stock=1, price_minor=450)
        checkout_id = engine.start(engine.add_cart(("cup", 1)), token="tok_ok+tok_capture_error_after")
        assert engine.settle(checkout_id) is CheckoutState.COMPLETED
        assert engine.audit() == []
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the bank, its settings, and the metadata that an installer would write."""
    source = (HERE / "paper_bank.py").read_text()
    assert "tests." not in source
    (tmp_path / "paper_bank.py").write_text(source)
    (tmp_path / "paper_settings.py").write_text(SETTINGS)
    facts = tmp_path / "paper-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def run(package: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the package's folder, with only this folder added to its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHECKOUT_", "PYTEST"))}
    environment |= {"PYTHONPATH": str(package), **variables}
    return subprocess.run(
        [sys.executable, *command],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_suite_runs_on_a_gateway_from_elsewhere(package: Path) -> None:
    arguments = ("-p", "no:cacheprovider", "-p", "pipeline.gateways.conformance.plugin", "-q", "-rs")
    done = run(package, "-m", "pytest", *arguments, "--gateway", "paper_bank:build")

    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^(\d+) passed, (\d+) skipped in", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert (int(found[1]) + int(found[2]), int(found[1]) > 200) == (SUITE_SIZE, True)
    # And the careless adapter fails.
    selected = ("--gateway", "paper_bank:build_careless", "-k", "captured_money_is_not")
    careless = run(package, "-m", "pytest", *arguments, *selected)
    assert careless.returncode == 1
    assert "test_captured_money_is_not_cancelled" in careless.stdout


def test_a_subject_is_given_short_times_and_a_database(package: Path, server_urls: tuple[str, str]) -> None:
    (package / "timed.py").write_text(TIMED)
    arguments = ("-p", "no:cacheprovider", "-p", "pipeline.gateways.conformance.plugin", "-q", "-k", "bounds_its_calls")
    done = run(package, "-m", "pytest", *arguments, "--gateway", "timed:build", DATABASE_URL=server_urls[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"1 passed, {SUITE_SIZE - 1} deselected" in done.stdout


def test_an_installed_gateway_is_chosen_by_its_name_and_its_own_settings(package: Path) -> None:
    code = (
        "from pipeline.gateways import build_gateway, describe_choice;"
        "from pipeline.gateways.installed import read_options; from pipeline.settings import read_settings;"
        "found = read_settings(); print(describe_choice(found), dict(read_options(found)), build_gateway(found).name)"
    )
    urls = {"DATABASE_URL": "postgresql://nowhere", "REDIS_URL": "redis://nowhere"}
    done = run(package, "-c", code, CHECKOUT_GATEWAY="paper", PAPER_COLOR="blue", **urls)
    assert (done.stdout.strip(), done.stderr) == ("paper (real money) {'color': 'blue'} paper", "")


def test_an_integration_is_tested_on_the_engine_in_its_own_process(package: Path, server_urls: tuple[str, str]) -> None:
    (package / "test_purchase.py").write_text(PURCHASE)
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_purchase.py", DATABASE_URL=server_urls[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
