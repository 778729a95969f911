"""The error that a dead relay leaves in a connected socket, and that it is taken away."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from kemi.relay_sockets import RelaySockets


@pytest.fixture
def dead() -> tuple[str, int]:
    """An address on which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        host, port = sock.getsockname()
        return str(host), int(port)


@pytest.fixture
def command(dead: tuple[str, int]) -> Iterator[socket.socket]:
    """A socket as the module opens one, with the error of a command that nobody took."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(dead)
        sock.send(b"V")
        yield sock


def test_the_error_of_a_dead_relay_does_not_wait_for_the_next_command(
    command: socket.socket, dead: tuple[str, int]
) -> None:
    sockets = RelaySockets([("127.0.0.1", 1), dead])
    assert sockets.forget_error(2) == errno.ECONNREFUSED
    assert sockets.forget_error(2) == 0
    command.send(b"L")  # which would have failed with the old error
    assert sockets.forget_error(1) == 0
    sockets.close()


def test_the_modules_sockets_stay_open_and_others_are_not_touched(
    command: socket.socket, dead: tuple[str, int]
) -> None:
    other, far = socket.socketpair()
    sockets = RelaySockets([dead])
    sockets.forget_error(1)
    sockets.close()
    assert command.getpeername() == dead
    other.send(b"x")
    assert far.recv(1) == b"x"
    other.close()
    far.close()
