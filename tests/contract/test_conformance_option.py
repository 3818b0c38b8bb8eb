"""`pytest --gateway` runs the conformance suite, and nothing else, on the given adapter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.gateways.conformance.loading import load_build

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run_suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    # No server may be needed: these addresses do not exist.
    environment = os.environ | {"DATABASE_URL": "postgresql://nowhere", "REDIS_URL": "redis://nowhere"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_an_adapter_that_does_everything_right_passes_without_any_server() -> None:
    done = run_suite("--gateway", "tests.contract.paper_bank:build")

    assert done.returncode == 0, done.stdout
    assert re.search(r"^2\d\d passed, \d+ skipped in", done.stdout, re.MULTILINE)
    skipped = set(re.findall(r"The subject has no (\S+)\.$", done.stdout, re.MULTILINE))
    assert skipped == {"tokens.action", "act_as_buyer", "let_expire", "fail_refund", "open_dispute", "provoke"}


def test_the_mistakes_of_a_careless_adapter_are_found() -> None:
    done = run_suite("--gateway", "tests.contract.paper_bank:build_careless")

    failed = set(re.findall(r"^FAILED pipeline/gateways/conformance/\S+::(\w+)", done.stdout, re.MULTILINE))
    assert done.returncode == 1
    assert failed >= {
        "test_a_repeated_key_gives_the_same_answer_and_one_effect",
        "test_a_key_used_by_many_at_once_has_one_effect",
        "test_a_key_with_another_amount_opens_nothing_more",
        "test_a_key_with_another_token_authorises_nothing_more",
        "test_a_key_of_one_object_is_none_for_another",
        "test_the_same_under_two_keys_moves_money_once",
        "test_many_keys_at_once_have_one_effect",
        "test_captured_money_is_not_cancelled",
        "test_retrieving_an_object_that_is_not_there_is_an_operators_matter",
        "test_a_changed_body_is_refused",
        "test_an_old_webhook_is_refused",
        "test_a_kind_of_no_concern_is_not_relevant",
    }
    # Correct behaviour is not reported.
    assert "test_a_decline_leaves_the_object_open_for_another_card" not in failed
    assert "test_what_was_not_captured_is_not_refunded" not in failed


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("somebank.testing", "name a callable as package.module:build."),
        (":build", "name a callable as package.module:build."),
        (
            "no_such_package.at_all:build",
            "no_such_package.at_all cannot be imported (No module named 'no_such_package').",
        ),
        ("tests.contract.paper_bank:construct", "there is no construct in tests.contract.paper_bank."),
        ("tests.contract.paper_bank:OPEN", "OPEN in tests.contract.paper_bank cannot be called."),
    ],
)
def test_an_invalid_path_is_reported_in_one_sentence(path: str, sentence: str) -> None:
    with pytest.raises(pytest.UsageError) as refusal:
        load_build(path)

    assert str(refusal.value) == f"--gateway {path}: {sentence}"


def test_an_invalid_path_starts_nothing() -> None:
    done = run_suite("--gateway", "somebank.testing")

    assert done.returncode == 4
    assert done.stderr.strip() == "ERROR: --gateway somebank.testing: name a callable as package.module:build."
