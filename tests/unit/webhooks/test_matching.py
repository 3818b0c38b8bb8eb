"""Which checkout's payment a webhook is about."""

from uuid import UUID

import pytest

from pipeline.webhooks.inbound.matching import Fit, Match, NotYet, Unrelated, find_fit

KNOWN, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("reference", "referring", "named", "named_reference", "fit"),
    [
        pytest.param("pi_1", KNOWN, KNOWN, "pi_1", Match(KNOWN), id="the object is ours"),
        pytest.param("pi_1", KNOWN, None, None, Match(KNOWN), id="the object is ours, its metadata gone"),
        pytest.param("pi_1", KNOWN, OTHER, None, Match(KNOWN), id="the object decides, not its metadata"),
        pytest.param(None, None, KNOWN, "pi_1", Match(KNOWN), id="no object, and a checkout of ours"),
        pytest.param("pi_1", None, None, None, NotYet("it names no known payment"), id="an unknown object"),
        pytest.param(None, None, None, None, NotYet("it names no known payment"), id="nothing at all"),
        pytest.param(
            "pi_1",
            None,
            KNOWN,
            None,
            NotYet(f"checkout {KNOWN} has no object at the provider yet"),
            id="before the answer to our own call",
        ),
        pytest.param(
            None,
            None,
            KNOWN,
            None,
            NotYet(f"checkout {KNOWN} has no object at the provider yet"),
            id="no object on either side",
        ),
        pytest.param(
            "pi_2",
            None,
            KNOWN,
            "pi_1",
            Unrelated(f"checkout {KNOWN} is paid with pi_1, this is about pi_2"),
            id="another object of our checkout",
        ),
    ],
)
def test_the_object_decides(
    reference: str | None, referring: UUID | None, named: UUID | None, named_reference: str | None, fit: Fit
) -> None:
    found = find_fit(reference=reference, referring_id=referring, named_id=named, named_reference=named_reference)

    assert found == fit
