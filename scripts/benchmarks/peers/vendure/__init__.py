"""Vendure, a shop engine on Node.js, in its default set-up on PostgreSQL: a peer of purchases over HTTP."""
