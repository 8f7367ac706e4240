"""OAuth 2 against a real identity provider (npm oidc-provider), with a script as the person and the browser, and a relay
that asks the provider about every token."""

import html
import http.cookiejar
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path

import gate
import lab as laboratory

ORIGIN = "http://127.0.0.1:4711"
HOST, PORT, USER = "sink.test", 2466, "tester@sink.test"
MESSAGE = b"From: tester@sink.test\nTo: someone@else.test\nSubject: oauth\n\nhello\n"
SEND = ["sendmail", "-t"]
CONFIG = """log-file = "/home/tester/mail.log"
[accounts.test]
host = "{host}"
port = {port}
tls = "implicit"
tls-ca-file = "/etc/ca.pem"
user = "{user}"
oauth2 = {{ client-id = "{client}", scope = "openid offline_access mail", authorize-url = "{origin}/auth?prompt=consent", token-url = "{origin}/token", device-url = "{origin}/device/auth" }}
"""


class Browser:
    """Follows links and forms as a person does who always says yes; stops where `ends` says."""

    def __init__(self):
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def allow(self, address, user_code=None):
        """Goes there, logs in, agrees; what the last page says."""
        answers = {"login": USER, "password": "whatever", "user_code": user_code}
        page, address = self._open(address)
        for _ in range(10):
            form = re.search(r"<form.*?</form>", page, re.S)
            if not form:
                return page
            inputs = [dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in re.findall(r"<(?:input|button)[^>]*>", form[0])]
            fields = {tag["name"]: html.unescape(tag.get("value", "")) for tag in inputs if "name" in tag}
            fields.update({name: answers[name] for name in fields if answers.get(name)})
            fields.pop("abort", None)
            action = re.search(r'action="([^"]+)"', form[0])
            target = urllib.parse.urljoin(address, html.unescape(action[1]) if action else address)
            page, address = self._open(target, urllib.parse.urlencode(fields).encode())
        raise RuntimeError(f"a form without end: {page}")

    def _open(self, address, data=None):
        try:
            with self.opener.open(address, data, timeout=30) as answer:
                return answer.read().decode(), answer.geturl()
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode()}", address


def is_active(user, token):
    """What the provider says of a token."""
    secret = b64encode(b"relay:relay-secret").decode()
    form = urllib.parse.urlencode({"token": token}).encode()
    request = urllib.request.Request(f"{ORIGIN}/token/introspection", form, {"Authorization": f"Basic {secret}"})
    said = json.load(urllib.request.urlopen(request, timeout=30))
    return bool(said.get("active")) and said.get("sub") == user


class World:
    """The provider and the program under test in a view of a root."""

    def __init__(self, lab, report, view):
        self.lab, self.report, self.view = lab, report, view
        self.said = []

    def configure(self, client):
        text = CONFIG.format(host=HOST, port=PORT, user=USER, client=client, origin=ORIGIN)
        self.view.write("/home/tester/.config/mailchute/config.toml", text, mode=0o600, owner=1000)
        for folder in ("/home/tester/.config", "/home/tester/.config/mailchute"):
            os.chown(self.view / folder, 1000, 1000)

    def call(self, *argv, stdin=MESSAGE):
        done = self.view.call(list(argv), stdin, user="tester", seconds=90)
        text = (done.stdout + done.stderr).decode(errors="replace")
        self.said.append(text)
        return done.returncode, text

    def log_in(self, *options):
        """Runs mailchute login with a browser at hand; its exit and all it says."""
        argv = self.view.command(["mailchute", "login", *options], user="tester")
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        text, address, code = "", None, None
        for line in running.stdout:
            text += line
            code = code or (re.search(r"type the code (\S+)", line) or [None, None])[1]
            address = address or (line.strip() if line.startswith("http") else None)
            if line.startswith("Waiting"):
                page = Browser().allow(address, code)
                text += f"page: {page}\n"
                if re.match(r"\d\d\d ", page):
                    running.kill()
        status = running.wait(60)
        self.said.append(text.replace(address or "\0", ""))
        return status, text

    @property
    def file(self):
        return self.view / "/home/tester/.local/state/mailchute/spool/tokens/test"

    def tokens(self):
        return json.loads(self.file.read_text())

    def age(self, **changes):
        """Makes the tokens older than they are."""
        self.file.write_text(json.dumps(self.tokens() | changes))

    def revoke(self, token):
        form = urllib.parse.urlencode({"client_id": self.tokens()["client-id"], "token": token}).encode()
        urllib.request.urlopen(f"{ORIGIN}/token/revocation", form, timeout=30).read()

    def granted(self):
        """The kinds of token requests so far, granted and refused."""
        lines = self.view.path.with_suffix(".provider").read_text().splitlines()
        return [line for line in lines if line.startswith(("granted", "refused"))]


