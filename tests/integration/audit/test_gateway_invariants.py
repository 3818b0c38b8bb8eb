"""A gateway adds invariants of its own: the audit checks them beside the engine's, whichever gateway is chosen."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Annotated, Final
from uuid import UUID

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict
from sqlalchemy import Connection

from pipeline.audit import Violation
from pipeline.audit.report import INVARIANTS, check, list_invariants
from pipeline.database.invariant import Invariant
from pipeline.gateways import Gateway, GatewaySettings, installed
from pipeline.gateways.installed import GROUP
from pipeline.gateways.sandbox.invariants import BANK_INVARIANTS
from pipeline.settings import Settings, SettingsError

COMPLETED: Final = UUID("00000000-0000-7000-8000-000000000001")
NAMES_A_SHEET: Final = Invariant(
    "paper_names_a_sheet",
    "A payment on paper names its sheet.",
    r"SELECT checkout_id, reference FROM payments WHERE gateway = 'paper' AND reference NOT LIKE 'sheet\_%'",
)


class PaperSettings(GatewaySettings):
    """A gateway with an invariant."""

    model_config = SettingsConfigDict(env_prefix="PAPER_")

    name = "paper"
    sheets: Annotated[int, Field(gt=0)] = 1
    elsewhere: bool = False

    def build(self, settings: Settings) -> Gateway:
        """Never called: no payment is made with it."""
        raise AssertionError(settings)

    @classmethod
    def list_invariants(cls) -> Sequence[Invariant]:
        """One."""
        return (NAMES_A_SHEET,)

    def has_tables_here(self, _settings: Settings) -> bool:
        """As it is set."""
        return not self.elsewhere


class PlainSettings(GatewaySettings):
    """A gateway that adds nothing."""

    model_config = SettingsConfigDict(env_prefix="PLAIN_")

    name = "plain"
    sheets: Annotated[int, Field(gt=0)] = 1

    def build(self, settings: Settings) -> Gateway:
        """Never called: no payment is made with it."""
        raise AssertionError(settings)


@pytest.fixture(autouse=True)
def _install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install both for the moment, beside those of the engine."""
    named = {"paper": "PaperSettings", "plain": "PlainSettings"}
    added = [EntryPoint(name, f"{__name__}:{value}", GROUP) for name, value in named.items()]
    points = EntryPoints([*entry_points(group=GROUP), *added])
    monkeypatch.setattr(installed, "read_entry_points", lambda: points.select(group=GROUP))


def test_they_stand_behind_the_engines_in_the_order_of_the_gateways() -> None:
    assert list_invariants() == (*INVARIANTS, NAMES_A_SHEET, *BANK_INVARIANTS)


def test_a_violated_one_is_reported_with_its_rows(connection: Connection, settings: Settings) -> None:
    # Given one payment of this gateway, which is not the chosen one
    assert settings.gateway == "sandbox"
    connection.exec_driver_sql("UPDATE payments SET gateway = 'paper' WHERE reference = 'pay_1'")
    # When
    report = check(connection, settings)
    # Then
    rows = ({"checkout_id": COMPLETED, "reference": "pay_1"},)
    assert report.violations == (Violation("paper_names_a_sheet", "A payment on paper names its sheet.", 1, rows),)
    assert (report.checked, report.skipped) == (list_invariants(), ())
    # And kept again, once it names one.
    connection.exec_driver_sql("UPDATE payments SET reference = 'sheet_1' WHERE reference = 'pay_1'")
    assert check(connection, settings).violations == ()


def test_one_over_tables_elsewhere_is_skipped_and_the_others_are_not(
    connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.exec_driver_sql("UPDATE payments SET gateway = 'paper' WHERE reference = 'pay_1'")
    monkeypatch.setenv("PAPER_ELSEWHERE", "true")
    report = check(connection, settings)
    assert (report.violations, report.skipped) == ((), (NAMES_A_SHEET,))
    assert report.checked == (*INVARIANTS, *BANK_INVARIANTS)


def test_settings_are_read_only_of_gateways_with_invariants(
    connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_SHEETS", "0")
    assert check(connection, settings).violations == ()
    monkeypatch.setenv("PAPER_SHEETS", "0")
    with pytest.raises(SettingsError) as refusal:
        check(connection, settings)
    assert str(refusal.value) == "Set PAPER_SHEETS: it must be above 0."
