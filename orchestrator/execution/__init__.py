"""Carries out a plan: the run, its scheduler, and the workers' side of a trial."""
