"""What README and docs/integration.md have one type does what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.security import Scope
from pipeline.webhooks.outbound.payloads import EVENT
from tests.integration.workers.web.stage import Stage

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")


def run(stage: Stage, script: str) -> list[dict[str, object]]:
    """Run a block as it is written, on the test's server; return the JSON of each response."""
    ready = script.replace("http://127.0.0.1:8000", stage.url).replace("curl ", "curl -sS -w '\\n' ")
    ready = re.sub(r"^KEY=.*$", "", ready, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euc", ready],
        env={"KEY": stage.token(Scope.CHECKOUT), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_readmes_purchase(stage: Stage) -> None:
    stage.shelf.add_variant("kettle", stock=12, price_minor=3900)
    block = re.search(r"```bash\n(curl -X POST .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    for _ in range(2):
        [answer] = run(stage, block[1])
        assert (answer["state"], answer["order_number"] is None) == ("completed", False)
    assert stage.shelf.stock("kettle") == (11, 0)


def test_the_guides_two_steps(stage: Stage) -> None:
    stage.shelf.add_variant("kettle", stock=12, price_minor=3900)
    text = (ROOT / "docs" / "integration.md").read_text()
    block = re.search(r"```bash\n(KEY=.*?)```", text, re.DOTALL)
    assert block is not None
    cart, quoted, refused = run(stage, block[1])
    assert (cart["locked"], quoted["state"], refused["code"]) == (False, "awaiting_payment", "checkout_active")
    # As the text says: with the id in the second response
    paid = block[1].replace('{"cart_id": "\'$CART\'"', f'{{"checkout_id": "{quoted["checkout_id"]}"')
    [answer] = run(stage, paid[paid.rindex("curl -X POST") :].replace("order-4711", "order-4712"))
    assert answer["state"] == "completed"


def test_the_webhook_of_the_guide_is_one(stage: Stage) -> None:
    text = (ROOT / "docs" / "integration.md").read_text()
    block = re.search(r'```json\n(\{\n  "timestamp".*?)```', text, re.DOTALL)
    assert block is not None
    event = EVENT.validate_python(json.loads(block[1]))
    assert json.loads(event.model_dump_json()) == json.loads(block[1])
