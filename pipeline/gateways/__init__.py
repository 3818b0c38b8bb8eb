"""Gateways: adapters of payment providers behind one protocol."""
