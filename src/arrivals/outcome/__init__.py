"""What became of a message: evidence in, calibrated truth out."""
