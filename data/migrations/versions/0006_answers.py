"""Calls to several oracles, answers of several values, answers that come later and are corrected.

A fidelity is an oracle of its own, so the column that nothing ever wrote says which of the campaign's oracles was
asked. `entered` is the round whose data an answer belongs to, where answers come later than the round that asked.
`revisions` keeps what an answer was before it was corrected; nothing is overwritten.
"""

import sqlalchemy as sa
from alembic import op

from data.ledger.campaigns import LedgerError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Name one column anew and add others: rows, keys and indices stay where they are, in SQLite and in PostgreSQL."""
    used = op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM oracle_calls WHERE fidelity <> ''"))
    if used:
        raise LedgerError(
            f"The ledger is not brought up to date: {used} calls have a fidelity, which no discovery-flows wrote. "
            "Nothing was changed; ask who did."
        )
    op.execute("ALTER TABLE oracle_calls RENAME COLUMN fidelity TO part")
    op.add_column("oracle_calls", sa.Column("outputs", sa.Text))
    op.add_column("oracle_calls", sa.Column("entered", sa.Integer))
    op.add_column("oracle_calls", sa.Column("told_by", sa.Text))
    op.add_column("candidates", sa.Column("predicted", sa.Text))
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("call_id", sa.Integer, sa.ForeignKey("oracle_calls.id"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("outputs", sa.Text),
        sa.Column("error", sa.String(32).with_variant(sa.Text(), "postgresql")),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("entered", sa.Integer),
        sa.Column("told_by", sa.Text),
        sa.Column("told_at", sa.String(32)),
        sa.Column("replaced_at", sa.String(32), nullable=False),
        sa.Index("revisions_of_call", "call_id"),
    )


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")
