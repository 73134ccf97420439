"""Stress: what puts a database to the test, and judges its answers. It drives whatever store or server it is handed.

script.py       golden scripts: a few sessions interleaved by hand, each answer known beforehand
history.py      what clients asked and were told, an event a line
checker/        which isolation such a history shows
schedule/       your own transaction code, interleaved by the computer, one operation at a time
pytest_plugin   the same as a fixture

A script shows one history in full, so it is where a rule is told (first committer wins, a snapshot is stable) and
where a reader looks first. What no hand could list, thousands of histories with their verdict computed, is the
checker's business.

Rule: nothing in here opens a socket or makes a server. Whoever plays a script hands in how a session speaks,
so the same one runs against the engine without a server and against a server over TCP.
"""
