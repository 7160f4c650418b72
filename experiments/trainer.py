"""The public name of the built-in trainer: sweep files say `trainer: experiments.trainer:Trainer`."""

from experiments.training.trainer import Job, Trainer

__all__ = ["Job", "Trainer"]
