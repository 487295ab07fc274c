-- works with: 1
-- What a test key was promised is its own: no live key shares an idempotency key with it.
UPDATE idempotency AS i SET scope = 'test ' || scope
WHERE substr(answer, 1, 1) = '{' AND EXISTS (
  SELECT 1 FROM orders AS o JOIN catalogue AS c ON c.kind = 'key' AND c.id = o.key_id
  WHERE o.id = CASE WHEN substr(i.answer, 1, 1) = '{'
                    THEN (i.answer::json ->> 'order_id')::bigint END
    AND o.account_id = i.account_id AND c.body::json ->> 'environment' = 'test'
);
UPDATE batches SET key = 'test' || chr(9) || key
WHERE id IN (
  SELECT o.batch_id FROM orders AS o JOIN catalogue AS c ON c.kind = 'key' AND c.id = o.key_id
  WHERE o.batch_id IS NOT NULL AND c.body::json ->> 'environment' = 'test'
);
