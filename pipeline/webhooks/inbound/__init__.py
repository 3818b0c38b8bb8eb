"""Inbound webhooks, from the payment provider: verified, stored, matched with a payment, worked on.

Public modules: `receive`.
"""

from pipeline.webhooks.inbound.inbox import Inbox
from pipeline.webhooks.inbound.receive import MAX_BODY, Received, verify_webhook

__all__ = ["MAX_BODY", "Inbox", "Received", "verify_webhook"]
