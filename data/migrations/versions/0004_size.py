"""A million rows: what a campaign has booked stands beside it, and what is looked for has an index."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and indices; compounds of old rows stay unknown and are looked up when they are asked for."""
    op.add_column("campaigns", sa.Column("calls", sa.Integer, nullable=False, server_default="0"))
    op.add_column("campaigns", sa.Column("cost", sa.Float, nullable=False, server_default="0"))
    op.add_column("candidates", sa.Column("compound", sa.String(27)))
    mine = "FROM oracle_calls WHERE campaign_id = campaigns.id AND origin <> 'imported'"
    op.execute(f"UPDATE campaigns SET calls = (SELECT COUNT(*) {mine})")
    op.execute(f"UPDATE campaigns SET cost = (SELECT COALESCE(SUM(cost), 0.0) {mine})")
    op.create_index("oracle_calls_of_round", "oracle_calls", ["campaign_id", "round", "state"])
    op.create_index("oracle_calls_by_value", "oracle_calls", ["campaign_id", "state", "value"])
    op.create_index("candidates_of_compound", "candidates", ["campaign_id", "compound"])


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")
