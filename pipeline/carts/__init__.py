"""Carts: their input, storage, editing, cart lock, and how phases read them."""
