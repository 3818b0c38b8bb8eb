"""The documents match the code: the state chart, the error codes, the message."""

import json
import re
from pathlib import Path

from models.states import CHANGE_TRANSITIONS, TERMINAL, TRANSITIONS, CheckoutState
from pipeline.errors import Code
from pipeline.errors.tree import list_sentences
from pipeline.errors.wording import describe
from pipeline.saga import CHAIN
from workers.intake import read_request

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
INTEGRATION = (ROOT / "docs" / "integration.md").read_text()


def test_the_state_chart_is_drawn_from_the_data() -> None:
    order = list(CheckoutState)
    drawn = ["stateDiagram-v2", "    [*] --> running"]
    drawn += [
        f"    {old} --> {new}" for old in order for new in sorted(TRANSITIONS[old], key=order.index) if TRANSITIONS[old]
    ]
    drawn += [f"    {state} --> [*]" for state in order if state in TERMINAL]
    chart = re.search(r"```mermaid\n(.*?)\n```", GUIDE, re.DOTALL)
    assert chart is not None
    assert sorted(chart[1].splitlines()) == sorted(drawn)


def test_the_chart_of_a_change_is_drawn_from_the_data() -> None:
    drawn = ["stateDiagram-v2", "    [*] --> requested", "    failed --> [*]", "    done --> [*]"]
    drawn += [f"    {old} --> {new}" for old, following in CHANGE_TRANSITIONS.items() for new in following]
    charts = re.findall(r"```mermaid\n(.*?)\n```", GUIDE, re.DOTALL)
    assert sorted(charts[1].splitlines()) == sorted(drawn)


def test_the_chain_is_the_table() -> None:
    rows = re.findall(r"^\| (\d) \| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert rows == [(str(phase.number), phase.name) for phase in CHAIN]


def test_every_code_stands_in_the_table_with_its_sentence() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", INTEGRATION.partition("| code |")[2], re.MULTILINE))
    assert rows == {code.value: " Or: ".join(describe(each) for each in list_sentences(code)) for code in Code}


def test_the_example_message_is_accepted() -> None:
    example = re.search(r"```json\n(.*?)\n```", INTEGRATION, re.DOTALL)
    assert example is not None
    request = read_request(json.loads(example[1]))
    assert request.idempotency_key == "order-4711"
    assert request.cart is not None
    assert [(line.sku, line.quantity, line.unit_price_minor) for line in request.cart.lines] == [
        ("kettle", 1, None),
        ("cup", 4, 450),
    ]
