"""Where everything is kept: one contract, and all the SQL there is."""
