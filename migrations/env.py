"""Run migrations against DATABASE_URL, or on the connection that a caller hands over in `config.attributes`."""

from alembic import context
from sqlalchemy import Connection

from models.tables import Base
from pipeline.database import connect_engine
from pipeline.settings import Settings


def migrate(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata, include_schemas=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    migrate(given)
else:
    engine = connect_engine(Settings(), application_name="migrations", statement_timeout_seconds=0)
    with engine.connect() as own:
        migrate(own)
    engine.dispose()
