"""The text of an object is called what it is: `object`, where the first campaigns, of molecules only, said `smiles`."""

import sqlalchemy as sa
from alembic import op

from data.ledger.campaigns import LedgerError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("oracle_calls", "candidates")


def upgrade() -> None:
    """Name the columns anew: rows, keys and indices stay where they are, in SQLite and in PostgreSQL."""
    connection = op.get_bind()
    before = _counts(connection)
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN smiles TO object")
    after = _counts(connection)
    if after != before:
        raise LedgerError(
            f"The ledger is not brought up to date, since that would change what it holds: {before} before, {after} "
            "after. Nothing was changed. Look with the earlier discovery-flows and `discover doctor`."
        )


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")


def _counts(connection: sa.Connection) -> dict[str, float]:
    """Return what must be the same before and after: rows, objects, values, calls and cost."""
    counted: dict[str, float] = {}
    for table in _TABLES:
        counted[f"rows of {table}"] = connection.scalar(sa.text(f"SELECT COUNT(*) FROM {table}")) or 0
    for what in ("COUNT(DISTINCT object_id)", "COUNT(value)", "COUNT(completed_at)"):
        counted[what] = connection.scalar(sa.text(f"SELECT {what} FROM oracle_calls")) or 0
    for what in ("SUM(calls)", "SUM(cost)"):
        counted[what] = connection.scalar(sa.text(f"SELECT {what} FROM campaigns")) or 0
    return counted
