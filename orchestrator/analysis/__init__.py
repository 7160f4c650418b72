"""Turns records into figures and sentences. Pure functions."""
