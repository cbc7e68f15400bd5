"""The client that waits without a thread. `_sync` is derived from it: edit here, then `python -m making`."""
