"""Queries that both ways into the ledger use: `data/ledger.py` and, for `discover status`, `data/ledger_view.py`."""

HEAD = "0003"
"""Revision of the tables that this code works with."""

CAMPAIGNS = "SELECT * FROM campaigns ORDER BY id"

# One row per candidate, its newest call: a campaign that two versions of an oracle have measured has two of some.
CANDIDATES = """
SELECT c.object_id AS id, c.smiles, o.value, c.round, c.position, c.arm, c.source, c.predicted_mean, c.predicted_std,
       c.score, c.novelty, COALESCE(o.state, 'proposed') AS state, o.error, COALESCE(o.message, '') AS message, o.origin
FROM candidates c
LEFT JOIN oracle_calls o ON o.id = (
    SELECT MAX(x.id) FROM oracle_calls x WHERE x.campaign_id = c.campaign_id AND x.object_id = c.object_id)
WHERE c.campaign_id = :campaign_id
ORDER BY c.round, c.position
"""

STAGES = "SELECT * FROM stages WHERE campaign_id = :campaign_id ORDER BY finished_at"

SPENT = """
SELECT COUNT(*) AS calls, COALESCE(SUM(cost), 0.0) AS cost FROM oracle_calls
WHERE campaign_id = :campaign_id AND origin <> 'imported'
"""

UNCERTAIN = """
SELECT p.name, p.generation, COUNT(*) AS n FROM oracle_calls r JOIN campaigns p ON p.id = r.campaign_id
WHERE r.origin = 'reused' AND NOT EXISTS (
    SELECT 1 FROM oracle_calls c
    WHERE c.identity = r.identity AND c.object_id = r.object_id AND c.origin = 'called' AND c.state = 'done')
GROUP BY p.id, p.name, p.generation ORDER BY p.id
"""
"""Reused values whose measurement nobody made: an earlier version took them over from another one."""

LOCK = "SELECT * FROM locks WHERE campaign_id = :campaign_id"
