"""The record of campaigns: calls, answers, candidates, stages; who runs them, and what is told of them."""
