"""redis-py, redis-cli and redis-benchmark as they are, against Redis and against us."""
