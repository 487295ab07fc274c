"""Everything that a PostgreSQL database's schema consists of, to be compared."""

from __future__ import annotations

from typing import Any

from tests.postgres.server import execute

OURS = "n.nspname = 'public'"
QUESTIONS = {
    "tables": "SELECT c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity,"
    " c.reloptions::text, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),"
    " c.relacl::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {OURS}",
    "columns": "SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),"
    " a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    f" WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped",
    "constraints": "SELECT conrelid::regclass::text, conname, contype, convalidated,"
    " pg_get_constraintdef(x.oid) FROM pg_constraint x"
    f" JOIN pg_namespace n ON n.oid = x.connamespace WHERE {OURS}",
    "indexes": "SELECT c.relname, i.indisvalid, pg_get_indexdef(i.indexrelid) FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {OURS}",
    "triggers": "SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled,"
    " pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal",
    "functions": "SELECT p.proname, pg_get_functiondef(p.oid), p.proacl::text FROM pg_proc p"
    f" JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}",
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check"
    " FROM pg_policies WHERE schemaname = 'public'",
    "sequences": "SELECT sequencename, start_value, min_value, increment_by, cache_size"
    " FROM pg_sequences WHERE schemaname = 'public'",
    "versions": "SELECT version, works_with FROM schema_versions",
    "moves": "SELECT from_state, to_state FROM moves",
    "spans": "SELECT n FROM spans",
}


def schema_of(url: str) -> dict[str, list[Any]]:
    """Return every part of a schema, by kind, in an order that no history changes."""
    return {kind: sorted(execute(url, text), key=repr) for kind, text in QUESTIONS.items()}
