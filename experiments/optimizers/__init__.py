"""Optimizers as a table: a name, its class, its settings, its slots."""

from experiments.optimizers.optimizer import NO_CHOICE, Optimizer, build, check, require

__all__ = ["NO_CHOICE", "Optimizer", "build", "check", "require"]
