"""A hostile HTTP/2 peer: TLS and frames, and no scruples."""

import socket
import ssl
import time

import hpack
from h2.connection import H2Connection
from hyperframe import frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/escrow.vault.v1."
# How long the vault may keep a peer waiting before the peer looks elsewhere.
PATIENCE = 5.0


class Gone(Exception):
    """The vault has ended the connection."""


class Peer:
    """One connection. `answers` collects the status of every call that ended, by stream."""

    def __init__(self, target, member=None, settings=None, window=0, hello=True, network=0):
        self.socket = dial(target, member, network)
        self.stream = 1
        self.hpack = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.answers = {}
        self.goaway = None
        self.window = 65535
        self.sent_bytes = 0
        if hello:
            first = [frame.SettingsFrame(settings=settings or {})]
            if window:
                first.append(frame.WindowUpdateFrame(0, window_increment=window))
            self.send(*first, before=PREFACE)

    def send(self, *frames, before=b""):
        data = before + b"".join(one.serialize() for one in frames)
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.sendall(data)
            self.sent_bytes += len(data)
        except (OSError, ssl.SSLError) as error:
            self.listen()
            raise Gone() from error

    def headers(self, path, extra=(), end_stream=False, end_headers=True, method="POST",
                content_type="application/grpc"):
        """The headers of a new call."""
        fields = [(":method", method), (":scheme", "https"), (":path", path),
                  (":authority", "vault"), ("te", "trailers"), ("content-type", content_type)]
        # Without Huffman's code, which takes Python longer than the attack.
        block = self.hpack.encode(fields + list(extra), huffman=False)
        one = frame.HeadersFrame(self.stream, data=block)
        if end_headers:
            one.flags.add("END_HEADERS")
        if end_stream:
            one.flags.add("END_STREAM")
        self.stream += 2
        return one

    def call(self, path, message, **more):
        """A whole call with its message."""
        head = self.headers(path, **more)
        data = frame.DataFrame(head.stream_id, data=grpc(message))
        data.flags.add("END_STREAM")
        return [head, data]

    def listen(self):
        """Takes what has come, answers pings and settings; `Gone` once the vault has hung up."""
        self.socket.settimeout(0)
        ended = False
        try:
            while True:
                data = self.socket.recv(1 << 16)
                if not data:
                    ended = True
                    break
                self.buffer += data
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        except (OSError, ssl.SSLError):
            ended = True
        replies = []
        while len(self.buffer) >= 9:
            one, length = frame.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                break
            one.parse_body(memoryview(self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
            self.heard(one, replies)
        if ended or self.goaway is not None:
            raise Gone(f"GOAWAY {self.goaway}")
        if replies:
            self.send(*replies)

    def heard(self, one, replies):
        if isinstance(one, frame.GoAwayFrame):
            self.goaway = one.error_code
        elif isinstance(one, frame.PingFrame) and "ACK" not in one.flags:
            reply = frame.PingFrame(0, opaque_data=one.opaque_data)
            reply.flags.add("ACK")
            replies.append(reply)
        elif isinstance(one, frame.SettingsFrame) and "ACK" not in one.flags:
            reply = frame.SettingsFrame(0)
            reply.flags.add("ACK")
            replies.append(reply)
        elif isinstance(one, frame.WindowUpdateFrame) and one.stream_id == 0:
            self.window += one.window_increment
        elif isinstance(one, frame.RstStreamFrame):
            self.answers.setdefault(one.stream_id, f"reset {one.error_code}")
        elif isinstance(one, frame.HeadersFrame):
            told = dict(self.decoder.decode(one.data))
            if "END_STREAM" in one.flags:
                status = told.get("grpc-status", told.get(":status"))
                self.answers.setdefault(one.stream_id, f"status {status}")

    def spend(self, data_bytes):
        """Waits until the vault takes so much data; false if it does not."""
        until = time.monotonic() + PATIENCE
        while self.window < data_bytes:
            if time.monotonic() > until:
                return False
            self.listen()
            time.sleep(0.001)
        self.window -= data_bytes
        return True

    def close(self):
        self.socket.close()


def context(target, member):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    if member:
        tls.load_cert_chain(target["members"][member] + ".crt", target["members"][member] + ".key")
    return tls


def tcp(target, network=0):
    """From a network that no honest client has, and no other attack, so that all count apart."""
    address = (target["host"], target["port"])
    source = (f"127.66.{target['network']}.{network + 1}", 0)
    one = socket.socket()
    one.settimeout(PATIENCE)
    if "receive_bytes" in target:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, target["receive_bytes"])
    one.bind(source)
    one.connect(address)
    return one


def dial(target, member, network=0):
    try:
        return context(target, member).wrap_socket(tcp(target, network))
    except (OSError, ssl.SSLError) as error:
        raise Gone() from error


def hello(target):
    """The first flight of a TLS handshake, as bytes."""
    to_vault, from_vault = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context(target, None).wrap_bio(from_vault, to_vault).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return to_vault.read()


def grpc(message, compressed=0):
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def polite():
    """The first words of a peer that keeps to the protocol, as the library h2 says them."""
    connection = H2Connection()
    connection.initiate_connection()
    return connection.data_to_send()
