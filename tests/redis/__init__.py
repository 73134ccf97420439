"""Redis's clients against a real server of ours and a real Redis, both processes of their own, with one expectation.

servers.py     both servers
clients/       redis-py, redis-cli, redis-benchmark
differential   a state machine that says the same to both and compares the replies, byte for byte
tcl/           Redis's own test suite
"""
