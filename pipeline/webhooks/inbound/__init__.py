"""Inbound webhooks from the payment provider: verified, stored, matched with a payment, processed."""
