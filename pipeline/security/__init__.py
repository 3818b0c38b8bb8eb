"""API keys, sessions of the admin pages, and what must not be kept or shown.

Public modules: `admin_sessions`, `card_numbers`, `printable` (text of others, fit to be shown), `redaction` (secrets),
`tokens` (the form of API keys).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily

# Imported at its first use: logs and terminal output need the modules beside it, which are text alone, and
# API keys need SQLAlchemy and pydantic (300 modules more).
if TYPE_CHECKING:
    from pipeline.security.api_keys import (
        Caller,
        KeyRecord,
        Scope,
        create_key,
        find_callers,
        list_keys,
        revoke_key,
    )
    from pipeline.security.tokens import read_key_id

__all__ = [
    "Caller",
    "KeyRecord",
    "Scope",
    "create_key",
    "find_callers",
    "list_keys",
    "read_key_id",
    "revoke_key",
]

if not TYPE_CHECKING:
    __getattr__ = import_lazily(__name__, {**dict.fromkeys(__all__, "api_keys"), "read_key_id": "tokens"})
