"""Run migrations against DATABASE_URL, or on the connection that a caller hands over in `config.attributes`."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from models.tables import Base
from pipeline.database import connect_engine
from pipeline.database.migrations import describe_types, is_modelled
from pipeline.settings import SettingsError, read_settings


def migrate(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    describe_types(connection)
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_schemas=True, include_object=is_modelled
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    migrate(given)
else:
    try:
        settings = read_settings(redis_url="redis://not-needed-here")
    except SettingsError as error:
        raise CommandError(str(error)) from None
    engine = connect_engine(settings, application_name="migrations", statement_timeout_seconds=0)
    with engine.connect() as own:
        migrate(own)
    engine.dispose()
