-- works with: 1
-- Record what the model of outcomes made of a message that no receipt speaks of.
-- An older program that runs beside leaves it as it is, so it counts only where it can be so.
ALTER TABLE messages ADD COLUMN verdict TEXT;
