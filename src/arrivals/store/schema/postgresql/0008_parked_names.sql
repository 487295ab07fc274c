-- works with: 1
-- Parked receipts wait under fewer names. And what was heard of that more of them wait for than one
-- transaction tries: the sweep goes on with them, so many at a time.
CREATE TABLE parked_heard (
  provider_id TEXT NOT NULL,
  form        TEXT NOT NULL,
  after_id    BIGINT NOT NULL,    -- the last that was tried
  again       BIGINT NOT NULL,    -- 1: it was heard of once more meanwhile
  turn        BIGINT NOT NULL,    -- since when it waits to be gone on with
  PRIMARY KEY (provider_id, form)
);
CREATE INDEX parked_heard_by_turn ON parked_heard (turn);

-- A receipt waits under one form of each id it tells, as its own provider's; an answer is looked
-- up under every form. What waited under all of them keeps the shortest of each.
DELETE FROM parked_forms AS f
WHERE substr(form, 1, 1) = '0' AND EXISTS (
  SELECT 1 FROM parked_forms AS bare
  WHERE bare.provider_id = f.provider_id AND bare.form = ltrim(f.form, '0')
    AND bare.parked_id = f.parked_id
);
DELETE FROM parked_forms AS f
WHERE provider_id <> (SELECT r.provider_id FROM parked_receipts AS r WHERE r.id = f.parked_id);
