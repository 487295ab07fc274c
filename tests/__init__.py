"""The tests of Arrivals."""
