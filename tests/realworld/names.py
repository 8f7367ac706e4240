"""A name server that knows a few addresses and answers datagrams only with "ask again over TCP", as one does whose answer
is too long."""

import socket
import socketserver
import struct
import threading

TRUNCATED = 0x8380
ANSWER = 0x8180
NO_SUCH_NAME = 0x8183
A = 1


class Names:
    """Serves `{name: IPv4 address}` on port 53 of an address; `asked` holds how often by which way."""

    def __init__(self, address, known):
        self.known, self.asked = known, {"UDP": 0, "TCP": 0}
        for base, way, handler in ((socketserver.ThreadingUDPServer, "UDP", self.datagram), (socketserver.ThreadingTCPServer, "TCP", self.stream)):
            server = base((address, 53), self.counted(way, handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def counted(self, way, handler):
        def handle(request, client, _server):
            self.asked[way] += 1
            handler(request, client)

        return handle

    def datagram(self, request, client):
        query, listener = request
        listener.sendto(head(query, TRUNCATED, 0) + query[12 : question(query)[2]], client)

    def stream(self, connection, _client):
        with connection.makefile("rb") as octets:
            while length := octets.read(2):
                query = octets.read(struct.unpack("!H", length)[0])
                answer = self.answer(query)
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def answer(self, query):
        name, kind, end = question(query)
        address = self.known.get(name)
        flags = ANSWER if address else NO_SUCH_NAME
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(address) if address and kind == A else b""
        return head(query, flags, 1 if record else 0) + query[12:end] + record


def head(query, flags, answers):
    return query[:2] + struct.pack("!HHHHH", flags, 1, answers, 0, 0)


def question(query):
    """Name and type asked for, and where the question ends."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), struct.unpack("!H", query[at + 1 : at + 3])[0], at + 5
