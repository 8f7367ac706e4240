//! What shows that the browser's answer belongs to our question, and that who redeems the code is who asked for it:
//! state (RFC 6749 section 10.12) and PKCE with S256 (RFC 7636).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The secrets of one login.
pub struct Proof {
    pub state: Zeroizing<String>,
    /// What the token server is told with the code.
    pub verifier: Zeroizing<String>,
}

impl Proof {
    /// Fresh ones of 256 bits; `None` when this system has no random numbers.
    pub fn new() -> Option<Proof> {
        Some(Proof { state: random()?, verifier: random()? })
    }

    /// What the authorization server is told in advance.
    pub fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}

fn random() -> Option<Zeroizing<String>> {
    let mut octets = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *octets).ok()?;
    Some(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_as_in_rfc_7636_appendix_b() {
        let verifier = Zeroizing::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        let proof = Proof { state: Zeroizing::default(), verifier };
        assert_eq!(proof.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_are_the_same() {
        let (one, two) = (Proof::new().unwrap(), Proof::new().unwrap());
        assert!(one.state != two.state && one.verifier != two.verifier && *one.state != *one.verifier);
        assert_eq!((one.state.len(), one.verifier.len()), (43, 43));
    }
}
