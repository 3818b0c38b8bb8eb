"""What a gateway asks for a schema of its own. Settings of gateways import it: it needs no SQLAlchemy."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaGrant:
    """A schema of a gateway's own, and what the worker may do in each of its tables. The reader reads them all."""

    schema: str
    worker: tuple[str, ...]
