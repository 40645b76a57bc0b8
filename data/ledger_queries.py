"""Queries that both ways into the ledger use: `data/ledger.py` and, for `discover status`, `data/ledger_view.py`."""

HEAD = "0003"
"""Revision of the tables that this code works with."""

CAMPAIGNS = "SELECT * FROM campaigns ORDER BY id"

CANDIDATES = """
SELECT c.object_id AS id, c.smiles, o.value, c.round, c.position, c.arm, c.source, c.predicted_mean, c.predicted_std,
       c.score, c.novelty, COALESCE(o.state, 'proposed') AS state, o.error, COALESCE(o.message, '') AS message, o.origin
FROM candidates c
LEFT JOIN oracle_calls o ON o.campaign_id = c.campaign_id AND o.object_id = c.object_id
WHERE c.campaign_id = :campaign_id
ORDER BY c.round, c.position
"""

STAGES = "SELECT * FROM stages WHERE campaign_id = :campaign_id ORDER BY finished_at"

SPENT = """
SELECT COUNT(*) AS calls, COALESCE(SUM(cost), 0.0) AS cost FROM oracle_calls
WHERE campaign_id = :campaign_id AND origin <> 'imported'
"""

LOCK = "SELECT * FROM locks WHERE campaign_id = :campaign_id"
