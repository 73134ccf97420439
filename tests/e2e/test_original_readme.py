"""The description that the product was asked for: its client and its transcript, as they stand there."""

from __future__ import annotations

import io
import socket
from contextlib import redirect_stdout
from pathlib import Path

from .processes import Process, serving

# To the letter, but for the port.
CLIENT = r"""
import socket

# Connect to the server
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server_address = ('localhost', 8080)
sock.connect(server_address)

# Add a key-value pair
sock.sendall(b'PUT key1 value1')
# Receive the response from the server
# Limit the response to prevent overflow
response = sock.recv(1024).decode()
# Print the response
print(response)  

# Add another key-value pair
sock.sendall(b'PUT key2 value2')
response = sock.recv(1024).decode()
print(response)

# Get the value of a key
sock.sendall(b'GET key1')
response = sock.recv(1024).decode()
print(response)

# Start a new transaction
commands = [
  b'START'
  b'DEL key1',
  b'COMMIT'
]

sock.sendall(b'\n'.join(commands))
responses = send_command(b'\n'.join(commands))
print(responses)
# Close the socket
sock.close()
"""  # noqa: W291

# What is sent and what is answered, line by line, with the blanks at the lines' ends.
TRANSCRIPT = """\
START
{"status": "Ok", "result": "Transaction started"}
PUT {"key": "key1", "value": "value1"}  
{"status": "Ok", "result": {"key": "key1", "value": "value1"}}
PUT {"key": "key2", "value": "value2"}  
{"status": "Ok", "result": {"key": "key2", "value": "value2"}} 
GET key1
{"status": "Ok", "result": {"key": "key1", "value": "value1"}}
COMMIT
{"status": "Ok", "result": "Transaction commited"}
"""  # noqa: W291

FIRST_REPLIES = """\
{"status": "Ok", "result": {"key": "key1", "value": "value1"}}

{"status": "Ok", "result": {"key": "key2", "value": "value2"}}

{"status": "Ok", "result": {"key": "key1", "value": "value1"}}

"""


def run_client(server: Process, source: str) -> str:
    """What the client prints. It calls a `send_command` that the description leaves to its reader."""

    def send_command(data: bytes) -> str:
        with socket.create_connection(server.address) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(1024), b"")).decode()

    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(source.replace("8080", str(server.address[1])), {"send_command": send_command})
    return printed.getvalue()


def test_the_client_runs_as_it_stands(tmp_path: Path) -> None:
    """A comma is missing in it, so it sends `STARTDEL key1`, and is told what that might have been."""
    with serving("--in-memory", cwd=tmp_path) as server:
        printed = run_client(server, CLIENT)
        assert printed == FIRST_REPLIES + (
            '{"status": "Error", "result": {"code": "UNKNOWN_COMMAND", "retryable": false}, '
            '"message": "unknown command \'STARTDEL\'; did you mean START?"}\n'
            '{"status": "Error", "result": {"code": "NO_TRANSACTION", "retryable": false}, '
            '"message": "COMMIT without a transaction; START begins one"}\n\n'
        )
        assert server.connect().asked(b"GET key1")["value"] == "value1"


def test_the_client_does_what_it_was_meant_to_with_its_comma(tmp_path: Path) -> None:
    """It sends its batch twice, over two connections; here once, so that there is one outcome."""
    source = CLIENT.replace("b'START'\n", "b'START',\n").replace("sock.sendall(b'\\n'.join(commands))\n", "")
    with serving("--in-memory", cwd=tmp_path) as server:
        assert run_client(server, source) == FIRST_REPLIES + (
            '{"status": "Ok", "result": "Transaction started"}\n'
            '{"status": "Ok", "result": {"key": "key1"}}\n'
            '{"status": "Ok", "result": "Transaction commited"}\n\n'
        )
        assert server.connect().asked(b"GET key1")["code"] == "KEY_NOT_FOUND"


def test_a_batch_joined_by_newlines_without_a_last_one_is_answered_whole(tmp_path: Path) -> None:
    with serving("--in-memory", cwd=tmp_path) as server:
        client = server.connect()
        client.send(b"PUT key1 value1")
        client.reply()
        client.send(b"\n".join([b"START", b"DEL key1", b"COMMIT"]))
        assert [client.reply() for _ in range(3)] == [
            b'{"status": "Ok", "result": "Transaction started"}',
            b'{"status": "Ok", "result": {"key": "key1"}}',
            b'{"status": "Ok", "result": "Transaction commited"}',
        ]


def transcript() -> tuple[list[str], list[str]]:
    lines = TRANSCRIPT.splitlines()
    return lines[::2], [line.rstrip(" ") for line in lines[1::2]]


def test_the_transcript_line_by_line_byte_for_byte(tmp_path: Path) -> None:
    commands, replies = transcript()
    with serving("--in-memory", cwd=tmp_path) as server:
        for ending in (b"", b"\n", b"\r\n"):
            client = server.connect()
            for command, reply in zip(commands, replies, strict=True):
                client.send(command.encode() + ending)
                assert client.reply() == reply.encode()


def test_the_transcript_in_one_go(tmp_path: Path) -> None:
    commands, replies = transcript()
    with serving("--in-memory", cwd=tmp_path) as server:
        client = server.connect()
        client.send("\n".join(commands).encode())
        client.end()
        assert client.rest() == "".join(f"{reply}\n" for reply in replies).encode()


def test_the_documents_promises_about_data_and_limits(tmp_path: Path) -> None:
    """It saves its state as JSON, reloads it when it starts, and limits a transaction to 1024 bytes."""
    with serving(cwd=tmp_path) as server:
        client = server.connect()
        assert client.asked(b"PUT key1 value1") == {"key": "key1", "value": "value1"}
        refusal = client.asked(b"PUT key2 ".ljust(1025, b"x"))
        assert (refusal["code"], refusal["limit"], refusal["actual"]) == ("LIMIT_EXCEEDED", 1024, 1025)
        server.signal(15)
        assert server.ended() == 0
    assert '"key1": "value1"' in (tmp_path / "data" / "checkpoint.json").read_text()
    with serving(cwd=tmp_path) as server:
        assert server.connect().ask(b"GET key1") == b'{"status": "Ok", "result": {"key": "key1", "value": "value1"}}'
