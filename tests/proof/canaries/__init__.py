"""Named mistakes of one line, planted one at a time, that the proofs must see."""
