"""Trajectories and the trainer."""
