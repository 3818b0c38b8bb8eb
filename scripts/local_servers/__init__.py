"""PostgreSQL and Valkey from wheels, on this machine."""
