"""Webhooks of the payment provider: verified, stored, matched with a payment, worked on."""
