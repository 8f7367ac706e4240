"""The recording relay: an SMTP server that keeps every transaction exactly as it came over the wire.

It knows SMTP and nothing of who sends. Recipients called `reject...` are refused for good, `defer...` for now; `broken...` too, but at
the end of DATA. Where it has a login, it takes nothing without.
"""

import base64
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field

EXTENSIONS = ["PIPELINING", "8BITMIME", "DSN", "SMTPUTF8", "SIZE 200000000", "ENHANCEDSTATUSCODES"]


@dataclass
class Transaction:
    """What one MAIL ... DATA brought: reverse-path and recipients with their parameters, and the raw message, un-stuffed."""

    reverse_path: str
    mail_parameters: str
    recipients: list = field(default_factory=list)
    recipient_parameters: dict = field(default_factory=dict)
    data: bytes = b""

    @property
    def header(self):
        """The header fields in order, as (name, unfolded value) of bytes decoded with surrogates."""
        head = self.data.split(b"\r\n\r\n", 1)[0] if not self.data.startswith(b"\r\n") else b""
        lines = re.sub(rb"\r\n(?=[ \t])", b"", head).split(b"\r\n")
        pairs = [line.partition(b":") for line in lines if line]
        return [(name.decode("utf-8", "surrogateescape"), value.strip().decode("utf-8", "surrogateescape")) for name, _, value in pairs]

    @property
    def body(self):
        return self.data.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in self.data else b""

    def values(self, name):
        return [value for field_name, value in self.header if field_name.lower() == name.lower()]


class Sink:
    """Listens on one address: plain (with STARTTLS when there is a certificate) and implicit TLS. Thread per connection.
    `login` is a pair of user and password, asked for behind TLS only."""

    def __init__(self, address, certificate=None, ports=(25, 587), tls_ports=(465,), login=None):
        self.context = None
        self.ticket = login and base64.b64encode("\0".join(["", *login]).encode()).decode()
        if certificate:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(*certificate)
        self.changed = threading.Condition()
        self.transactions = []
        self.dialogue = []
        for port in ports:
            self._listen(address, port, implicit_tls=False)
        if self.context:
            for port in tls_ports:
                self._listen(address, port, implicit_tls=True)

    def take(self, count=1, seconds=10):
        """Waits for `count` transactions, then gives and forgets all there are."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.transactions) >= count, seconds)
            taken, self.transactions = self.transactions, []
        return taken

    def _listen(self, address, port, implicit_tls):
        listener = socket.create_server((address, port), backlog=200)
        threading.Thread(target=self._accept, args=(listener, implicit_tls), daemon=True).start()

    def _accept(self, listener, implicit_tls):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._guarded, args=(connection, implicit_tls), daemon=True).start()

    def _guarded(self, connection, implicit_tls):
        try:
            connection.settimeout(60)
            if implicit_tls:
                connection = self.context.wrap_socket(connection, server_side=True)
            self._serve(connection, implicit_tls)
        except (OSError, ssl.SSLError) as error:
            self.dialogue.append(f"! {error}")
        finally:
            connection.close()

    def _serve(self, connection, encrypted):
        reader = connection.makefile("rb")

        def reply(text):
            self.dialogue.append(f"S: {text}")
            connection.sendall(text.encode() + b"\r\n")

        reply("220 sink.test ESMTP")
        current, known = None, not self.ticket
        while line := reader.readline():
            line = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            self.dialogue.append(f"C: {'AUTH ...' if line.startswith('AUTH') else line}")
            verb = line[:4].upper()
            if verb == "EHLO":
                offers = EXTENSIONS + (["STARTTLS"] if self.context and not encrypted else [])
                offers += ["AUTH PLAIN"] if self.ticket and encrypted else []
                for offer in ["sink.test"] + offers[:-1]:
                    reply(f"250-{offer}")
                reply(f"250 {offers[-1]}")
            elif verb == "STAR" and self.context:
                reply("220 2.0.0 go ahead")
                connection = self.context.wrap_socket(connection, server_side=True)
                return self._continue(connection)
            elif verb == "AUTH":
                known = encrypted and line == f"AUTH PLAIN {self.ticket}"
                reply("235 2.7.0 welcome" if known else "535 5.7.8 wrong user or password")
            elif not known and verb in ("MAIL", "RCPT", "DATA"):
                reply("530 5.7.0 log in first")
            elif verb == "MAIL":
                path, parameters = split_path(line)
                current = Transaction(path, parameters)
                reply("250 2.1.0 Ok")
            elif verb == "RCPT":
                path, parameters = split_path(line)
                if path.startswith("reject"):
                    reply("550 5.1.1 no such user here")
                elif path.startswith("defer"):
                    reply("451 4.3.0 come back later")
                else:
                    current.recipients.append(path)
                    current.recipient_parameters[path] = parameters
                    reply("250 2.1.5 Ok")
            elif verb == "DATA":
                if not current or not current.recipients:
                    reply("554 5.5.1 no valid recipients")
                    continue
                reply("354 go")
                current.data = read_data(reader)
                with self.changed:
                    self.transactions.append(current)
                    self.changed.notify_all()
                current = None
                reply("250 2.0.0 Ok: recorded")
            elif verb == "QUIT":
                return reply("221 2.0.0 Bye")
            elif verb in ("HELO", "NOOP", "RSET"):
                current = None if verb == "RSET" else current
                reply("250 2.0.0 Ok")
            else:
                reply("500 5.5.2 what?")

    def _continue(self, connection):
        """The session behind STARTTLS starts over, without a greeting."""
        silent = _WithoutGreeting(connection)
        self._serve(silent, encrypted=True)


class _WithoutGreeting:
    def __init__(self, connection):
        self.connection, self.greeted = connection, False

    def makefile(self, mode):
        return self.connection.makefile(mode)

    def sendall(self, data):
        if self.greeted:
            self.connection.sendall(data)
        self.greeted = True


def split_path(line):
    match = re.match(r"[^:]*: ?<((?:\"(?:\\.|[^\"])*\"|[^>])*)>\s*(.*)$", line)
    return (match[1], match[2]) if match else (line.partition(":")[2], "")


def read_data(reader):
    lines = []
    while (line := reader.readline()) not in (b".\r\n", b""):
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)
