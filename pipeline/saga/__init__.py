"""The way of a checkout, forward and back: the chain, its runner, the unwind, the sweep."""
