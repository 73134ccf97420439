"""The same commands to Redis and to our server; the replies must be equal, byte for byte.

grammar.py     commands as Redis knows them, with odd arguments, missing ones, options in any combination
likeness.py    what may differ: times that pass, orders and cursors, ids
machine.py     a state machine of Hypothesis: several connections to both servers
__main__.py    the same with seeds, for as long as you like: `make redis-fuzz BUDGET_S=600`
"""
