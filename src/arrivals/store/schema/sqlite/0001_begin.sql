-- Everything Arrivals keeps. Times are microseconds, money micro-units, JSON is opaque text.
-- The rules of the core stand here a second time, as CHECKs, unique indexes and triggers.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- Accounts, API keys, providers and routes, each a document that core/catalogue.py reads.
CREATE TABLE catalogue (
  kind       TEXT NOT NULL CHECK (kind IN ('account', 'key', 'provider', 'route')),
  id         TEXT NOT NULL,
  body       TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;

CREATE TABLE price_lists (
  route_id    INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  currency    TEXT NOT NULL,
  imported_at BIGINT NOT NULL,
  PRIMARY KEY (route_id, version)
) WITHOUT ROWID;

-- Rates are never edited: a new list is a new version, and messages keep the rate they met.
CREATE TABLE rates (
  id       INTEGER PRIMARY KEY,
  route_id INTEGER NOT NULL,
  version  INTEGER NOT NULL,
  prefix   TEXT NOT NULL,
  country  TEXT NOT NULL,
  price    BIGINT NOT NULL CHECK (typeof(price) = 'integer' AND price >= 0),
  UNIQUE (route_id, version, prefix)
);
CREATE TRIGGER rates_are_never_updated BEFORE UPDATE ON rates
BEGIN SELECT RAISE(ABORT, 'a rate is never updated'); END;
CREATE TRIGGER rates_are_never_deleted BEFORE DELETE ON rates
BEGIN SELECT RAISE(ABORT, 'a rate is never deleted'); END;

-- Money. A posting moves one amount from debit to credit, so its two entries sum to zero.
CREATE TABLE postings (
  id         INTEGER PRIMARY KEY,
  at         BIGINT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('funding', 'withdrawal', 'hold', 'capture',
                                           'release', 'refund', 'recharge', 'cost')),
  account_id INTEGER,
  debit      TEXT NOT NULL,
  credit     TEXT NOT NULL CHECK (credit <> debit),
  amount     BIGINT NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
  currency   TEXT NOT NULL,
  reason     TEXT NOT NULL DEFAULT '',
  reference  TEXT
);
CREATE UNIQUE INDEX postings_reference ON postings (account_id, reference)
  WHERE reference IS NOT NULL;
CREATE INDEX postings_by_account ON postings (account_id, id);

CREATE TRIGGER postings_are_never_updated BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'a posting is never updated'); END;
CREATE TRIGGER postings_are_never_deleted BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'a posting is never deleted'); END;

-- The cached sums of a customer's two ledger accounts, in slots so that flushers don't meet.
CREATE TABLE balances (
  account_id   INTEGER NOT NULL,
  slot         INTEGER NOT NULL DEFAULT 0,
  currency     TEXT NOT NULL,
  available    BIGINT NOT NULL DEFAULT 0,
  held         BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
  credit_limit BIGINT NOT NULL DEFAULT 0 CHECK (credit_limit >= 0),
  PRIMARY KEY (account_id, slot),
  CHECK (available + credit_limit >= 0),
  -- A sum that outgrows 64 bits would become a float, and its account unreadable.
  CHECK (typeof(available) = 'integer' AND typeof(held) = 'integer'
         AND typeof(credit_limit) = 'integer')
) WITHOUT ROWID;

CREATE TABLE orders (
  id               INTEGER PRIMARY KEY CHECK (id > 0 AND id < 70368744177664),
  account_id       INTEGER NOT NULL,
  key_id           TEXT NOT NULL,
  route_id         INTEGER NOT NULL,
  accepted_at      BIGINT NOT NULL,
  category         TEXT NOT NULL,
  sender           TEXT NOT NULL,
  text             TEXT,
  client_ref       TEXT,
  request_id       TEXT NOT NULL,
  send_at          BIGINT,
  expires_at       BIGINT NOT NULL,
  outcome_deadline BIGINT NOT NULL CHECK (outcome_deadline >= expires_at),
  on_ambiguous     TEXT NOT NULL CHECK (on_ambiguous IN ('wait', 'query', 'resend', 'fail')),
  providers        TEXT NOT NULL,
  count            INTEGER NOT NULL CHECK (count > 0),
  cost             BIGINT NOT NULL CHECK (cost >= 0),
  currency         TEXT NOT NULL,
  hold_posting     INTEGER NOT NULL,
  balance_after    BIGINT NOT NULL,
  decision         TEXT NOT NULL,
  batch_id         INTEGER
);
CREATE INDEX orders_by_account ON orders (account_id, id);
CREATE INDEX orders_client_ref ON orders (account_id, client_ref)
  WHERE client_ref IS NOT NULL;
CREATE INDEX orders_by_batch ON orders (batch_id, id) WHERE batch_id IS NOT NULL;

CREATE TRIGGER orders_keep_their_commitment
BEFORE UPDATE OF id, account_id, key_id, route_id, accepted_at, send_at, expires_at,
                 outcome_deadline, on_ambiguous, providers, count, cost, currency, hold_posting,
                 decision ON orders
