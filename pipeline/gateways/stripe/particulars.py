"""The details of a call in Stripe's own fields, for the Dashboard, Radar's rules and the evidence of disputes.

The buyer's name, address and e-mail go into the fields that Stripe has for them. Metadata and the description contain
only ids and the upstream's reference.
"""

from stripe.params import PaymentIntentCreateParamsShipping, PaymentIntentCreateParamsShippingAddress

from pipeline.gateways.charges import ChargeCall
from pipeline.gateways.gateway import Call, Recipient


def write_metadata(call: Call | ChargeCall) -> dict[str, str]:
    """Return the ids of the call: Stripe adds them to those that the object has.

    `operation_id` is the idempotency key of the call, as in `payment_operations`; a capture replaces the one of the
    open.
    """
    found = {"checkout_id": str(call.checkout_id), "operation_id": call.key}
    if call.details.reference is not None:
        found["reference"] = call.details.reference
    if call.details.order_id is not None:
        found["order_id"] = str(call.details.order_id)
    return found


def describe_purchase(call: Call) -> str:
    """Return the line of the Dashboard's list, which Stripe's receipt shows too."""
    return f"Checkout {call.checkout_id}" if call.details.reference is None else f"Order {call.details.reference}"


def write_shipping(recipient: Recipient) -> PaymentIntentCreateParamsShipping:
    """Return the recipient as `shipping`, without the fields that the address lacks: an empty text is an error."""
    address: PaymentIntentCreateParamsShippingAddress = {"line1": recipient.line1, "country": recipient.country}
    if recipient.line2 is not None:
        address["line2"] = recipient.line2
    if recipient.city is not None:
        address["city"] = recipient.city
    if recipient.region is not None:
        address["state"] = recipient.region
    if recipient.postal_code is not None:
        address["postal_code"] = recipient.postal_code
    shipping: PaymentIntentCreateParamsShipping = {"name": recipient.name, "address": address}
    if recipient.phone is not None:
        shipping["phone"] = recipient.phone
    return shipping
