"""A year of selling in fast motion: people subscribe, pay, upgrade, lapse, dispute, redeem and generate, and all that can go
wrong between us and the companies goes wrong. Afterwards the books are compared with what the companies say.

Usage: make year, or python -m tests.year [--users N] [--days N] [--seed N].
"""
