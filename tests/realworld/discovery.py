"""mailchute setup finds a server that no preset knows: by what a domain says of itself on the web, or by SRV records that a
person believes; and logs in there, at a real Postfix."""

import http.server
import os
import pty
import select
import socket
import ssl
import subprocess
import threading
import time

from lab import ADDRESSES, shown

WEB, OWN, NAMED = "autoconfig.corp.example.net", "corp.example.net", "srv.example.net"
CERTIFICATES = {"SSL_CERT_FILE": "/etc/ca.pem"}

PAGE = """<?xml version="1.0"?>
<clientConfig version="1.1"><emailProvider id="corp.example.net">
<domain>corp.example.net</domain><displayName>Corp</displayName>
<incomingServer type="imap"><hostname>imap.corp.example.net</hostname><port>993</port><socketType>SSL</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>postfix.test</hostname><port>587</port><socketType>STARTTLS</socketType>
<username>%EMAILLOCALPART%@example.test</username><authentication>password-cleartext</authentication></outgoingServer>
</emailProvider></clientConfig>
"""


def run(lab, report, sender, relay, password):
    asked = serve_web(lab)
    serve_names({f"_submissions._tcp.{NAMED}": (0, 1, 465, relay.host)})
    sender.view.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    by_itself(report, sender, relay, password, asked)
    by_hand(report, sender, relay, password)


def by_itself(report, sender, relay, password, asked):
    command = ["mailchute", "setup", f"alice@{OWN}", "--password-stdin", "--test-mail", "--replace", "-a", "found"]
    outcome = sender.view.call(command, password.encode() + b"\n", "tester", CERTIFICATES)
    problems = [] if outcome.returncode == 0 and b"the test mail was taken: 250" in outcome.stdout else [shown(outcome)]
    problems += [] if f'host = "{relay.host}"\nport = 587\nuser = "alice@example.test"\n' in config(sender) else [config(sender)]
    problems += [] if len(relay.wait_for("a", "Test of mailchute")) == 1 else ["the test mail has not arrived"]
    problems += [] if asked == ["/mail/config-v1.1.xml?emailaddress=alice%40corp.example.net"] else [f"asked for {asked}"]
    report.check("setup: a domain's own word on the web leads to a delivered test mail", problems)


def by_hand(report, sender, relay, password):
    command = ["mailchute", "setup", f"alice@{NAMED}", "-a", "named"]
    outcome = sender.view.call([*command, "--password-stdin"], password.encode() + b"\n", "tester", CERTIFICATES)
    problems = [] if outcome.returncode == 64 and b"--host" in outcome.stderr else [shown(outcome)]
    report.check("setup: SRV records alone are not believed in a script", problems)

    answers = [("Send through postfix.test? [y/N]: ", "y"), ("Login name [", "alice@example.test"), ("Password (not shown): ", password), ("Send a test mail", "n")]
    status, screen = at_terminal(sender.view.command(command, "tester", CERTIFICATES), answers)
    problems = [] if status == 0 and password not in screen else [f"exit {status}\n{screen}"]
    problems += [] if f'[accounts.named]\nhost = "{relay.host}"\nport = 465\nuser = "alice@example.test"\n' in config(sender) else [config(sender)]
    problems += [] if "nothing proves that postfix.test" in screen else [screen]
    report.check("setup: SRV records are shown to a person, who says yes", problems)


def config(sender):
    return (sender.view / "/home/tester/.config/mailchute/config.toml").read_text()


def at_terminal(command, answers):
    """Runs a command at a terminal of its own: waits for each question, types its answer."""
    keyboard, side = pty.openpty()
    child = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    screen, begin = "", 0
    end = time.monotonic() + 60
    while time.monotonic() < end and select.select([keyboard], [], [], end - time.monotonic())[0]:
        try:
            screen += os.read(keyboard, 4096).decode(errors="replace")
        except OSError:
            break
        if answers and answers[0][0] in screen[begin:]:
            begin = len(screen)
            os.write(keyboard, answers.pop(0)[1].encode() + b"\n")
    child.kill() if time.monotonic() >= end else None
    return child.wait(), screen


def serve_web(lab):
    """The domain's own web server, over TLS; what it was asked for."""
    asked = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((ADDRESSES[WEB], 443), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*lab.certificate(WEB))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return asked


def serve_names(services):
    """A name server that knows these SRV records and nothing else."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer():
        while True:
            query, client = server.recvfrom(512)
            name, at = [], 12
            while query[at]:
                name.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            question, kind = query[12 : at + 5], query[at + 1 : at + 3]
            found = services.get(".".join(name).lower()) if kind == b"\0\x21" else None
            reply = query[:2] + (b"\x81\x80" if found else b"\x81\x83") + b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0" + question
            if found:
                *numbers, target = found
                data = b"".join(number.to_bytes(2, "big") for number in numbers)
                data += b"".join(bytes([len(label)]) + label.encode() for label in target.split(".")) + b"\0"
                reply += b"\xc0\x0c\0\x21\0\1\0\0\0\x3c" + len(data).to_bytes(2, "big") + data
            server.sendto(reply, client)

    threading.Thread(target=answer, daemon=True).start()
