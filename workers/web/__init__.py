"""The HTTP API: what a storefront calls."""
