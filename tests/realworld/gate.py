"""A relay behind TLS that lets in whom a function says, by PLAIN, XOAUTH2 or OAUTHBEARER, and keeps what it is given."""

import base64
import socket
import ssl
import threading


class Gate:
    """Listens with implicit TLS. `may_enter(user, secret)` decides; `logins` has each try as (mechanism, user, accepted)."""

    def __init__(self, address, port, certificate, mechanisms, may_enter):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(*certificate)
        self.mechanisms, self.may_enter = mechanisms, may_enter
        self.changed, self.messages, self.logins = threading.Condition(), [], []
        listener = socket.create_server((address, port), backlog=100)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def count(self, wanted, seconds=20):
        """Waits for so many messages; how many there are then."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.messages) >= wanted, seconds)
            return len(self.messages)

    def _accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._guarded, args=(connection,), daemon=True).start()

    def _guarded(self, connection):
        try:
            connection.settimeout(60)
            with self.context.wrap_socket(connection, server_side=True) as secured:
                self._serve(secured)
        except (OSError, ssl.SSLError):
            pass

    def _serve(self, connection):
        reader = connection.makefile("rb")

        def say(line):
            connection.sendall(line.encode() + b"\r\n")

        entered = False
        say("220 gate.test ESMTP")
        while line := reader.readline():
            words = line.decode().split()
            verb = words[0].upper() if words else ""
            if verb == "EHLO":
                say(f"250-gate.test\r\n250-PIPELINING\r\n250 AUTH {self.mechanisms}")
            elif verb == "AUTH":
                if len(words) == 2:
                    say("334 ")
                    words.append(reader.readline().decode().strip())
                entered = self._login(words[1], base64.b64decode(words[2]).decode(), say, reader)
            elif not entered and verb != "QUIT":
                say("530 5.7.0 authentication required")
            elif verb == "DATA":
                say("354 go")
                text = []
                while (part := reader.readline()) != b".\r\n":
                    if not part:
                        return
                    text.append(part)
                with self.changed:
                    self.messages.append(b"".join(text))
                    self.changed.notify_all()
                say("250 2.0.0 ok")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")

    def _login(self, mechanism, answer, say, reader):
        if mechanism == "PLAIN":
            _, user, secret = answer.split("\0")
        else:
            fields = dict(part.partition("=")[::2] for part in answer.replace("n,a=", "user=").replace(",\1", "\1").split("\1"))
            user, secret = fields["user"], fields["auth"].removeprefix("Bearer ")
        accepted = self.may_enter(user, secret)
        self.logins.append((mechanism, user, accepted))
        if not accepted and mechanism != "PLAIN":
            say("334 " + base64.b64encode(b'{"status":"401","schemes":"bearer","scope":"mail"}').decode())
            reader.readline()
        say("235 2.7.0 welcome" if accepted else "535 5.7.8 not you")
        return accepted
