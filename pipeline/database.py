"""Connections to PostgreSQL, with every timeout set: a hung thread never looks dead to a broker."""

from sqlalchemy import Engine, create_engine, make_url

from pipeline.settings import Settings


def connect_engine(
    settings: Settings,
    *,
    application_name: str,
    pool_size: int | None = None,
    statement_timeout_seconds: float | None = None,
    url: str | None = None,
) -> Engine:
    """Return an engine; connects at first use. `statement_timeout_seconds=0` means none (migrations, audit).

    READ COMMITTED, the database's clock, UTC. A frozen or vanished client loses its locks within seconds.
    """
    timeout = settings.statement_timeout_seconds if statement_timeout_seconds is None else statement_timeout_seconds
    options = {
        "statement_timeout": int(timeout * 1000),
        "lock_timeout": int(settings.lock_timeout_seconds * 1000),
        # A worker stopped inside a transaction must not keep a hot row: 5 s is ten times the longest healthy batch.
        "idle_in_transaction_session_timeout": 5000,
        "client_connection_check_interval": 1000,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "timezone": "UTC",
    }
    return create_engine(
        make_url(url or settings.database_url.get_secret_value()).set(drivername="postgresql+psycopg"),
        pool_size=pool_size or settings.pool_size,
        max_overflow=0,
        pool_timeout=10,
        connect_args={
            "application_name": f"checkout.{application_name}",
            "connect_timeout": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
