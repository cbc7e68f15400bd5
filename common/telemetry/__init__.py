"""What a process says of itself: whether it is well, figures, traces, a line for each thing that happens to a job."""
