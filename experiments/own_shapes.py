"""The public name of what a schedule of the user's own is written and tested with."""

from experiments.schedules.custom import assert_shape_contract, total_independent

__all__ = ["assert_shape_contract", "total_independent"]
