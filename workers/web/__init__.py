"""The HTTP edge: what a storefront talks to."""
