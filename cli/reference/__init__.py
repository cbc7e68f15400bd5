"""The pages of docs/reference/, made from the code. A module a page; `python -m cli.reference` compares them."""
