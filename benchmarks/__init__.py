"""Measurements: `make bench`. Each compares with a floor or a peer in the same run, and prints ratios."""
