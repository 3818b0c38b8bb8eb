"""From a cart to a quote."""
