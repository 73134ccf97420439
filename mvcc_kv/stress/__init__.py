"""Stress: what puts a database to the test, and judges its answers. It drives whatever store or server it is handed.

script.py       golden scripts: a few sessions interleaved by hand, each answer known beforehand
history.py      what clients asked and were told, an event a line
checker/        which isolation such a history shows
schedule/       your own transaction code, interleaved by the computer, one operation at a time
pytest_plugin   the same as a fixture

workloads/      what clients do, by a seed, and what must hold of what they saw; plan.py: what a workload is
client.py       one client: takes steps, and notes what it asked and was told
crew.py         clients in threads, of this process or of others
target.py       what is put to the test; server.py: a server's process; proxy.py: the network before it
nemesis.py      kills, pauses, cuts and fills, by a seed
feed.py         a consumer of the change feed, cut off now and then
runner.py       all of these together; mixture.py: several workloads at once
verdict.py      held, violated or invalid; report.py, pictures.py: the folder; checker/: which isolation it was

A script shows one history in full, so it is where a rule is told (first committer wins, a snapshot is stable) and
where a reader looks first. What no hand could list, thousands of histories with their verdict computed, is the
checker's business.

Rule: nothing in here knows a server or a client of ours. Whoever plays a script hands in how a session speaks, and
whoever stresses hands in how to connect and what command starts a server; so the same runs against the engine without
a server, against a server over TCP, and against any store behind the same `Database` protocol.
"""
