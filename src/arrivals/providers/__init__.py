"""How we reach providers: hand-offs out, answers and receipts in."""
