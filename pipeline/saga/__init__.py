"""A checkout's way forward and back: the chain, its runner, the unwind, the sweep."""
