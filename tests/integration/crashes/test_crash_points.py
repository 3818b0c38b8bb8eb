"""A process dies at each boundary of each phase and each undo, and everything ends as if it had not."""

import signal
from collections.abc import Sequence

import pytest

from pipeline.saga import CHAIN
from pipeline.saga.chain import TransactionPhase
from tests.integration.crashes.conftest import Crashes
from tests.integration.crashes.points import Point
from tests.integration.crashes.scenes import CHANGES, SCENES

#: What is undone by nothing: the first phase holds nothing, the last cannot fail.
NO_UNDO = {"cart_validation", "stock_commit"}


def find_points(crashes: Crashes, scene: str, count: int) -> list[Point]:
    """Return each boundary that a scene passes by, from playing it."""
    ids, told = crashes.play(scene, count)
    assert (told["code"], told["objections"]) == (0, [])
    crashes.recover(scene, ids)
    assert crashes.object_to(scene, ids) == []
    return sorted({Point(*each) for each in told["points"]})


def choose(points: Sequence[Point], count: int) -> list[Point]:
    """Return all of a batch of one; of a batch of several calls the first and the last, which are alike."""
    return [each for each in points if "call" not in each.what or each.nth in {1, count}]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scene", "count"),
    [
        *((scene, 1) for scene in (*SCENES, *CHANGES)),
        *(("bought", 5), ("capture declined", 5), ("voided", 5)),
        *(("a part is refunded", 3), ("the order is cancelled", 3)),
    ],
)
def test_a_process_that_dies_at_any_point_changes_nothing_of_the_ending(
    crashes: Crashes, scene: str, count: int
) -> None:
    points = choose(find_points(crashes, scene, count), count)
    for point in points:
        # When
        ids, told = crashes.play(scene, count, point)
        # Then it was killed just there
        assert told["code"] == -signal.SIGKILL, point
        # ... and what is left goes on by itself
        crashes.recover(scene, ids)
        assert crashes.object_to(scene, ids) == [], point
    assert crashes.audit() == []
    print(f"{scene}, {count}: {len(points)} points")  # noqa: T201


def test_the_scenes_pass_by_every_phase_both_ways(crashes: Crashes) -> None:
    found = {(each.where, each.what.split()[1]) for scene in SCENES for each in find_points(crashes, scene, 1)}
    for phase in CHAIN:
        kinds = {"commit"} if isinstance(phase.work, TransactionPhase) else {"commit", "call"}
        done = {kind for where, kind in found if where == f"do {phase.name}"}
        assert done - {"send"} == kinds, phase.name
        # After the last there is no next phase.
        assert "send" in done or phase is CHAIN[-1], phase.name
        undone = {kind for where, kind in found if where == f"undo {phase.name}"}
        if phase.name in NO_UNDO:
            assert undone == set(), phase.name
        else:
            # One undo follows another without a message.
            assert undone - {"send"} == kinds, phase.name


def test_the_changes_of_orders_pass_by_their_request_their_call_and_their_end(crashes: Crashes) -> None:
    for scene, story in CHANGES.items():
        found = {(each.where, each.what) for each in find_points(crashes, scene, 1)}
        assert {("entry", "before commit"), ("entry", "before send"), ("change", "before commit")} <= found, scene
        calls = {what for where, what in found if "call" in what}
        assert story.effects is not None
        is_paid = story.effects.refunded_minor > 0
        assert calls == ({"before call refund_amount", "after call refund_amount"} if is_paid else set()), scene
