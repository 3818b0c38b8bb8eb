"""Outbound webhooks: endpoints, bodies, addresses that may be called, and the dispatcher that calls them."""
