"""Networks made for one run each: a client and the rest of the world in two network namespaces with a wire between, and
what may go wrong in between done by the kernel itself (nftables, routes) or by whoever stands on the way.

A thread that leaves for a namespace takes the sockets and the processes that it makes with it; all ends with the thread.
"""

import contextlib
import ctypes
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from email.utils import formatdate

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

RELAY, RELAY6 = "198.51.100.10", "2001:db8:9::10"
WEB, NAMES, PROXY = "198.51.100.80", "198.51.100.53", "198.51.100.99"
HERE, GATEWAY = "203.0.113.2", "203.0.113.1"
HERE6, GATEWAY6 = "2001:db8:1::2", "2001:db8:1::1"


def leave_network():
    if LIBC.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


def sh(*commands):
    for command in commands:
        subprocess.run(command, shell=True, check=True, capture_output=True)


class World:
    """Everything but the client: addresses, a name server, a web server, the relay. Runs in a thread of its own."""

    def __init__(self, run_nft):
        self.run_nft, self.heard, self.sockets = run_nft, [], []
        self.zone = {"smtp.gmail.com": [RELAY], "myaccount.google.com": [WEB], "smtp.work.example": [RELAY]}
        self.names = "answers"

    def start(self, prepare, wired=True):
        """Makes both namespaces; the calling thread becomes the client's. `prepare(self)` starts servers on the other side."""
        leave_network()
        here, ready, failed = threading.get_native_id(), threading.Event(), []
        self.over = threading.Event()

        def there():
            try:
                leave_network()
                sh("ip link set lo up")
                for address in (RELAY, WEB, NAMES, PROXY):
                    sh(f"ip address add {address}/32 dev lo")
                sh(f"ip address add {RELAY6}/128 dev lo nodad")
                if wired:
                    sh(f"ip link add net type veth peer name eth0 netns {here}", "ip link set net up", f"ip address add {GATEWAY}/24 dev net", f"ip address add {GATEWAY6}/64 dev net nodad")
                prepare(self)
            except Exception as error:
                failed.append(error)
            ready.set()
            self.over.wait()
            for one in self.sockets:
                one.close()

        self.thread = threading.Thread(target=there, daemon=True)
        self.thread.start()
        ready.wait(30)
        if failed:
            raise failed[0]
        sh("ip link set lo up")
        if wired:
            sh("ip link set eth0 up", f"ip address add {HERE}/24 dev eth0", f"ip route add default via {GATEWAY}")

    def end(self):
        self.over.set()
        self.thread.join(10)

    def nft(self, hook, rules):
        """A chain of rules in the calling thread's namespace."""
        kind = "nat" if "redirect" in rules or "dnat" in rules else "filter"
        priority = {"prerouting": -100}.get(hook, 0) if kind == "nat" else 0
        text = f"table inet {hook} {{\nchain rules {{\ntype {kind} hook {hook} priority {priority}\n{rules}\n}}\n}}\n"
        done = self.run_nft(text)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    def listen(self, address, port, serve):
        """`serve(connection)` for each that comes, each in a thread."""
        server = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=64)
        self.sockets.append(server)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    connection.settimeout(30)
                    threading.Thread(target=self.quietly, args=(serve, connection), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def quietly(self, serve, connection):
        with contextlib.suppress(OSError, ValueError, ssl.SSLError):
            with connection:
                serve(connection)

    # --- names

    def answer_names(self, address=NAMES):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
        self.sockets.append(server)

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    question, whence = server.recvfrom(4096)
                    if reply := self.reply(question):
                        server.sendto(reply, whence)

        threading.Thread(target=answer, daemon=True).start()

    def reply(self, question):
        labels, at = [], 12
        while size := question[at]:
            labels.append(question[at + 1 : at + 1 + size].decode().lower())
            at += size + 1
        name, kind, end = ".".join(labels), struct.unpack(">H", question[at + 1 : at + 3])[0], at + 5
        known = [WEB] if self.names == "everything" else self.zone.get(name)
        code = {"servfail": 2, "refused": 5}.get(self.names, 3 if known is None else 0)
        if self.names == "silent":
            return None
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        found = [address for address in known or [] if family and (":" in address) == (family == socket.AF_INET6)] if not code else []
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(packed)) + packed for packed in (socket.inet_pton(family, address) for address in found))
        return question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0) + question[12:end] + records

    # --- web

    def serve_web(self, address=WEB, ports=(80, 443), words="HTTP/1.1 301 Moved Permanently\r\nLocation: https://www.example/"):
        def page(connection):
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.recv(4096)
            connection.sendall(f"{words}\r\nDate: {formatdate(usegmt=True)}\r\nContent-Length: 0\r\n\r\n".encode())

        for port in ports:
            self.listen(address, port, page)

    # --- mail

    def serve_mail(self, tls, address=RELAY, ports=(587, 465), **habits):
        for port in ports:
            first = "implicit" if port % 1000 == 465 else "starttls"
            self.listen(address, port, lambda connection, first=first: Mail(self, connection, tls, first, **habits).run())


