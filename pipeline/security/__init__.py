"""API keys, sessions of the admin pages, and what must not be kept or shown.

Public modules: `admin_sessions`, `card_numbers`, `printable` (text of others, fit to be shown), `redaction` (secrets).
"""

from importlib import import_module
from typing import TYPE_CHECKING

# Imported at its first use: logs and terminal output need the modules beside it, which are text alone, and
# API keys need SQLAlchemy and pydantic (300 modules more).
if TYPE_CHECKING:
    from pipeline.security.api_keys import (
        Caller,
        KeyRecord,
        Scope,
        create_key,
        find_caller,
        list_keys,
        read_key_id,
        revoke_key,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("pipeline.security.api_keys"), name)


__all__ = ["Caller", "KeyRecord", "Scope", "create_key", "find_caller", "list_keys", "read_key_id", "revoke_key"]
