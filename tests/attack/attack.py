"""Attacks on a vault, each bounded in time and count. Run by `tests/scenarios/attack.rs` and by
`benches/attack.rs`, on loopback only:

    attack.py TARGET.json SECONDS NAME...

Attacks that are named together run at once. TARGET.json says where the vault is, with which
certificates members attack, and the messages of their calls. Prints one JSON object a line
and attack: how many connections and frames it took, and how the vault ended them.
"""

import json
import sys
import threading
import time

from hyperframe import frame

from peer import PREFACE, SERVICE, Gone, Peer, grpc, hello, polite, tcp

# What one attack sends at most, whatever the time.
FRAMES_MAX = 400_000
BURST = 200
# As many networks as a scattered attack comes from.
NETWORKS = 250
# How much longer an attack may take that the vault has yet to repel, in seconds.
OVERTIME = 120.0
READ = SERVICE + "StreamService/Read"
WATCH = SERVICE + "StreamService/Watch"
SUBMIT = SERVICE + "StatementService/Submit"
UPLOAD = SERVICE + "BundleService/Upload"
RETRIEVE = SERVICE + "BundleService/Retrieve"
DESCRIBE = SERVICE + "IdentityService/Describe"


class Told:
    """What came of an attack."""

    def __init__(self, name, seconds, overtime=OVERTIME):
        self.name, self.until = name, time.monotonic() + seconds
        self.overtime = overtime
        # How many connections the vault has to end before the attack is over.
        self.repelled = 0
        self.bytes = 0
        self.connections = self.frames = self.refused = self.ended = self.kept = 0
        self.answers = {}

    def goes_on(self):
        until = self.until
        if self.ended < self.repelled:
            until += self.overtime
        return time.monotonic() < until and self.frames < FRAMES_MAX

    def heard(self, peer):
        for answer in peer.answers.values():
            self.answers[answer] = self.answers.get(answer, 0) + 1
        peer.answers = {}
        self.bytes += peer.sent_bytes
        peer.sent_bytes = 0

    def record(self):
        return {"attack": self.name, "connections": self.connections, "frames": self.frames,
                "bytes": self.bytes, "refused": self.refused, "ended": self.ended, "kept": self.kept,
                "answers": self.answers}


def flood(told, target, frames, member=None, settings=None, repelled=True, networks=1):
    """Sends bursts of what `frames` makes, on a new connection whenever the vault ends one, from
    the next of its networks. Where it is `repelled`, that has to happen once, however long a busy
    computer takes."""
    told.repelled = int(repelled)
    while told.goes_on():
        try:
            peer = Peer(target, member, settings, network=told.connections % networks)
        except Gone:
            told.refused += 1
            time.sleep(0.05)
            continue
        told.connections += 1
        try:
            burst = frames(peer)
            while told.goes_on():
                some = next(burst)
                told.frames += len(some)
                peer.send(*some)
                peer.listen()
            told.kept += 1
        except Gone:
            told.ended += 1
        told.heard(peer)
        peer.close()


def hold(told, target, count, begin, member=None, settings=None, window=0, reads=True, tick=None,
         networks=1, repelled=False):
    """Opens `count` connections, begins something on each and holds them, polite otherwise."""
    peers = []
    for number in range(count):
        if not told.goes_on():
            break
        try:
            peer = Peer(target, member, settings, window, network=number % networks)
            told.connections += 1
            frames = begin(peer)
            told.frames += len(frames)
            if frames:
                peer.send(*frames)
            peers.append(peer)
        except Gone:
            told.refused += 1
    told.repelled = len(peers) if repelled else 0
    while told.goes_on() and peers:
        for peer in list(peers):
            try:
                if reads:
                    peer.listen()
                if tick:
                    peer.send(*tick(peer))
            except Gone:
                told.ended += 1
                told.heard(peer)
                peers.remove(peer)
        time.sleep(1.0 if tick else 0.2)
    for peer in peers:
        try:
            peer.listen()
            told.kept += 1
        except Gone:
            told.ended += 1
        told.heard(peer)
        peer.close()


def forever(make):
    """Bursts of the same frames."""
    def bursts(peer):
        some = make(peer)
        while True:
            yield some
    return bursts