def run(lab, report):
    view = lab.view("oauth", "oauth")
    view.install(lab.client)
    view.write("/opt/provider/provider.mjs", (Path(__file__).parent / "provider.mjs").read_bytes())
    with open(view.path.with_suffix(".provider"), "wb") as log:
        provider = subprocess.Popen(view.command(["node", "/opt/provider/provider.mjs", "4711"]), stdout=log, stderr=log)
    if not laboratory.wait_until(lambda: laboratory.port_is_open("127.0.0.1", 4711), 30):
        raise SystemExit("realworld: no provider\n" + Path(log.name).read_text())
    try:
        checks(lab, report, World(lab, report, view))
    finally:
        provider.terminate()
        (lab.logs / "provider.txt").write_text(Path(log.name).read_text())


def checks(lab, report, world):
    relay = gate.Gate("127.0.0.9", PORT, lab.certificate(HOST), "PLAIN XOAUTH2 OAUTHBEARER", is_active)
    secrets = set()
    sent = 0

    def remember():
        secrets.update(filter(None, (world.tokens()["access-token"], world.tokens()["refresh-token"])))

    def arrives(name, count=1, before=""):
        nonlocal sent
        done = [subprocess.Popen(world.view.command(SEND, "tester"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(count)]
        outputs = [sender.communicate(MESSAGE, 90)[0].decode() for sender in done]
        world.said.extend(outputs)
        sent += count
        problems = [before, *(f"exit {sender.returncode}: {text}" for sender, text in zip(done, outputs) if sender.returncode or text)]
        if relay.count(sent) != sent:
            problems.append(f"{relay.count(sent, 0)} of {sent} arrived")
        report.check(name, [problem for problem in problems if problem])
        remember()

    world.configure("desktop")
    status, text = world.log_in()
    report.check("oauth: a login through the browser", "" if status == 0 and "accepted by" in text and "You can close this window" in text else text)
    arrives("oauth: mail goes with its token")
    mechanism = relay.logins[-1][0]
    report.check("oauth: as OAUTHBEARER", "" if mechanism == "OAUTHBEARER" else mechanism)

    world.age(obtained=1, expires=2)
    before = world.granted()
    arrives("oauth: eight senders at once with a token that has ended", 8)
    new = world.granted()[len(before) :]
    report.check("oauth: ask for one new one", "" if new == ["granted refresh_token"] else repr(new))

    world.age(obtained=world.tokens()["obtained"] - 600)
    world.revoke(world.tokens()["access-token"])
    tries = len(relay.logins)
    arrives("oauth: a token that the relay takes no more is renewed")
    outcome = [accepted for _, _, accepted in relay.logins[tries:]]
    report.check("oauth: with one login more", "" if outcome == [False, True] else repr(outcome))

    world.age(obtained=1, expires=2)
    world.revoke(world.tokens()["refresh-token"])
    remember()
    status, text = world.call(*SEND)
    wanted = ["the login has ended", "invalid_grant", "mailchute login --account test"]
    report.check("oauth: a revoked login holds the account and says what to do", [f"exit {status}\n{text}"] if status or any(word not in text for word in wanted) else "")
    _, text = world.call("mailchute", "doctor")
    report.check("oauth: doctor says it, too", "" if "✗ login: token: the login has ended" in text else text)

    status, text = world.log_in("--device")
    report.check("oauth: a login by a code for another device", "" if status == 0 and "accepted by" in text else text)
    sent += 1
    report.check("oauth: sends what waited", "" if relay.count(sent) == sent else f"{relay.count(sent, 0)} of {sent} arrived")

    world.configure("short")
    status, text = world.log_in()
    report.check("oauth: a client whose tokens last twelve seconds", "" if status == 0 else text)
    first = world.tokens()["access-token"]
    ended = laboratory.wait_until(lambda: not is_active(USER, first), 40)
    arrives("oauth: is renewed when they have ended", before="" if ended else "the token did not end")

    said = "\n".join(world.said) + (world.view / "/home/tester/mail.log").read_text(errors="replace")
    said += "\n".join(message.decode(errors="replace") for message in relay.messages)
    shown = [secret for secret in secrets if secret in said or b64encode(secret.encode())[4:-4].decode() in said]
    report.check(f"oauth: none of {len(secrets)} tokens is in any output, log or message", said if shown else "")
