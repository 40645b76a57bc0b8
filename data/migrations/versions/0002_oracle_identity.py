"""Oracle calls by the identity of what measured; objects by a handle of their canonical text.

Old rows know their oracle by name and version only. For oracles whose version tells all (xtb, rdkit) the identity is
what the code computes today; for the others nobody knows what the program was, so they get one that no oracle has:
`legacy:` and a hash of name, version, options and folder, equal where the old code had reason to take values over.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

from data.objects import handle

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SPEED = {"cost", "timeout", "chunk", "retries", "wait", "workers"}
_TOLD_BY_VERSION: Mapping[str, Mapping[str, Any]] = {
    "xtb": {"property": "electron_affinity", "method": "IPEA1-xTB", "seed": 42},
    "rdkit": {"property": "qed"},
}
"""Kinds whose version names all that decides a value, with the defaults of their options."""
_CHUNK = 2000
_DOUBTFUL = "Taken over from a measurement that was not certainly the same; nobody is known to have made this one."


def upgrade() -> None:
    """Add the columns, name the old rows anew, and let a purchase be unique by identity."""
    connection = op.get_bind()
    op.add_column("campaigns", sa.Column("oracle", sa.Text, nullable=False, server_default=""))
    _rebuild(connection)
    for table in ("oracle_calls", "candidates"):
        rows = connection.execute(sa.text(f"SELECT id, smiles FROM {table}")).all()
        _update(connection, f"UPDATE {table} SET object_id = :key WHERE id = :id", rows, lambda row: handle(row.smiles))
    campaigns = {row.id: row for row in connection.execute(sa.text("SELECT id, config, base FROM campaigns"))}
    named = connection.execute(sa.text("SELECT DISTINCT campaign_id, oracle, version FROM oracle_calls")).all()
    for row in named:
        campaign = campaigns[row.campaign_id]
        spec = json.loads(campaign.config)["objectives"][0]["oracle"]
        connection.execute(
            sa.text(
                "UPDATE oracle_calls SET identity = :identity "
                "WHERE campaign_id = :campaign_id AND oracle = :oracle AND version = :version"
            ),
            {"identity": _identity(row.oracle, row.version, spec, campaign.base), **row._mapping},
        )
    _constrain(connection)
    connection.execute(
        sa.text(
            "UPDATE oracle_calls SET message = :told WHERE origin = 'reused' AND NOT EXISTS ("
            "SELECT 1 FROM oracle_calls c WHERE c.identity = oracle_calls.identity "
            "AND c.object_id = oracle_calls.object_id AND c.origin = 'called' AND c.state = 'done')"
        ),
        {"told": _DOUBTFUL},
    )


def downgrade() -> None:
    """Refuse: dropping the ledger would destroy measurements."""
    raise RuntimeError("The ledger is not downgraded: it holds paid measurements. Restore a copy of the file instead.")


def _identity(oracle: str, version: str, spec: Mapping[str, Any], base: str) -> str:
    kind = str(spec["kind"])
    options = {name: value for name, value in spec.items() if name not in _SPEED and name != "kind"}
    if kind in _TOLD_BY_VERSION:
        changed = {k: v for k, v in options.items() if _TOLD_BY_VERSION[kind].get(k, ...) != v}
        parts = {"kind": kind, "version": version}
        return _digest(parts | {f"option {k}": json.dumps(v, sort_keys=True) for k, v in changed.items()})
    where = base if kind in ("python", "command") else ""
    return "legacy:" + _digest([oracle, version, options, where])[:57]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _update(connection: sa.Connection, statement: str, rows: Any, key: Any) -> None:
    changes: Iterator[dict[str, Any]] = ({"id": row.id, "key": key(row)} for row in rows)
    while chunk := list(islice(changes, _CHUNK)):
        connection.execute(sa.text(statement), chunk)


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("campaign_id", sa.Integer, sa.ForeignKey("campaigns.id"), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("oracle", sa.String(128), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("object_id", sa.String(64), nullable=False),
        sa.Column("fidelity", sa.String(64), nullable=False),
        sa.Column("replicate", sa.Integer, nullable=False),
        sa.Column("smiles", sa.Text, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("error", sa.String(32)),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("reserved_at", sa.String(32), nullable=False),
        sa.Column("completed_at", sa.String(32)),
    ]


def _rebuild(connection: sa.Connection) -> None:
    """Add `identity` and take the old uniqueness away; SQLite cannot drop it, so there the table is made anew."""
    if connection.dialect.name != "sqlite":
        op.add_column("oracle_calls", sa.Column("identity", sa.String(64), nullable=False, server_default=""))
        op.alter_column("oracle_calls", "identity", server_default=None)
        for constraint in sa.inspect(connection).get_unique_constraints("oracle_calls"):
            op.drop_constraint(str(constraint["name"]), "oracle_calls", type_="unique")
        op.drop_index("oracle_calls_by_object", "oracle_calls")
        return
    names = ", ".join(column.name for column in _columns() if column.name != "identity")
    op.create_table(
        "oracle_calls_0002",
        *_columns(),
        sa.UniqueConstraint("campaign_id", "identity", "object_id", "fidelity", "replicate"),
    )
    # The old name and version stand for the identity until it is known, so that rows stay unique on the way.
    connection.execute(
        sa.text(
            f"INSERT INTO oracle_calls_0002 ({names}, identity) "
            f"SELECT {names}, oracle || '@' || version FROM oracle_calls ORDER BY id"
        )
    )
    op.drop_table("oracle_calls")
    op.rename_table("oracle_calls_0002", "oracle_calls")


def _constrain(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        op.create_unique_constraint(
            "oracle_calls_of_campaign",
            "oracle_calls",
            ["campaign_id", "identity", "object_id", "fidelity", "replicate"],
        )
    op.create_index("oracle_calls_of_object", "oracle_calls", ["campaign_id", "object_id"])
    op.create_index("oracle_calls_by_identity", "oracle_calls", ["identity", "object_id"])