def rapid_reset(told, target, member=None):
    def bursts(peer):
        while True:
            some = []
            for _ in range(BURST // 2):
                head = peer.headers(READ)
                some += [head, frame.RstStreamFrame(head.stream_id, error_code=8)]
            yield some
    flood(told, target, bursts, member)


def continuation(told, target):
    def bursts(peer):
        yield [peer.headers(READ, end_headers=False)]
        while True:
            yield [frame.ContinuationFrame(peer.stream - 2, data=b"\x00\x01a\x01b") for _ in range(BURST)]
    flood(told, target, bursts)


def empty_continuation(told, target):
    def bursts(peer):
        yield [peer.headers(READ, end_headers=False)]
        while True:
            yield [frame.ContinuationFrame(peer.stream - 2) for _ in range(BURST)]
    flood(told, target, bursts)


def settings(told, target, member=None):
    many = {number: 1 << 20 for number in range(0xF0, 0xF8)}
    flood(told, target, forever(lambda _: [frame.SettingsFrame(settings=many)] * BURST), member)


def ping(told, target, member=None, networks=1):
    one = frame.PingFrame(0, opaque_data=b"attacker")
    flood(told, target, forever(lambda _: [one] * BURST), member, networks=networks)


def unknown(told, target):
    one = frame.ExtensionFrame(type=0xEE, stream_id=0, flag_byte=0, body=b"x")
    flood(told, target, forever(lambda _: [one] * BURST))


def window_update(told, target):
    one = frame.WindowUpdateFrame(0, window_increment=1)
    flood(told, target, forever(lambda _: [one] * BURST))


def empty_data(told, target):
    def bursts(peer):
        head = peer.headers(UPLOAD)
        yield [head]
        while True:
            yield [frame.DataFrame(head.stream_id)] * BURST
    flood(told, target, bursts, member="depositor")


def calls(told, target, networks=1):
    """A stranger's calls, as many as it can make."""
    def bursts(peer):
        while True:
            yield [one for _ in range(BURST // 8) for one in peer.call(DESCRIBE, b"")]
    flood(told, target, bursts, networks=networks)


def connects(told, target, networks=1):
    """Whole handshakes, one after the other."""
    while told.goes_on():
        try:
            peer = Peer(target, network=told.connections % networks)
            told.connections += 1
            told.heard(peer)
            peer.close()
        except Gone:
            told.refused += 1


def reads(target, count):
    return lambda peer: [one for _ in range(count)
                         for one in peer.call(READ, bytes.fromhex(target["read"]))]


def zero_window(told, target):
    hold(told, target, 2, reads(target, 16), member="depositor", settings={4: 0},
         repelled=True)


def one_byte_window(told, target):
    hold(told, target, 2, reads(target, 16), member="depositor", settings={4: 1},
         repelled=True)


def zero_window_retrieve(told, target):
    message = bytes.fromhex(target["retrieve"])
    hold(told, target, 2, lambda peer: [one for _ in range(16) for one in
                                        peer.call(RETRIEVE, message)],
         member="requester", settings={4: 0}, repelled=True)


def unread_socket(told, target):
    """Windows as large as they can be, and nobody who reads."""
    hold(told, target | {"receive_bytes": 65536}, 2, reads(target, 16), member="depositor",
         settings={4: (1 << 31) - 1}, window=(1 << 31) - 1 - 65535, reads=False)


def large_metadata(told, target):
    def bursts(peer):
        while True:
            value = "x" * 16_000
            head = peer.headers(READ, [(f"x-{number}", value) for number in range(8)],
                                end_headers=False)
            whole, pieces = head.data, []
            head.data = whole[:16_000]
            for at in range(16_000, len(whole), 16_000):
                pieces.append(frame.ContinuationFrame(head.stream_id, data=whole[at:at + 16_000]))
            (pieces or [head])[-1].flags.add("END_HEADERS")
            yield [head, *pieces]
    flood(told, target, bursts, repelled=False)


def much_metadata(told, target):
    def bursts(peer):
        while True:
            few = [(f"x{number}", "") for number in range(100)]
            yield [peer.headers(READ, few) for _ in range(8)]
    flood(told, target, bursts, repelled=False)


def half_handshakes(told, target):
    """A thousand connections that begin a handshake and leave it at that."""
    first, sockets = hello(target), []
    for number in range(1000):
        if not told.goes_on():
            break
        try:
            one = tcp(target)
            one.sendall(first[:number % len(first)])
            sockets.append(one)
            told.connections += 1
        except OSError:
            told.refused += 1
    wait(told)
    for one in sockets:
        one.close()


def slow_handshake(told, target):
    """A hundred handshakes of one byte a second."""
    first = hello(target)
    sockets = [tcp(target) for _ in range(100)]
    told.connections = len(sockets)
    trickle(told, [(one, first) for one in sockets])


def slow_preface(told, target):
    """TLS, and then HTTP/2's first words a byte a second."""
    peers = []
    for _ in range(50):
        try:
            peers.append(Peer(target, hello=False))
            told.connections += 1
        except Gone:
            told.refused += 1
    trickle(told, [(peer.socket, PREFACE + polite()[len(PREFACE):]) for peer in peers])


def trickle(told, sockets):
    at = 0
    told.repelled = len(sockets)
    while told.goes_on() and sockets:
        for pair in list(sockets):
            one, words = pair
            try:
                one.sendall(words[at:at + 1])
                one.settimeout(0.001)
                if one.recv(4096) == b"":
                    raise OSError("closed")
            except (TimeoutError, BlockingIOError):
                pass
            except OSError:
                told.ended += 1
                sockets.remove(pair)
        at += 1
        time.sleep(1.0)
    told.kept += len(sockets)
    for one, _ in sockets:
        one.close()


def slow_upload(told, target):
    """An upload of one byte a second behind a begin that is in order."""
    def begin(peer):
        head = peer.headers(UPLOAD)
        peer.held = head.stream_id
        return [head, frame.DataFrame(head.stream_id, data=bytes.fromhex(target["upload"]))]
    def tick(peer):
        # A whole part of the stream: a piece of one byte.
        return [frame.DataFrame(peer.held, data=grpc(b"\x12\x01x"))]
    hold(told, target, 1, begin, member="depositor", tick=tick)


def slow_message(told, target):
    """Messages of which a byte a second comes, on every stream there is."""
    def begin(peer):
        heads = [peer.headers(SUBMIT) for _ in range(32)]
        return [one for head in heads for one in
                (head, frame.DataFrame(head.stream_id, data=grpc(b"x" * 1024)[:100]))]
    def tick(peer):
        return [frame.DataFrame(stream, data=b"x") for stream in range(1, 65, 2)
                if stream not in peer.answers]
    hold(told, target, 1, begin, member="requester", tick=tick)


def unfinished_messages(told, target):
    """Large messages whose last byte never comes."""
    def begin(peer):
        heads = [peer.headers(SUBMIT) for _ in range(8)]
        peer.send(*heads)
        whole = b"\0" + (7 << 20).to_bytes(4, "big") + bytes(4_000_000 - 5)
        for at in range(0, len(whole), 16_000):
            for head in heads:
                if head.stream_id not in peer.answers and peer.spend(16_000):
                    peer.send(frame.DataFrame(head.stream_id, data=whole[at:at + 16_000]))
                    told.frames += 1
        return []
    hold(told, target, 4, begin, member="requester")


def idle_strangers(told, target):
    hold(told, target, 300, lambda peer: [], networks=3, repelled=True)


def many_streams(told, target):
    """Ten thousand calls that would never end."""
    def bursts(peer):
        for _ in range(10_000 // 50):
            yield [one for _ in range(50) for one in peer.call(WATCH, b"")]
        while True:
            time.sleep(0.2)
            yield []
    flood(told, target, bursts, member="depositor", repelled=False)


def oddities(told, target):
    """One of each, with the answer it gets: it is the answers that count here."""
    # From an event on that does not exist yet: the answer is short.
    message = bytes.fromhex(target["read"]) + b"\x10\xff\xff\xff\xff\x0f"
    peer = Peer(target, member="requester")
    told.connections = 1
    compressed = peer.headers(READ, [("grpc-encoding", "gzip")])
    cases = {
        "gzip": [compressed, last(compressed, grpc(message, compressed=1))],
        "unknown encoding": peer.call(READ, message, extra=[("grpc-encoding", "zebra")]),
        "compressed without saying how": None,
        "content-type": peer.call(READ, message, content_type="text/html"),
        "get": peer.call(READ, message, method="GET"),
        "unknown path": peer.call("/escrow.vault.v1.Nothing/Nothing", b""),
        "oversized message": None,
        "a gigabyte announced": None,
        "not protobuf": peer.call(READ, b"\xff\xff\xff\xff"),
        "two messages": None,
        "no message": None,
    }
    head = peer.headers(READ)
    cases["compressed without saying how"] = [head, last(head, grpc(message, compressed=1))]
    head = peer.headers(READ)
    cases["oversized message"] = [head] + pieces(head, grpc(b"x" * 100_000))
    head = peer.headers(SUBMIT)
    cases["a gigabyte announced"] = [head, last(head, b"\0" + (1 << 30).to_bytes(4, "big"))]
    head = peer.headers(READ)
    cases["two messages"] = [head, last(head, grpc(message) + grpc(message))]
    head = peer.headers(READ, end_stream=True)
    cases["no message"] = [head]
    streams = {}
    for name, frames in cases.items():
        streams[frames[0].stream_id] = name
        told.frames += len(frames)
    # Streams are opened in the order of their numbers.
    ordered = sorted(cases.values(), key=lambda frames: frames[0].stream_id)
    peer.spend(120_000)
    peer.send(*[one for frames in ordered for one in frames])
    while told.goes_on() and len(peer.answers) < len(streams):
        peer.listen()
        time.sleep(0.01)
    told.answers = {streams[stream]: answer for stream, answer in peer.answers.items()}
    told.kept = 1
    peer.close()


def last(head, data):
    one = frame.DataFrame(head.stream_id, data=data)
    one.flags.add("END_STREAM")
    return one


def pieces(head, data):
    cut = [data[at:at + 16384] for at in range(0, len(data), 16384)]
    return [frame.DataFrame(head.stream_id, data=one) for one in cut[:-1]] + [last(head, cut[-1])]


def wait(told):
    while told.goes_on():
        time.sleep(0.1)


ATTACKS = {
    # Nothing: what everything else is compared with.
    "idle": lambda told, target: wait(told),
    "rapid-reset": rapid_reset,
    "rapid-reset-member": lambda told, target: rapid_reset(told, target, member="depositor"),
    "continuation": continuation,
    "empty-continuation": empty_continuation,
    "settings": settings,
    "settings-member": lambda told, target: settings(told, target, member="depositor"),
    "ping": ping,
    "ping-member": lambda told, target: ping(told, target, member="depositor"),
    "unknown-frames": unknown,
    "window-update": window_update,
    "empty-data": empty_data,
    "calls": calls,
    "connects": connects,
    # Whoever has many computers, or hires them.
    "ping-scattered": lambda told, target: ping(told, target, networks=NETWORKS),
    "calls-scattered": lambda told, target: calls(told, target, networks=NETWORKS),
    "connects-scattered": lambda told, target: connects(told, target, networks=NETWORKS),
    "large-metadata": large_metadata,
    "much-metadata": much_metadata,
    "zero-window": zero_window,
    "one-byte-window": one_byte_window,
    "zero-window-retrieve": zero_window_retrieve,
    "unread-socket": unread_socket,
    "half-handshakes": half_handshakes,
    "slow-handshake": slow_handshake,
    "slow-preface": slow_preface,
    "slow-upload": slow_upload,
    "slow-message": slow_message,
    "unfinished-messages": unfinished_messages,
    "idle-strangers": idle_strangers,
    "many-streams": many_streams,
    "oddities": oddities,
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        target = json.load(file)
    seconds, names = float(sys.argv[2]), sys.argv[3:]
    overtime = 0.0 if target.get("repels") is False else OVERTIME
    all_told = [Told(name, seconds, overtime) for name in names]
    # Each from a network of its own: the vault remembers floods.
    number = list(ATTACKS).index
    running = [threading.Thread(target=ATTACKS[told.name],
                                args=(told, target | {"network": number(told.name)}))
               for told in all_told]
    # An attack that fails by its own fault must not pass for one that was repelled.
    faults = []
    threading.excepthook = lambda fault: (faults.append(fault), threading.__excepthook__(fault))
    for one in running:
        one.start()
    print(json.dumps({"attacking": names}), flush=True)
    for one, told in zip(running, all_told):
        one.join()
        print(json.dumps(told.record()), flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
