"""What an autoscaler is asked for."""

from collections import Counter

from orchestrator.sweep import Resources
from orchestrator.upscaling import Bundle, Upscaling

ONE, GPU = Resources(), Resources(cpus_per_trial=4, gpus_per_trial=0.5)


def test_room_is_asked_for_every_trial_and_for_none_at_the_end() -> None:
    asked: list[list[Bundle]] = []
    upscaling = Upscaling(asked.append, every=0.0)
    upscaling.want(lambda: Counter({ONE: 2, GPU: 1}))
    upscaling.want(lambda: Counter({ONE: 2, GPU: 1}))
    upscaling.want(lambda: Counter({GPU: 1}))
    upscaling.end()
    gpu = {"CPU": 4.0, "GPU": 0.5}
    assert asked == [[{"CPU": 1.0}, {"CPU": 1.0}, gpu], [gpu], []]


def test_an_autoscaler_is_not_asked_at_every_epoch() -> None:
    asked: list[list[Bundle]] = []
    upscaling = Upscaling(asked.append, every=3600.0)
    for count in (3, 2, 1):
        upscaling.want(lambda count=count: Counter({ONE: count}))  # type: ignore[misc]
    assert len(asked) == 1
