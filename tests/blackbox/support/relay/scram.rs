//! The server side of SCRAM (RFC 5802, RFC 7677), written apart from the program's own client side, so that one does not
//! excuse the other; and the ways it can cheat.

use super::base64;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// How SCRAM goes at a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub rounds: u32,
    pub cheat: Cheat,
}

/// Where a relay leaves the path of good behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cheat {
    Nowhere,
    /// What it proves is not that it knows the password.
    WrongProof,
    /// It accepts without proving anything.
    NoProof,
    /// It goes on with a nonce that is not the client's.
    ForeignNonce,
    /// It stands behind a man in the middle: its TLS connection is not the client's.
    OtherChannel,
    /// It stands behind a man in the middle who has cut the `-PLUS` mechanisms from its offer.
    CutOffer,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { rounds: 4096, cheat: Cheat::Nowhere }
    }
}

const SALT: &[u8] = b"salt of the relay";

/// One exchange.
pub struct Scram {
    terms: Terms,
    algorithms: Algorithms,
    /// Up to the second comma.
    header: String,
    first_bare: String,
    server_first: String,
    nonce: String,
    pub user: String,
    binding: Option<[u8; 32]>,
}

struct Algorithms {
    pbkdf2: pbkdf2::Algorithm,
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
}

impl Scram {
    /// Takes the client's first message; `None` when it is not one for that mechanism over that channel.
    pub fn begin(mechanism: &str, terms: Terms, first: &str, binding: Option<[u8; 32]>) -> Option<Scram> {
        let second_comma = first.match_indices(',').nth(1)?.0;
        let (header, first_bare) = first.split_at(second_comma + 1);
        let flag = header.split(',').next()?;
        let binds = mechanism.ends_with("-PLUS");
        // RFC 5802 section 6: "y" says that the client could bind and saw no offer to.
        let good = if binds { flag == "p=tls-exporter" } else { flag == "n" || flag == "y" };
        if !good || flag == "y" && terms.cheat == Cheat::CutOffer {
            return None;
        }
        let (user, nonce) = first_bare.strip_prefix("n=")?.split_once(",r=")?;
        let nonce = match terms.cheat {
            Cheat::ForeignNonce => "a nonce of my own".to_string(),
            _ => format!("{nonce}and-mine"),
        };
        let mut binding = binding.filter(|_| binds);
        if let Some(material) = binding.as_mut().filter(|_| terms.cheat == Cheat::OtherChannel) {
            material[0] ^= 1;
        }
        Some(Scram {
            terms,
            algorithms: Algorithms::of(mechanism),
            header: header.to_string(),
            first_bare: first_bare.to_string(),
            server_first: format!("r={nonce},s={},i={}", base64::encode(SALT), terms.rounds),
            nonce,
            user: user.replace("=2C", ",").replace("=3D", "="),
            binding,
        })
    }

    /// The challenge.
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's proof: what this side proves in return, when the client knows the password.
    pub fn finish(&self, last: &str, password: &str) -> Option<String> {
        let (bare, proof) = last.split_once(",p=")?;
        let mut bound = self.header.clone().into_bytes();
        bound.extend(self.binding.into_iter().flatten());
        if bare != format!("c={},r={}", base64::encode(&bound), self.nonce) {
            return None;
        }
        let told = format!("{},{},{bare}", self.first_bare, self.server_first);
        let Algorithms { pbkdf2, hmac, digest } = self.algorithms;
        let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac, key), text).as_ref().to_vec();
        let mut salted = vec![0; digest.output_len()];
        pbkdf2::derive(pbkdf2, NonZeroU32::new(self.terms.rounds)?, SALT, password.as_bytes(), &mut salted);
        let stored = digest::digest(digest, &mac(&salted, b"Client Key"));
        let signature = mac(stored.as_ref(), told.as_bytes());
        let shown: Vec<u8> = base64::decode(proof)?.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if digest::digest(digest, &shown).as_ref() != stored.as_ref() {
            return None;
        }
        let key: &[u8] = if self.terms.cheat == Cheat::WrongProof { b"No Key" } else { b"Server Key" };
        let proof = mac(&mac(&salted, key), told.as_bytes());
        Some(format!("v={}", base64::encode(&proof)))
    }
}

impl Algorithms {
    fn of(mechanism: &str) -> Algorithms {
        if mechanism.contains("256") {
            Algorithms { pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256, hmac: hmac::HMAC_SHA256, digest: &digest::SHA256 }
        } else {
            Algorithms {
                pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
                hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            }
        }
    }
}
