"""Clients in other languages and in this one, against what they are made for."""
