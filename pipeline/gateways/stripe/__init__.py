"""Stripe: PaymentIntents with manual capture, through the official SDK and the API version that it pins.

Set `CHECKOUT_GATEWAY=stripe`, `CHECKOUT_STRIPE_API_KEY` (a secret key, or a restricted one: it writes
PaymentIntents and refunds, and reads charges) and `CHECKOUT_STRIPE_WEBHOOK_SECRET`.

The token of a payment is the id of a ConfirmationToken (`ctoken_...`), made in the buyer's browser by
`stripe.createConfirmationToken`, or of a PaymentMethod (`pm_...`), as for saved cards: Stripe no longer supports new
pages that call `createPaymentMethod`. Anything else (`tok_`, `src_`, `card_`, a blank) is declined as
`payment_method_unknown`, without a call.

    open        a PaymentIntent, not confirmed: no money moves
    authorize   it is confirmed with the token; 3-D Secure is an action of the buyer
    capture     its order total is captured; the rest, if any, is voided
    cancel      it is cancelled, which releases an authorisation
    refund      what is captured and not yet refunded is refunded; a pending refund counts as refunded

Intents take cards only (wallets such as Apple Pay come as cards): few other methods can be authorised first and
captured later, and a switch in the Dashboard must not change a checkout. The parameter is
`allowed_payment_method_types`; this API version refuses `payment_method_types`.

An intent is opened with a description, the recipient and, if given, the buyer's e-mail address for Stripe's receipt.
`metadata.checkout_id` of an intent and of its refunds names the checkout: do not change it in the Dashboard. The others
are for people: `reference` (the upstream's), `operation_id` (the idempotency key), from the capture on `order_id`.

The SDK prints bodies, client secrets included, when the process has `STRIPE_LOG=debug`: do not set it in production.
"""
