"""What happens to an order in a chaos run: chosen by the seed and the buyer, so that a seed repeats it."""

import random
from enum import StrEnum
from typing import Final


class Care(StrEnum):
    """What happens to an order."""

    NOTHING = "nothing"
    LINE = "refund of a line"
    AMOUNT = "refund of an amount"
    CANCEL = "cancel"
    RESTOCK = "restock"
    FULFILLMENT = "fulfillment"  # and then a cancel, which is refused
    RETURN = "return"  # sent, then refunded and restocked by lines
    RACE_FOR_UNITS = "two for the last units"
    RACE_FOR_MONEY = "two for the last money"
    DASHBOARD = "refund in the bank's dashboard"
    DISPUTE = "dispute"


#: Out of a hundred.
SHARES: Final = {
    Care.NOTHING: 40,
    Care.LINE: 9,
    Care.AMOUNT: 9,
    Care.CANCEL: 8,
    Care.RESTOCK: 5,
    Care.FULFILLMENT: 5,
    Care.RETURN: 6,
    Care.RACE_FOR_UNITS: 4,
    Care.RACE_FOR_MONEY: 4,
    Care.DASHBOARD: 5,
    Care.DISPUTE: 5,
}


def choose_care(seed: int, customer: str) -> tuple[Care, int]:
    """Return what happens to this buyer's order, always the same for a seed, and the dice for its details."""
    rng = random.Random(f"after-{seed}-{customer}")  # noqa: S311 (repeats a run, guards nothing)
    kinds = [care for care, share in SHARES.items() for _ in range(share)]
    return rng.choice(kinds), rng.randrange(1000)
