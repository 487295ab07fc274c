"""What is true: pure values and tables, with no clock, chance, I/O or SQL."""
