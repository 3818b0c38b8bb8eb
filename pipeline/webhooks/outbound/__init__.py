"""Webhooks that we send: endpoints, bodies, addresses that may be called, and the courier that calls them."""
