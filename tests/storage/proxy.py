"""A TCP proxy before a real server that can stop or cut the answers after some bytes."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards to 127.0.0.1:`port`. After `limit` bytes of answers `reached` is set and then

    - "hold": nothing more passes until `release` is set;
    - "cut": `cuts` connections are reset there, later bytes pass.
    """

    def __init__(self, port: int, limit: int, mode: str = "hold", cuts: int = 1) -> None:
        self._target = port
        self._limit = limit
        self._mode = mode
        self._cuts = cuts
        self._passed = 0
        self._lock = threading.Lock()
        self.reached = threading.Event()
        self.release = threading.Event()
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._start(self._accept)

    def close(self) -> None:
        self.release.set()
        for opened in [self._server, *self._open]:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._server.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                upstream = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, upstream]
                self._start(self._pump, client, upstream, False)
                self._start(self._pump, upstream, client, True)

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and not self._let_pass(len(data)):
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _let_pass(self, count: int) -> bool:
        with self._lock:
            self._passed += count
            over = self._passed > self._limit
            cut = over and self._mode == "cut" and self._cuts > 0
            self._cuts -= cut
        if over:
            self.reached.set()
            if self._mode == "hold":
                self.release.wait(60)
        return not cut
