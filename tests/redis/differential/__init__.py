"""The same commands to Redis and to our server; the replies must be equal, byte for byte, and so must what both hold.

grammar.py     commands as Redis knows them, with odd arguments, missing ones, options in any combination
everyday.py    the commands that most steps say, whole, on few keys and times, so that they meet
plays.py       bursts of them, and transactions from WATCH to EXEC with what others do meanwhile
likeness.py    what may differ: times that pass, orders and cursors, ids
pairs.py       a client of both servers
machine.py     a state machine of Hypothesis: several clients; after each step the two key spaces are compared
meeting.py     a run of it, as CI's or by a seed
__main__.py    the same with seeds, for as long as you like: `make redis-fuzz BUDGET_S=600`
mutants.py     deliberate bugs of our server; hunt.py looks whether a run finds them: `make redis-mutants`
"""
