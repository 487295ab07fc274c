"""The HTTP API: the published contract to the letter, and what is ours beside it."""
