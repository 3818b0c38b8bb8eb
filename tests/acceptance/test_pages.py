"""Every command of the documents, of advice and of errors is run as it is written; so is each setting and statement."""

import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import dramatiq
import httpx2
import pytest
import yaml
from redis import Redis
from sqlalchemy import text
from typer.testing import CliRunner

from pipeline.errors import Code
from pipeline.errors.tree import list_sentences
from pipeline.operations.commands import CommandLine
from pipeline.webhooks.outbound.payloads import EVENT
from scripts.cli import app
from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import ROOT
from tests.acceptance.edge_place import Place, empty, open_place, wait_until
from tests.acceptance.replays import INVOICES
from tests.factories.exports import HEADER, row
from tests.factories.reference_rates import DAILY_XML
from tests.support.lasting import run_until
from tests.support.pages import Block, read_blocks
from workers.intake import read_request
from workers.web.schemas.events import EventListView

pytestmark = pytest.mark.acceptance

#: It names another database, which no machine of a test has.
MOVE: Final = "checkout cells move shop-7 --to postgresql://checkout@db.us1.example/checkout --cell us1"
#: Commands that other tests run, or that run this one.
#: They need an order with such lines.
OF_AN_ORDER: Final = (
    "settle ID --as done --reason TEXT",
    "cancel NUMBER --no-restock --reason TEXT",
    "cancel NUMBER --reason TEXT",
    "fulfill NUMBER --line 1:2 --carrier DHL --tracking 00340434292135100186",
    "restock NUMBER --line 1:1 --reason TEXT",
    "restock NUMBER --line 1:1@main --reason TEXT",
    "refund NUMBER --line 1:1 --reason TEXT",
    "refund NUMBER --line 1:1 --reason TEXT --dry-run",
    "show NUMBER",
)
ELSEWHERE: Final = {
    **{f"checkout orders {each}": "tests/integration/scripts/test_order_commands.py" for each in OF_AN_ORDER},
    "python3 scripts/dev.py demo": "tests/acceptance/test_demo.py",
    "python3 scripts/dev.py test": ".ci/run",
    "python3 scripts/dev.py test --quick": "tests/unit/scripts/test_dev.py",
    "python3 scripts/dev.py lint": ".ci/run",
    "checkout security": "tests/unit/scripts/test_security.py",
    "checkout chaos --checkouts 2000": "tests/acceptance/test_chaos.py",
    "checkout cluster up": "tests/distributed/test_cluster.py",
    "checkout cluster fault primary-off": "tests/distributed/test_cluster.py",
    "checkout cluster down": "tests/distributed/test_cluster.py",
    "checkout cluster run": "tests/distributed/test_cluster.py",
    "checkout cluster run --fault primary-off --rounds 3 --json": "tests/distributed/test_cluster.py",
    f"{MOVE} --dry-run": "tests/integration/operations/cells/test_move.py",
    MOVE: "tests/integration/operations/cells/test_move.py",
    "checkout checkouts show ID": "tests/integration/operations/test_commands.py",
    "checkout checkouts release ID --reason TEXT": "tests/integration/operations/test_commands.py",
    "checkout checkouts retry ID --reason TEXT": "tests/integration/operations/test_commands.py",
    "checkout contracts": "tests/contract/test_contracts.py",
    "checkout replay FILE": "tests/acceptance/test_replay.py",
    "checkout up": "tests/acceptance/test_up.py",
    "checkout replay invoices.csv": "tests/acceptance/test_replay.py",
    "pytest -p pipeline.gateways.conformance.plugin --gateway somebank_checkout.testing:build": (
        "tests/contract/test_suite_from_outside.py"
    ),
}
#: Commands that run until a signal, and what they print or log when they are ready.
LASTING: Final = {
    "checkout shop": "http://",
    "checkout monitor --watch": "state completed",
    "dramatiq workers.main:build_broker": "Worker process is ready",
    "python -m workers.scheduler": "scheduler.started",
    "python -m workers.web": "web.started",
}
#: What an ID is of, by the command: the table, the column of its time, and the command that makes one.
PROMOTE: Final = ("promotions", "id", "promotions create --title Sale --kind percentage --percent 5")
MAKERS: Final = {
    "webhooks": ("webhook_endpoints", "created_at", "webhooks add https://shop.example/hook"),
    "keys": ("api_keys", "created_at", "keys create --owner shop-2"),
    "promotions": PROMOTE,
    "coupons": PROMOTE,
}
VALUES: Final = {"SKU": "kettle", "NAME": "shop-2", "FILE": "eurofxref-daily.xml"}
#: The folder of this environment's commands.
BIN: Final = Path(sys.executable).parent


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("pages") / "fleet.log") as place:
        yield place
        place.assert_sound()


