"""Outbound webhooks to the shop: endpoints, bodies, the addresses they may have, and the dispatcher."""
