"""Backups of the database and of the objects it names: taken from a running system, restored into an empty one."""
