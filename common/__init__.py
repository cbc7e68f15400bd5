"""What every layer needs and what imports nothing of ours."""
