"""Tables of the ledger. The migrations in `data/migrations` make them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _foreign(length: int) -> TypeEngine[str]:
    """Return the type of what other programs say, of any length: SQLite never minds, PostgreSQL does."""
    return String(length).with_variant(Text(), "postgresql")


campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("generation", Integer, nullable=False),  # 1 + how often `--fresh` began the name anew
    Column("config", Text, nullable=False),
    Column("identity", String(64), nullable=False),
    Column("base", Text, nullable=False),  # folder of the campaign file: relative paths start there
    Column("state", String(32), nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("seconds", Float, nullable=False, default=0.0),  # running time, summed over restarts
    Column("created_at", String(32), nullable=False),
    Column("oracle", Text, nullable=False, default="", server_default=""),  # JSON of all that decides a value, by name
    # What was booked, written with the calls themselves: a million of them are not counted at each purchase.
    Column("calls", Integer, nullable=False, default=0, server_default="0"),
    Column("cost", Float, nullable=False, default=0.0, server_default="0"),
    UniqueConstraint("name", "generation"),
)

oracle_calls = Table(
    "oracle_calls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("oracle", _foreign(128), nullable=False),  # for people: kind and detail
    Column(
        "identity", String(64), nullable=False
    ),  # hash of all that decides a value; `legacy:...` is never taken over
    Column("version", _foreign(255), nullable=False),  # for people
    Column("object_id", String(64), nullable=False),
    Column("part", String(64), nullable=False, default=""),  # which oracle of the campaign: empty the first, 1, 2, ...
    Column("replicate", Integer, nullable=False, default=0),
    Column("object", Text, nullable=False),
    # called | imported (came with a label) | reused (bought before) | awaited (another campaign is buying it)
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("cost", Float, nullable=False, default=0.0),
    Column("value", Float),
    Column("outputs", Text),  # JSON, name -> value, of an oracle that answers with several; `value` is null then
    Column("error", _foreign(32)),
    Column("message", Text, nullable=False, default=""),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("reserved_at", String(32), nullable=False),
    Column("completed_at", String(32)),
    Column("entered", Integer),  # round whose data the answer belongs to; null: it has not entered any yet
    Column("told_by", Text),  # who told it, of an oracle whose answers come later
    UniqueConstraint("campaign_id", "identity", "object_id", "part", "replicate"),
    Index("oracle_calls_of_object", "campaign_id", "object_id"),
    Index("oracle_calls_by_identity", "identity", "object_id"),
    Index("oracle_calls_of_round", "campaign_id", "round", "state"),
    Index("oracle_calls_by_value", "campaign_id", "state", "value"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("object_id", String(64), nullable=False),
    Column("object", Text, nullable=False),
    Column("arm", String(16), nullable=False),
    Column("source", _foreign(64), nullable=False),
    Column("predicted_mean", Float),
    Column("predicted_std", Float),
    Column("score", Float),
    Column("novelty", Float),
    Column("compound", String(27)),  # standard InChIKey, empty where there is none; null in rows of earlier revisions
    # JSON, objective -> mean and deviation, of campaigns with several
    Column("predicted", Text),
    UniqueConstraint("campaign_id", "object_id"),
    UniqueConstraint("campaign_id", "round", "position"),
    Index("candidates_of_compound", "campaign_id", "compound"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_id", Integer, ForeignKey("oracle_calls.id"), nullable=False),
    # What the answer was before it was corrected.
    Column("state", String(16), nullable=False),
    Column("value", Float),
    Column("outputs", Text),
    Column("error", _foreign(32)),
    Column("message", Text, nullable=False),
    Column("entered", Integer),
    Column("told_by", Text),
    Column("told_at", String(32)),
    Column("replaced_at", String(32), nullable=False),
    Index("revisions_of_call", "call_id"),
)

stages = Table(
    "stages",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("key", String(64), nullable=False),  # sha256 of all that went in
    Column("uri", Text, nullable=False),  # folder of the results, relative to the workspace
    Column("sha256", String(64), nullable=False),  # of the results
    Column("metrics", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("finished_at", String(32), nullable=False),
)

locks = Table(
    "locks",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), primary_key=True),
    Column("host", _foreign(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Float, nullable=False),  # start time of the process by the clock, where there are no ticks
    Column("heartbeat", String(32), nullable=False),
    Column("boot", Text, nullable=False, server_default=""),  # of the kernel; empty where it has no id
    Column("namespace", Text, nullable=False, server_default=""),  # of pids: containers of one host have the same pids
    Column("ticks", BigInteger),  # from boot to the start of the process: a pid alone can be given out again
    Column("token", Text, nullable=False, server_default=""),  # of this very taking of the lock
)
