"""A simulated week of a large installation: what saturates first, who waits how long, what each remedy buys."""
