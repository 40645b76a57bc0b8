"""Calls to several oracles: which of the campaign's each is of, in the column that was kept for fidelities.

A fidelity is an oracle of its own, so the column that nothing ever wrote says which oracle was asked. A call may have
several values; candidates have what was predicted of each objective.
"""

import sqlalchemy as sa
from alembic import op

from data.ledger.campaigns import LedgerError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Name one column anew and add two: rows, keys and indices stay where they are, in SQLite and in PostgreSQL."""
    used = op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM oracle_calls WHERE fidelity <> ''"))
    if used:
        raise LedgerError(
            f"The ledger is not brought up to date: {used} calls have a fidelity, which no discovery-flows wrote. "
            "Nothing was changed; ask who did."
        )
    op.execute("ALTER TABLE oracle_calls RENAME COLUMN fidelity TO part")
    op.add_column("oracle_calls", sa.Column("outputs", sa.Text))
    op.add_column("candidates", sa.Column("predicted", sa.Text))


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")
