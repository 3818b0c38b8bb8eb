"""What looks for defects finds them: three builds that are broken on purpose."""

from tests.integration.crashes.conftest import Crashes


def test_a_message_that_leaves_before_its_commit_is_seen(crashes: Crashes) -> None:
    _, told = crashes.play("bought", 1, broken="send before commit")
    assert "a message was sent inside a transaction" in told["objections"]


def test_stock_that_is_not_given_back_is_seen(crashes: Crashes) -> None:
    ids, told = crashes.play("cancelled", 1, broken="undo that skips release")
    assert told["code"] == 0
    crashes.recover("cancelled", ids)
    assert crashes.object_to("cancelled", ids) == ["held 1 instead of 0"]
    assert crashes.audit() != []
    crashes.shelf.force("UPDATE reservations SET state = 'released'")
    crashes.shelf.run("UPDATE stock_levels SET reserved = 0")


def test_a_worker_that_takes_messages_at_their_word_is_seen(crashes: Crashes) -> None:
    # Given a build that keeps to the guard
    ids, told = crashes.play("repeated", 1)
    assert (told["code"], told["objections"], crashes.object_to("repeated", ids)) == (0, [], [])
    # When the guard is removed, and each message comes twice
    ids, told = crashes.play("repeated", 1, broken="guard removed")
    # Then the tables refuse most of what it writes, and that is seen; so is what they let through
    assert "a step raised DatabaseError" in told["objections"]
    assert crashes.audit() == ["one_ending_event"]