class Mail:
    """One connection to a relay of good manners, but for what its habits say."""

    def __init__(self, world, connection, tls, first, greeting="220 smtp.gmail.com ESMTP x - gsmtp", offers=("STARTTLS",), login="235 2.7.0 Accepted", sender="250 2.1.0 OK", act=None):
        self.world, self.connection, self.tls, self.first = world, connection, tls, first
        self.greeting, self.offers, self.login, self.sender, self.act = greeting, offers, login, sender, act
        self.secure = False

    def say(self, *lines):
        self.connection.sendall("".join(line + "\r\n" for line in lines).encode())

    def hear(self):
        line = b""
        while not line.endswith(b"\n"):
            octet = self.connection.recv(1)
            if not octet:
                raise ConnectionError
            line += octet
        self.world.heard.append((self.secure, line))
        return line.decode(errors="replace").strip()

    def start_tls(self):
        if self.act == "cut TLS":
            self.connection.recv(4096)
            return self.reset()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.secure = True

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionError

    def run(self):
        if self.act == "silent":
            time.sleep(30)
        if self.act == "reset":
            self.reset()
        if self.first == "implicit":
            self.start_tls()
        self.say(self.greeting)
        while True:
            verb = self.hear()[:4].upper()
            if verb == "EHLO":
                offers = ["AUTH PLAIN LOGIN"] if self.secure else list(self.offers)
                self.say("250-smtp.gmail.com at your service", *(f"250-{offer}" for offer in offers), "250 SIZE 35882577")
            elif verb == "STAR" and "STARTTLS" in self.offers:
                self.say("220 2.0.0 Ready to start TLS")
                self.start_tls()
            elif verb == "AUTH":
                self.say(*self.login.split("\n"))
            elif verb == "MAIL":
                self.say(self.sender)
            elif verb == "QUIT":
                return self.say("221 2.0.0 closing connection")
            else:
                self.say("250 2.0.0 OK" if verb == "RSET" else "502 5.5.1 Unrecognized command.")


def rewriter(world, masks, to=(RELAY, 587)):
    """A box on the way that rewrites what the relay says: `masks` has words and those that are as long."""

    def serve(connection):
        with socket.create_connection(to, 10) as upstream:

            def back():
                with contextlib.suppress(OSError):
                    while data := upstream.recv(65536):
                        for old, new in masks.items():
                            data = data.replace(old, new)
                        connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)

            threading.Thread(target=back, daemon=True).start()
            while data := connection.recv(65536):
                world.heard.append((False, data))
                upstream.sendall(data)

    return serve


def tls_context(pem, key, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    if version:
        context.minimum_version = context.maximum_version = version
    context.load_cert_chain(os.fspath(pem), os.fspath(key))
    return context
