"""The example of a whole message on `checkout.intake`, as other languages write it, matches the documentation."""

import json
import re
from pathlib import Path

from workers.intake import read_request

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = json.loads((ROOT / "tests" / "contract" / "intake_message.json").read_text())
INTEGRATION = (ROOT / "docs" / "integration.md").read_text()


def test_the_example_carries_the_documented_request() -> None:
    documented = re.search(r"```json\n(.*?)\n```", INTEGRATION, re.DOTALL)
    assert documented is not None
    assert MESSAGE["args"] == [json.loads(documented[1])]
    assert read_request(MESSAGE["args"][0]).idempotency_key == "order-4711"


def test_the_example_has_the_documented_envelope() -> None:
    documented = re.search(r"HSET .*? '(\{.*\})'", INTEGRATION)
    assert documented is not None
    envelope = json.loads(documented[1].replace("[{...}]", "[]"))
    assert list(MESSAGE) == list(envelope)
    assert list(MESSAGE["options"]) == list(envelope["options"])
    assert (MESSAGE["queue_name"], MESSAGE["actor_name"]) == (envelope["queue_name"], envelope["actor_name"])