BEGIN SELECT RAISE(ABORT, 'what was committed to is fixed at accept'); END;

-- The legal moves, filled from core/message.py by the migration.
CREATE TABLE moves (
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
) WITHOUT ROWID;

CREATE TABLE messages (
  id                 INTEGER PRIMARY KEY,  -- order_id << 17 | index in the order
  account_id         INTEGER NOT NULL,
  route_id           INTEGER NOT NULL,
  msisdn             TEXT NOT NULL,
  country            TEXT NOT NULL,
  text               TEXT,                 -- NULL: the order's text
  client_ref         TEXT,
  encoding           TEXT NOT NULL CHECK (encoding IN ('gsm7', 'ucs2')),
  segments           INTEGER NOT NULL CHECK (segments > 0),
  rate_id            INTEGER NOT NULL,
  price              BIGINT NOT NULL CHECK (typeof(price) = 'integer' AND price >= 0),
  provider_id        TEXT NOT NULL,
  lane               INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 2),
  state              TEXT NOT NULL,
  reach              INTEGER NOT NULL DEFAULT 0 CHECK (reach BETWEEN 0 AND 2),
  reason             TEXT,
  seq                INTEGER NOT NULL CHECK (seq > 0),
  changed_at         BIGINT NOT NULL,
  attempts           INTEGER NOT NULL DEFAULT 0,
  tries              INTEGER NOT NULL DEFAULT 0 CHECK (tries <= attempts),
  resends            INTEGER NOT NULL DEFAULT 0,
  rank               BIGINT,
  wake_at            BIGINT,
  epoch              INTEGER NOT NULL DEFAULT 0,
  resolution         TEXT CHECK (resolution IN ('captured', 'released')),
  resolution_posting INTEGER,
  provider_cost      BIGINT NOT NULL DEFAULT 0,
  confirmed          TEXT NOT NULL DEFAULT 'none' CHECK (confirmed IN ('none', 'confirmed', 'denied')),
  parts              TEXT,
  CHECK ((resolution IS NULL) = (resolution_posting IS NULL)),
  -- An ended message owes nobody a decision about money, and an open one hasn't had it.
  CHECK ((resolution IS NOT NULL) = (state IN ('delivered', 'failed', 'filtered', 'expired',
                                               'cancelled', 'unknown'))),
  -- No orphans: an open message is in a lane, is being sent, or wakes at a known time.
  CHECK (rank IS NOT NULL OR wake_at IS NOT NULL OR state = 'sending' OR resolution IS NOT NULL),
  CHECK (rank IS NULL OR state IN ('accepted', 'scheduled', 'waiting')),
  CHECK (state <> 'delivered' OR reach = 2),
  -- Never handed off is never charged, and neither is what its sender cancelled.
  CHECK (resolution IS NULL OR resolution = 'released' OR (reach > 0 AND state <> 'cancelled'))
);
CREATE INDEX messages_by_account ON messages (account_id, id);
CREATE INDEX messages_ready ON messages (provider_id, lane, rank) WHERE rank IS NOT NULL;
CREATE INDEX messages_wake ON messages (wake_at) WHERE wake_at IS NOT NULL;
-- Bytes may have left and no answer is there: what a receipt without a known id may belong to.
-- A resend waits with its first hand-off in doubt.
CREATE INDEX messages_in_doubt ON messages (provider_id, msisdn)
  WHERE state IN ('sending', 'ambiguous', 'waiting');
CREATE INDEX messages_client_ref ON messages (account_id, client_ref) WHERE client_ref IS NOT NULL;

CREATE TRIGGER messages_move_along_the_table BEFORE UPDATE OF state ON messages
WHEN NEW.state <> OLD.state
  AND (NEW.seq <> OLD.seq + 1
       OR NOT EXISTS (SELECT 1 FROM moves WHERE from_state = OLD.state AND to_state = NEW.state))
BEGIN SELECT RAISE(ABORT, 'no such move, or one without its event'); END;

CREATE TRIGGER messages_keep_their_price
BEFORE UPDATE OF id, account_id, route_id, price, rate_id, segments, encoding ON messages
BEGIN SELECT RAISE(ABORT, 'the price is fixed at accept'); END;

CREATE TRIGGER messages_resolve_once BEFORE UPDATE OF resolution, resolution_posting ON messages
WHEN OLD.resolution IS NOT NULL
  AND (NEW.resolution IS NOT OLD.resolution OR NEW.resolution_posting IS NOT OLD.resolution_posting)
BEGIN SELECT RAISE(ABORT, 'a hold is resolved once'); END;

CREATE TRIGGER messages_count_up BEFORE UPDATE OF seq ON messages
WHEN NEW.seq <> OLD.seq + 1 OR NEW.changed_at <= OLD.changed_at
BEGIN SELECT RAISE(ABORT, 'an event follows the one before it'); END;

