"""Keys as RTP nodes report them."""

from __future__ import annotations

import socket

from sems_apps.host.loop import Loop
from sems_apps.host.notify import NotifyServer


def told(*lines: str) -> list[tuple[str, bool]]:
    """Return the keys of lines that a node sends for our tag."""
    errors: list[BaseException] = []
    loop = Loop(errors.append)
    server = NotifyServer(loop, ("127.0.0.1", 0))
    keys: list[tuple[str, bool]] = []
    tag = server.register(lambda key, from_caller: keys.append((key, from_caller)))
    host, port = server.spec.removeprefix("tcp:").split(":")
    with socket.create_connection((host, int(port))) as node:
        node.sendall("".join(f"{line.format(tag=tag)}\n" for line in [*lines, "{tag} 0 10 960 0"]).encode())
        loop.call_later(10, loop.stop)

        def look() -> None:
            if keys and keys[-1] == ("0", True):
                loop.stop()
            else:
                loop.call_later(0.01, look)

        look()
        loop.run()
    server.close()
    loop.close()
    assert not errors
    return keys[:-1]


def test_every_key_is_told_with_its_side() -> None:
    lines = [f"{{tag}} {key} 10 960 {number % 2}" for number, key in enumerate("123456789*#ABCD")]
    assert told(*lines) == [(key, number % 2 == 0) for number, key in enumerate("123456789*#ABCD")]


def test_nonsense_is_no_key() -> None:
    assert (
        told("{tag}", "{tag} 11 10 960 0", "{tag} x 1 2 0", "other 5 10 960 0", "{tag} 5 10", "", " ") == []
    )
