"""The token-allowance web client's own books: credentials at providers, reports of usage, accounts with a month's tokens.

Its words (`plan tier`, `billing status`) stay at its door in `api.provisioning`. Its accounts are none of ours: they have
tokens and no credits, and go by the ids that the web client gives its users.
"""
