"""A relay in this process: takes mail in plain SMTP, remembers what it accepted and for whom.

A local part that begins with `reject` is refused for good, with `later` for now. With CHUNKING a queue run has several
messages under way at once."""

import hashlib
import re
import socket
import threading


def digest(body):
    return hashlib.sha256(body).hexdigest()[:16]


class Relay:
    def __init__(self, before_accepting=lambda message_id, recipient: None, chunking=False):
        self.chunking = chunking
        self.patient = False  # whether those of `later` are taken now
        self.accepted = []  # (message id, recipient, digest of the body), in the order of acceptance
        self.lock = threading.Lock()
        self.before_accepting = before_accepting
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def take(self):
        """What was accepted since the last call."""
        with self.lock:
            accepted, self.accepted = self.accepted, []
        return accepted

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                self.dialogue(connection, lines)
        except OSError:
            pass

    def dialogue(self, connection, lines):
        say = lambda text: connection.sendall(text.encode() + b"\r\n")
        say("220 relay.example ESMTP")
        recipients = []
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO":
                chunking = "250-CHUNKING\r\n" if self.chunking else ""
                say(f"250-relay.example\r\n{chunking}250-8BITMIME\r\n250-PIPELINING\r\n250 SIZE 100000000")
            elif verb == b"RCPT":
                recipient = re.search(rb"<([^>]*)>", line)[1].decode()
                if recipient.startswith("reject"):
                    say("550 5.1.1 no such user")
                elif recipient.startswith("later") and not self.patient:
                    say("451 4.7.1 try later")
                else:
                    recipients.append(recipient)
                    say("250 2.1.5 ok")
            elif verb == b"DATA":
                if not recipients:
                    say("503 5.5.1 no recipients")
                    continue
                say("354 go on")
                message = self.message(lines)
                if message is None:
                    return
                self.accept(message, recipients)
                recipients = []
                say("250 2.0.0 ok")
            elif verb == b"BDAT":
                size = int(line.split()[1])
                message = lines.read(size)
                if len(message) < size:
                    return
                if not recipients:
                    say("503 5.5.1 no recipients")
                    continue
                self.accept(message, recipients)
                recipients = []
                say("250 2.0.0 ok")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                if verb in (b"MAIL", b"RSET"):
                    recipients = []
                say("250 2.0.0 ok")

    def message(self, lines):
        message = []
        for line in lines:
            if line == b".\r\n":
                return b"".join(message)
            message.append(line[1:] if line.startswith(b".") else line)
        return None  # the client went away: nothing was received

    def accept(self, message, recipients):
        header, _, body = message.partition(b"\r\n\r\n")
        found = re.search(rb"^message-id:\s*<([^>]*)>", header, re.I | re.M)
        message_id = found[1].decode() if found else "none"
        for recipient in recipients:
            self.before_accepting(message_id, recipient)
            with self.lock:
                self.accepted.append((message_id, recipient, digest(body)))
