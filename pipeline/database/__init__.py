"""PostgreSQL: connections, transactions, migrations, roles."""
