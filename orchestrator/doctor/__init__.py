"""Judges machines before a run."""
