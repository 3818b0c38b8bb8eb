"""Webhooks: inbound from the payment provider, outbound to the shop."""
