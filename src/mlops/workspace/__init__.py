"""What a target needs in account and workspace, and what of it is missing; adapters/account.py does the reading."""
