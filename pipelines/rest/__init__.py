"""Candidates, rounds, ask and tell over HTTP: for a laboratory's robot or LIMS."""
