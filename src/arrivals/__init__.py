"""Arrivals: an SMS sending platform that tells the truth about outcomes."""

__version__ = "0.1.0"
