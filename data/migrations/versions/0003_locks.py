"""Locks that know boot, pid namespace, start ticks and whose they are; texts of any length on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXTS = {"oracle_calls": ("oracle", "version", "error"), "candidates": ("source",), "locks": ("host",)}
"""Columns that hold what other programs say: PostgreSQL refuses what is longer than declared, SQLite never does."""


def upgrade() -> None:
    """Add the columns; a lock that was taken before has them empty."""
    op.add_column("locks", sa.Column("boot", sa.Text, nullable=False, server_default=""))
    op.add_column("locks", sa.Column("namespace", sa.Text, nullable=False, server_default=""))
    op.add_column("locks", sa.Column("ticks", sa.BigInteger))
    op.add_column("locks", sa.Column("token", sa.Text, nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":
        for table, columns in _TEXTS.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.Text)


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")
