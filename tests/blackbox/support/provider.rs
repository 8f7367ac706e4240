//! An identity provider inside the test process: codes with PKCE, device codes, refresh tokens that are replaced with
//! each use. What it gives out holds a word that no output may ever show.

use super::relay::certificates::{self, Certificate, ClientAuth};
use super::sandbox::{Sandbox, USER};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use rustls::{ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// Of the client that is registered.
pub const CLIENT: &str = "client-1.apps.example";
pub const CLIENT_SECRET: &str = "CANARY-client-s3cret";

/// A provider on a port of its own, for as long as the test process lives.
pub struct Provider {
    base: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The forms that were posted, in order.
    posted: Vec<HashMap<String, String>>,
    /// What is answered instead of the usual, to every request for tokens.
    instead: Option<(u16, String)>,
    /// The challenge and redirect of each code that is good.
    codes: HashMap<String, (String, String)>,
    /// The one refresh token that is good.
    refresh: Option<String>,
    given: usize,
    /// How often a device code is still pending.
    pending: usize,
    lifetime: u64,
}

impl Provider {
    /// In clear, as only loopback may be.
    pub fn start() -> Provider {
        Provider::serve("127.0.0.1", None)
    }

    /// Over TLS, with a certificate of the tests' authority.
    pub fn over_tls() -> Provider {
        Provider::serve("localhost", Some(certificates::server_config(Certificate::Good, ClientAuth::None)))
    }

    fn serve(host: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { lifetime: 3600, ..State::default() }));
        let shared = Arc::clone(&state);
        let scheme = if tls.is_some() { "https" } else { "http" };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || match tls {
                    Some(tls) => {
                        answer(StreamOwned::new(ServerConnection::new(tls).unwrap(), socket), &shared);
                    }
                    None => answer::<TcpStream>(socket, &shared),
                });
            }
        });
        Provider { base: format!("{scheme}://{host}:{port}"), state }
    }

    /// Where it is, `http://127.0.0.1:4711`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The account's line that makes it log in here.
    pub fn line(&self) -> String {
        let base = &self.base;
        format!(
            "oauth2 = {{ client-id = \"{CLIENT}\", client-secret = \"{CLIENT_SECRET}\", scope = \"mail offline\", \
             authorize-url = \"{base}/authorize\", token-url = \"{base}/token\", device-url = \"{base}/device\" }}"
        )
    }

    /// What a person's "allow" at the address that was shown makes of it: where the browser goes next.
    pub fn allow(&self, address: &str) -> String {
        let asked = form(address.split_once('?').unwrap().1);
        assert!(address.starts_with(&format!("{}/authorize?", self.base)), "{address}");
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("scope", "mail offline"),
            ("code_challenge_method", "S256"),
            ("login_hint", USER),
        ] {
            assert_eq!(asked[name], value, "{name} in {address}");
        }
        let mut state = self.state();
        state.given += 1;
        let code = format!("CANARY/code {}", state.given);
        let redirect = asked["redirect_uri"].clone();
        state.codes.insert(code.clone(), (asked["code_challenge"].clone(), redirect.clone()));
        format!("{redirect}?code={}&state={}", code.replace('/', "%2F").replace(' ', "+"), asked["state"])
    }

    /// Answers every request for tokens so.
    pub fn instead(&self, status: u16, body: &str) {
        self.state().instead = Some((status, body.to_owned()));
    }

    /// Answers as it should again.
    pub fn mend(&self) {
        self.state().instead = None;
    }

    /// Ends the login that was given.
    pub fn revoke(&self) {
        self.state().refresh = None;
    }

    /// A device code is pending so often.
    pub fn pending(&self, times: usize) {
        self.state().pending = times;
    }

    /// The kinds of the requests for tokens so far.
    pub fn asked(&self) -> Vec<String> {
        self.state().posted.iter().filter_map(|form| form.get("grant_type").cloned()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The access token that is given out as the `n`th thing.
    pub fn access(n: usize) -> String {
        format!("CANARY-access-{n}-abcdefghijklmnopqrstuvwxyz")
    }

    /// Puts tokens into a world as a login so many seconds ago would have, good for so many more.
    pub fn plant(&self, sandbox: &Sandbox, ago: u64, left: i64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        self.state().refresh = Some("CANARY-refresh-0-abcdefghijklmnopqrstuvwxyz".into());
        let content = serde_json::json!({
            "client-id": CLIENT, "token-url": format!("{}/token", self.base), "user": USER,
            "obtained": now - ago, "expires": now.checked_add_signed(left).unwrap(),
            "access-token": Provider::access(0),
            "refresh-token": "CANARY-refresh-0-abcdefghijklmnopqrstuvwxyz", "ended": null,
        });
        let spool = mailchute::spool::Spool::open(&sandbox.spool()).unwrap();
        spool.keep_tokens("test", content.to_string().as_bytes()).unwrap();
    }
}

/// One connection.
fn answer<S: Read + Write>(mut socket: S, state: &Mutex<State>) {
    let mut request = String::new();
    let mut octets = [0; 8192];
    let (head, body) = loop {
        let Ok(count @ 1..) = socket.read(&mut octets) else { return };
        request.push_str(std::str::from_utf8(&octets[..count]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            break (head, body);
        }
    };
    let posted = form(body);
    let (status, said) = match head.split(' ').nth(1).unwrap() {
        "/token" => state.lock().unwrap().token(&posted),
        "/device" => state.lock().unwrap().device(&posted),
        _ => (404, "not here".to_owned()),
    };
    let (first, rest) = said.split_at(said.len() / 2);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(chunks.as_bytes()));
}

impl State {
    fn token(&mut self, posted: &HashMap<String, String>) -> (u16, String) {
        self.posted.push(posted.clone());
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let no = |error: &str| (400, format!("{{\"error\":\"{error}\"}}"));
        if posted["client_id"] != CLIENT || posted["client_secret"] != CLIENT_SECRET {
            return no("invalid_client");
        }
        match posted["grant_type"].as_str() {
            "authorization_code" => {
                let Some((challenge, redirect)) = self.codes.remove(&posted["code"]) else {
                    return no("invalid_grant");
                };
                let made = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, posted["code_verifier"].as_bytes()));
                if made != challenge || posted["redirect_uri"] != redirect {
                    return no("invalid_grant");
                }
            }
            "refresh_token" if self.refresh.as_ref() != Some(&posted["refresh_token"]) => {
                let words = "Token has been expired or revoked.";
                return (400, format!("{{\"error\":\"invalid_grant\",\"error_description\":\"{words}\"}}"));
            }
            "refresh_token" => {}
            _ if posted["device_code"] != "CANARY-device" => return no("invalid_grant"),
            _ if self.pending > 0 => {
                self.pending -= 1;
                return no("authorization_pending");
            }
            _ => {}
        }
        self.given += 1;
        let refresh = format!("CANARY-refresh-{}-abcdefghijklmnopqrstuvwxyz", self.given);
        let said = serde_json::json!({
            "access_token": Provider::access(self.given), "token_type": "Bearer", "expires_in": self.lifetime,
            "refresh_token": refresh,
        });
        self.refresh = Some(refresh);
        (200, said.to_string())
    }

    fn device(&mut self, posted: &HashMap<String, String>) -> (u16, String) {
        assert_eq!(posted["client_id"], CLIENT);
        let said = serde_json::json!({
            "device_code": "CANARY-device", "user_code": "ABCD-EFGH", "expires_in": 900, "interval": 0,
            "verification_uri": "https://provider.example/device",
        });
        (200, said.to_string())
    }
}

/// A form, or the query of an address.
fn form(text: &str) -> HashMap<String, String> {
    let unescape = |text: &str| {
        let (mut octets, mut rest) = (Vec::new(), text.bytes());
        while let Some(octet) = rest.next() {
            octets.push(match octet {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                octet => octet,
            });
        }
        String::from_utf8(octets).unwrap()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect()
}