-- Money after settlement, by revisions: the n-th adjustment of a message.
CREATE TABLE adjustments (
  message_id INTEGER NOT NULL,
  n          INTEGER NOT NULL CHECK (n > 0),
  kind       TEXT NOT NULL CHECK (kind IN ('refund', 'recharge')),
  amount     BIGINT NOT NULL CHECK (amount >= 0),
  posting_id INTEGER NOT NULL,
  PRIMARY KEY (message_id, n)
) WITHOUT ROWID;
CREATE TRIGGER adjustments_are_never_updated BEFORE UPDATE ON adjustments
BEGIN SELECT RAISE(ABORT, 'an adjustment is never updated'); END;
CREATE TRIGGER adjustments_are_never_deleted BEFORE DELETE ON adjustments
BEGIN SELECT RAISE(ABORT, 'an adjustment is never deleted'); END;
-- Back goes only what was paid, and again only what was given back: whole, and in turns.
CREATE TRIGGER adjustments_take_turns BEFORE INSERT ON adjustments
WHEN NEW.amount IS NOT (SELECT price FROM messages WHERE id = NEW.message_id)
  OR NEW.kind = coalesce(
       (SELECT kind FROM adjustments WHERE message_id = NEW.message_id AND n = NEW.n - 1),
       (SELECT CASE resolution WHEN 'captured' THEN 'recharge' WHEN 'released' THEN 'refund' END
        FROM messages WHERE id = NEW.message_id))
BEGIN SELECT RAISE(ABORT, 'refunds and recharges take turns, each of the whole price'); END;

-- The timeline: one row per committed step, its evidence and its decision inside.
CREATE TABLE events (
  message_id INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  at         BIGINT NOT NULL,
  kind       TEXT NOT NULL,
  from_state TEXT,
  to_state   TEXT NOT NULL,
  actor      TEXT NOT NULL,
  body       TEXT NOT NULL,
  PRIMARY KEY (message_id, seq),
  -- Nothing but a receipt that says so makes a message delivered.
  CHECK (to_state <> 'delivered' OR from_state = 'delivered' OR kind = 'receipt_delivered')
) WITHOUT ROWID;
CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never updated'); END;

-- Provider ids, in one normal form. Not unique: providers reuse ids.
CREATE TABLE handoffs (
  provider_id TEXT NOT NULL,
  external_id TEXT NOT NULL,
  message_id  INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  part        INTEGER NOT NULL,
  at          BIGINT NOT NULL,
  seen        TEXT NOT NULL DEFAULT '{}',  -- receipt fingerprint → how often it came
  PRIMARY KEY (provider_id, external_id, message_id, attempt, part)
) WITHOUT ROWID;

-- Receipts that match nothing yet, one row per form of the id that could match later.
CREATE TABLE parked_receipts (
  id          INTEGER PRIMARY KEY,
  provider_id TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  fingerprint TEXT NOT NULL,
  receipt     TEXT NOT NULL,
  count       INTEGER NOT NULL DEFAULT 1,
  UNIQUE (provider_id, fingerprint)
);
CREATE INDEX parked_by_age ON parked_receipts (received_at);
CREATE TABLE parked_forms (
  provider_id TEXT NOT NULL,
  form        TEXT NOT NULL,
  parked_id   INTEGER NOT NULL,
  PRIMARY KEY (provider_id, form, parked_id)
) WITHOUT ROWID;
CREATE INDEX parked_forms_by_receipt ON parked_forms (parked_id);

-- Raw receipts, kept a week for whoever has to look.
CREATE TABLE raw_receipts (
  id          INTEGER PRIMARY KEY,
  at          BIGINT NOT NULL,
  provider_id TEXT NOT NULL,
  message_id  INTEGER,
  raw         TEXT NOT NULL
);

CREATE TABLE idempotency (
  account_id INTEGER NOT NULL,
  scope      TEXT NOT NULL,  -- method and path
  key        TEXT NOT NULL,
  body_hash  TEXT NOT NULL,
  status     INTEGER NOT NULL,
  answer     TEXT NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (account_id, scope, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

-- Who owns a provider's bind: each owner has a larger epoch than the one before.
CREATE TABLE binds (
  provider_id TEXT PRIMARY KEY,
  epoch       INTEGER NOT NULL,
  owner       TEXT NOT NULL,
  taken_at    BIGINT NOT NULL
) WITHOUT ROWID;

-- Streams of recipients, committed in chunks; a stream cut off goes on where it stopped.
CREATE TABLE batches (
  id          INTEGER PRIMARY KEY,
  account_id  INTEGER NOT NULL,
  key         TEXT NOT NULL,
  options     TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  finished_at BIGINT,
  lines       INTEGER NOT NULL DEFAULT 0,   -- decided so far, committed or refused
  accepted    INTEGER NOT NULL DEFAULT 0,
  refused     INTEGER NOT NULL DEFAULT 0,
  cost        BIGINT NOT NULL DEFAULT 0,
  prefix_hash TEXT NOT NULL DEFAULT '',     -- SHA-256 over the decided lines
  refusals    TEXT NOT NULL DEFAULT '[]',
  UNIQUE (account_id, key),
  CHECK (lines = accepted + refused)
);
