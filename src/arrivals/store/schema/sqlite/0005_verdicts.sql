-- Record what the model of outcomes made of a message that no receipt speaks of.
ALTER TABLE messages ADD COLUMN verdict TEXT;
