"""A package outside this repository, with only the engine installed, runs the suite on its gateway."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

#: Cases of the suite for one adapter, skipped ones included.
SUITE_SIZE = 273

SETTINGS = '''
"""Settings of the paper bank, as its entry point would name them."""

from paper_bank import PaperBank
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
'''

#: The package's entry point.
ENTRY_POINTS = "[checkout_engine.gateways]\npaper = paper_settings:PaperSettings\n"

PURCHASE = """
from models.states import CheckoutState
from paper_bank import PaperBank
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
    careless = run(package, "-m", "pytest", *arguments, "--gateway", "paper_bank:build_careless", "-k", "taken_money")
    assert careless.returncode == 1
    assert "test_taken_money_is_not_cancelled" in careless.stdout


def test_an_installed_gateway_is_chosen_by_its_name_and_its_own_settings(package: Path) -> None:
    code = (
        "from pipeline.gateways.choice import describe_choice; from pipeline.gateways.installed import read_options;"
        "from pipeline.gateways.registry import build_gateway; from pipeline.settings import read_settings;"
        "found = read_settings(); print(describe_choice(found), dict(read_options(found)), build_gateway(found).name)"
    )
    urls = {"DATABASE_URL": "postgresql://nowhere", "REDIS_URL": "redis://nowhere"}
    done = run(package, "-c", code, CHECKOUT_GATEWAY="paper", PAPER_COLOR="blue", **urls)
    assert (done.stdout.strip(), done.stderr) == ("paper (real money) {'color': 'blue'} paper", "")


def test_an_integration_is_tested_on_the_engine_in_its_own_process(package: Path, server_urls: tuple[str, str]) -> None:
    (package / "test_purchase.py").write_text(PURCHASE)
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_purchase.py", DATABASE_URL=server_urls[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
