"""Whole worlds on one seed: the real system on a virtual clock, with faults, and a judge."""
