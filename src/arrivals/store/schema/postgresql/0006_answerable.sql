-- works with: 1
-- Messages that their handset can answer, for as long as an answer is looked for: those from a
-- number. Each hand-off that was begun is a row, written in its claim.
CREATE TABLE answerable (
  msisdn     TEXT NOT NULL,
  sender     TEXT NOT NULL,     -- our number, digits
  account_id BIGINT NOT NULL,
  at         BIGINT NOT NULL,
  message_id BIGINT NOT NULL,
  PRIMARY KEY (msisdn, sender, account_id, at, message_id)
);
CREATE INDEX answerable_by_age ON answerable (at);
