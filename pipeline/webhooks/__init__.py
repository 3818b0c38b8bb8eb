"""Webhooks: `inbound` from the payment provider, `outbound` to the shop. Each folder has a face of its own."""
