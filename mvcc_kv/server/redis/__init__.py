"""Redis's commands on our store.

session.py        a client's state: its commands become replies
commands.py       the table of commands: who does it, how many arguments it takes, which of them are keys
key_specs.py      which arguments are keys, and what is done with them
keyspace.py       what a command reads and writes: by itself, in EXEC's batch, in a transaction of ours
texts.py          JSON text <-> raw strings
house.py          what all Redis sessions of a server share: who is there, what is counted, what is set
subscriptions.py  who listens to which channel
pausing.py        commands that wait until a pause is over
parameters.py     what CONFIG tells and sets
failures.py       Redis's error texts
arguments.py      numbers and options in Redis's own strictness
strings.py, ...   the commands, by what they are about
"""
