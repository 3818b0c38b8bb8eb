"""Free delivery."""

from pipeline.pricing.promotions.cuts import Cut, Left
from pipeline.pricing.terms import Promotion


def cut_shipping(promotion: Promotion, left: Left) -> Cut:  # noqa: ARG001 - every kind is given its promotion
    """Take off all that is left of shipping; the promotion's lines only decide whether it is used."""
    return Cut(shipping_minor=left.shipping_minor, reason="there is no delivery to pay for")
