"""Who generates: one file or folder per provider, none of which knows a database."""
