"""Somebody else for attackers to be busy with: what an attack costs the computer that it comes from.

    sink.py TARGET.json SECONDS CONNECTIONS BYTES ENDED

Takes as many connections in that time as the vault took of the same attack, one after the other at
an even pace, and as many bytes, and throws them away. Where the vault ENDED connections, one that
has sent its part is hung up on. Prints the port, and ends with its standard input. Sockets, TLS and
decryption cost what they cost a vault; nothing is understood, and nothing answered.
"""

import json
import socket
import ssl
import sys
import threading
import time

BACKLOG = 1024
PIECE_BYTES = 1 << 16


class Pace:
    """As much of a whole as of the time."""

    def __init__(self, seconds, whole):
        self.began, self.seconds, self.whole = time.monotonic(), seconds, max(whole, 1)
        self.done, self.lock = 0, threading.Lock()

    def take(self, some):
        with self.lock:
            due = self.began + self.seconds * self.done / self.whole
            self.done += some
        time.sleep(max(0.0, due - time.monotonic()))


def swallow(tls, tcp, most, pace):
    try:
        with tls.wrap_socket(tcp, server_side=True) as one:
            taken = 0
            while not most or taken < most:
                some = one.recv(PIECE_BYTES)
                if not some:
                    return
                taken += len(some)
                pace.take(len(some))
    except OSError:
        pass


def serve(listener, tls, seconds, connections, whole, hangs_up):
    most = whole // max(connections, 1) if hangs_up else 0
    begin, read = Pace(seconds, connections), Pace(seconds, whole)
    while True:
        tcp, _ = listener.accept()
        begin.take(1)
        threading.Thread(target=swallow, args=(tls, tcp, most, read), daemon=True).start()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        target = json.load(file)
    seconds = float(sys.argv[2])
    connections, whole, ended = map(int, sys.argv[3:6])
    # Attackers do not look at whom they attack, so any certificate of theirs will do.
    own = target["members"]["depositor"]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own + ".crt", own + ".key")
    tls.set_alpn_protocols(["h2"])
    threading.stack_size(256 * 1024)
    listener = socket.create_server((target["host"], 0), backlog=BACKLOG)
    serving = (listener, tls, seconds, connections, whole, ended > 0)
    threading.Thread(target=serve, args=serving, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