@pytest.fixture
def place(opened: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An installation with kettles and cups, set in the environment, in a folder with the files that the pages name."""
    empty(opened)
    opened.shelf.add_variant("kettle", stock=12, price_minor=3900)
    opened.shelf.add_variant("cup", stock=40, price_minor=450)
    export = [",".join(HEADER), ",".join(row().get(name, "") for name in HEADER)]
    (tmp_path / "products.csv").write_text("\n".join(export) + "\n")
    (tmp_path / "eurofxref-daily.xml").write_bytes(
        DAILY_XML.replace(b"2026-11-23", str(datetime.now(UTC).date()).encode())
    )
    (tmp_path / "taxes.csv").write_text("country,region,category,name,rate,valid_from\nGB,,,VAT,0.2,2026-01-01\n")
    (tmp_path / "invoices.csv").write_text(INVOICES)
    monkeypatch.chdir(tmp_path)
    for name, value in build_env(opened.settings).items():
        monkeypatch.setenv(name, value)
    return opened


def commands() -> list[tuple[str, str]]:
    """Return each command of the pages with its page and line, then those that advice and errors name."""
    blocks = [block for block in read_blocks("bash") if "curl " not in block.text]
    of_pages = [
        (str(block), line.partition("  #")[0].strip())
        for block in blocks
        for line in block.text.splitlines()
        if line.strip()
    ]
    of_errors = re.findall(r"`(checkout [^`]+)`", " ".join(each for code in Code for each in list_sentences(code)))
    return [*of_pages, *(("advice", each.value) for each in CommandLine), *(("error", each) for each in of_errors)]


def fill_in(command: str, place: Place) -> str:
    """Replace placeholders with existing values."""
    if re.search(r" (ID|NUMBER)\b", command):
        table, column, add = MAKERS[command.split()[1]]
        assert run_checkout(add).exit_code == 0
        [(found,)] = place.shelf.rows(f"SELECT id FROM {table} ORDER BY {column} DESC LIMIT 1")
        return re.sub(r" (ID|NUMBER)\b", f" {found}", command)
    for name, value in VALUES.items():
        command = re.sub(rf" {name}\b", f" {value}", command)
    return command


def run_checkout(arguments: str) -> Any:
    """Run the command with these arguments, in this process."""
    return CliRunner().invoke(app, shlex.split(arguments))


def start_lasting(command: str, sign: str) -> None:
    """Start a command, wait for its sign, end it, and assert its exit code."""
    port = ["--port", "0"] if command == "checkout shop" else []
    environment = {"CHECKOUT_WEB_PORT": "0", "CHECKOUT_LOG_LEVEL": "info"}
    with run_until([*shlex.split(f"{BIN}/{command}"), *port], sign, environment) as lasting:
        # Interactive commands end with Ctrl-C, the others with a supervisor's SIGTERM.
        is_interactive = command.startswith("checkout ")
        code, printed = lasting.end(signal.SIGINT if is_interactive else signal.SIGTERM)
        assert code in ({0, 130} if is_interactive else {0}), printed


@pytest.mark.parametrize(("where", "command"), commands(), ids=[f"{where}-{line}" for where, line in commands()])
def test_a_command(place: Place, where: str, command: str) -> None:
    del where
    if command in ELSEWHERE:
        assert (ROOT / ELSEWHERE[command]).is_file()
        return
    for begin, sign in LASTING.items():
        if command.startswith(begin):
            start_lasting(command, sign)
            return
    assert command.startswith("checkout ")
    result = run_checkout(fill_in(command, place).removeprefix("checkout "))
    assert result.exit_code == 0, result.output


def test_a_message_of_dramatiqs(place: Place) -> None:
    [block] = [each for each in read_blocks("python") if "RedisBroker" in each.text]
    before = dramatiq.broker.global_broker
    code = block.text.replace("redis://127.0.0.1:6379/0", place.valkey.url)
    request = read_example()
    exec(compile(code, str(block), "exec"), {"request": request})  # noqa: S102 - our own document
    dramatiq.broker.global_broker = before
    place.wait_for_states({"completed": 1})
    assert place.shelf.stock("kettle") == (11, 0)


def test_a_raw_message(place: Place) -> None:
    [block] = read_blocks("redis")
    message_id = "0b9c8b6e-3a55-4a0e-9c11-7f5d5e1f2a33"
    with Redis.from_url(place.valkey.url) as client:
        for line in block.text.splitlines():
            words = shlex.split(line.replace("<id>", message_id))
            client.execute_command(*(word.replace("{...}", json.dumps(read_example())) for word in words))
    place.wait_for_states({"completed": 1})
    # ... and is found by the documented statement
    [statement] = [each.text for each in read_blocks("sql") if each.page == "integration.md"]
    [(state, number, code, message)] = place.shelf.rows(statement)
    assert (state, number is None, code, message) == ("completed", False, None, None)


def read_example() -> dict[str, Any]:
    """Return the message of the page."""
    return dict(json.loads(read_blocks("json")[0].text))


@pytest.mark.parametrize("block", read_blocks("json"), ids=str)
def test_json_examples_are_valid(block: Block) -> None:
    read = json.loads(block.text)
    if "timestamp" in read:
        EVENT.validate_python(read)
    elif "events" in read:
        EventListView.model_validate(read)
    else:
        read_request(read)


@pytest.mark.parametrize("block", [each for each in read_blocks("sql") if each.page != "integration.md"], ids=str)
def test_a_statement(place: Place, block: Block) -> None:
    with place.engine.connect() as connection:
        for statement in filter(str.strip, block.text.split(";")):
            connection.execute(text(statement))
        connection.rollback()


@pytest.mark.parametrize("block", read_blocks("ini"), ids=str)
def test_a_setting_is_one(place: Place, block: Block) -> None:
    for line in block.text.splitlines():
        name, value = re.split(r" = | ", line, maxsplit=1)
        if name == "ignore_startup_parameters":  # pgbouncer's
            assert value == "options, extra_float_digits"
        elif " = " in line:
            assert place.shelf.rows("SELECT count(*) FROM pg_settings WHERE name = :name", name=name) == [(1,)], name
        else:
            with Redis.from_url(place.valkey.url) as client:
                assert client.config_set(name, value)


def test_alerts_use_existing_metrics(place: Place) -> None:
    [block] = read_blocks("yaml")

    def read_metrics() -> str:
        return httpx2.get(f"{place.url}/metrics", headers=place.headers).text

    wait_until(lambda: "checkout_sweep_age_seconds" in read_metrics(), "the sweep has run")
    metrics = read_metrics()
    named = {
        name
        for group in yaml.safe_load(block.text)["groups"]
        for rule in group["rules"]
        for name in re.findall(r"checkout_\w+", rule["expr"])
    }
    known = set(re.findall(r"^# TYPE (\w+) ", metrics, re.MULTILINE))
    # This metric is missing until a checkout has ended.
    assert named - known <= {"checkout_success_ratio"}
    assert len(named) == 20
