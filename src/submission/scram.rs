//! SCRAM (RFC 5802, RFC 7677) with and without channel binding: proves the password without showing it, and makes the
//! server prove that it knows it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// What servers ask for at least (RFC 7677 section 4): with fewer, whoever sees the proof tries passwords faster. And more
/// than any asks for, which is less than half a second of work.
const ROUNDS: RangeInclusive<u32> = 4096..=1_000_000;

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

/// What is said about channel binding (RFC 5802 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// We could, but the server does not offer it.
    NotOffered,
    /// We cannot.
    Impossible,
    /// `tls-exporter` (RFC 9266).
    Exporter([u8; 32]),
}

/// One exchange.
pub struct Scram {
    hash: Hash,
    binding: Binding,
    first_bare: String,
    nonce: String,
    password: Zeroizing<Vec<u8>>,
    state: State,
}

enum State {
    Started,
    /// The proof is sent; this is what the server must answer with.
    Proved(Vec<u8>),
    Verified,
}

impl Scram {
    /// Starts an exchange; `None` when there is no randomness for its nonce.
    pub fn new(hash: Hash, user: &str, password: &[u8], binding: Binding) -> Option<Scram> {
        let mut random = [0; 18];
        SystemRandom::new().fill(&mut random).ok()?;
        Some(Scram::with_nonce(hash, user, password, binding, STANDARD.encode(random)))
    }

    fn with_nonce(hash: Hash, user: &str, password: &[u8], binding: Binding, nonce: String) -> Scram {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Scram { hash, binding, first_bare, nonce, password: password.to_vec().into(), state: State::Started }
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header(), self.first_bare)
    }

    /// The answer to the server's message; an error says what is wrong with that.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<String, &'static str> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "a challenge that is no text")?;
        match &self.state {
            State::Started => self.prove(challenge),
            State::Proved(signature) => {
                let got = challenge.strip_prefix("v=").and_then(|value| STANDARD.decode(value).ok());
                if got.is_some_and(|got| got == *signature) {
                    self.state = State::Verified;
                    Ok(String::new())
                } else {
                    Err("the server cannot prove that it knows the password")
                }
            }
            State::Verified => Err("one challenge too many"),
        }
    }

    /// Whether the server has proved that it knows the password, without which its "accepted" is worth nothing.
    pub fn is_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    fn header(&self) -> &'static str {
        match self.binding {
            Binding::NotOffered => "y,,",
            Binding::Impossible => "n,,",
            Binding::Exporter(_) => "p=tls-exporter,,",
        }
    }

    fn prove(&mut self, server_first: &str) -> Result<String, &'static str> {
        let mut fields = server_first.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());
        let nonce = nonce.ok_or("a challenge with a foreign nonce")?;
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("a challenge without salt")?;
        let rounds = field("i=").and_then(|rounds| rounds.parse().ok()).ok_or("a challenge without rounds")?;
        if rounds > *ROUNDS.end() {
            return Err("a challenge with too many rounds");
        }
        let rounds = NonZeroU32::new(rounds).filter(|rounds| ROUNDS.contains(&rounds.get()));
        let rounds = rounds.ok_or("a challenge with fewer than 4096 rounds, which guard a password badly")?;

        let mut bound = self.header().as_bytes().to_vec();
        if let Binding::Exporter(material) = &self.binding {
            bound.extend_from_slice(material);
        }
        let final_bare = format!("c={},r={nonce}", STANDARD.encode(bound));
        let authenticated = format!("{},{server_first},{final_bare}", self.first_bare);

        let salted = self.salted(&salt, rounds);
        let client_key = Zeroizing::new(self.mac(&salted, b"Client Key"));
        let stored_key = self.digest(&client_key);
        let signature = self.mac(&stored_key, authenticated.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, octet)| key ^ octet).collect();
        let server_key = Zeroizing::new(self.mac(&salted, b"Server Key"));
        self.state = State::Proved(self.mac(&server_key, authenticated.as_bytes()));
        Ok(format!("{final_bare},p={}", STANDARD.encode(proof)))
    }

    fn salted(&self, salt: &[u8], rounds: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let (algorithm, length) = match self.hash {
            Hash::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, digest::SHA1_OUTPUT_LEN),
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
        };
        let mut salted = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(algorithm, rounds, salt, &self.password, &mut salted);
        salted
    }

    fn mac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    fn digest(&self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self.hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash, nonce, server-first, client-final, server-final of RFC 5802 section 5 and RFC 7677 section 3; user
    /// `user`, password `pencil`.
    const EXAMPLES: [(Hash, &str, &str, &str, &str); 2] = [
        (
            Hash::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Hash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    fn scram(hash: Hash, nonce: &str) -> Scram {
        Scram::with_nonce(hash, "user", b"pencil", Binding::Impossible, nonce.into())
    }

    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        for (hash, nonce, server_first, client_final, server_final) in EXAMPLES {
            let mut scram = scram(hash, nonce);
            assert_eq!(scram.first(), format!("n,,n=user,r={nonce}"));
            assert_eq!(scram.respond(server_first.as_bytes()).unwrap(), client_final);
            assert!(!scram.is_verified());
            assert_eq!(scram.respond(server_final.as_bytes()), Ok(String::new()));
            assert!(scram.is_verified());
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_refused() {
        let (hash, nonce, server_first, ..) = EXAMPLES[1];
        for forged in ["v=AAAA", "v=", "e=other-error", ""] {
            let mut scram = scram(hash, nonce);
            scram.respond(server_first.as_bytes()).unwrap();
            assert!(scram.respond(forged.as_bytes()).is_err(), "{forged}");
            assert!(!scram.is_verified());
        }
    }

    #[test]
    fn a_challenge_that_is_not_ours_or_costs_too_much_is_refused() {
        for challenge in [
            "r=other,s=QSXCR+Q6sek8bf92,i=4096",
            "r=nonce,s=QSXCR+Q6sek8bf92,i=4096",
            "r=nonceX,s=*,i=4096",
            "r=nonceX,s=QSXCR+Q6sek8bf92,i=4294967295",
            "r=nonceX,s=QSXCR+Q6sek8bf92,i=0",
            "r=nonceX,s=QSXCR+Q6sek8bf92,i=4095",
            "r=nonceX",
            "",
        ] {
            assert!(scram(Hash::Sha256, "nonce").respond(challenge.as_bytes()).is_err(), "{challenge}");
        }
    }

    #[test]
    fn the_binding_is_part_of_what_is_proved() {
        let mut scram = Scram::with_nonce(Hash::Sha256, "a,b=c", b"p", Binding::Exporter([7; 32]), "nonce".into());
        assert_eq!(scram.first(), "p=tls-exporter,,n=a=2Cb=3Dc,r=nonce");
        let last = scram.respond(b"r=nonceX,s=QSXCR+Q6sek8bf92,i=4096").unwrap();
        let bound = [b"p=tls-exporter,,".as_slice(), &[7; 32]].concat();
        assert!(last.starts_with(&format!("c={},r=nonceX,p=", STANDARD.encode(bound))));
    }
}
