-- What a test key was promised is its own: no live key shares an idempotency key with it.
UPDATE idempotency SET scope = 'test ' || scope
WHERE substr(answer, 1, 1) = '{' AND EXISTS (
  SELECT 1 FROM orders AS o JOIN catalogue AS c ON c.kind = 'key' AND c.id = o.key_id
  WHERE o.id = json_extract(answer, '$.order_id') AND o.account_id = idempotency.account_id
    AND json_extract(c.body, '$.environment') = 'test'
);
UPDATE batches SET key = 'test' || char(9) || key
WHERE id IN (
  SELECT o.batch_id FROM orders AS o JOIN catalogue AS c ON c.kind = 'key' AND c.id = o.key_id
  WHERE o.batch_id IS NOT NULL AND json_extract(c.body, '$.environment') = 'test'
);
