"""Prints what TensorBoard reads of the event files in a folder: a line for each value,
with its tag, step, time and value, and nothing about what it dropped."""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    for e in events.Scalars(tag):
        print(tag, e.step, repr(e.wall_time), repr(e.value), sep="\t")
