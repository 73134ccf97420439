"""mvcc-kv: a transactional key-value store."""
