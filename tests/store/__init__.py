"""One suite for every store: what the contract promises, whoever keeps it."""
