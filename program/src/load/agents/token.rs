//! The secret that controller and agents share.

use crate::load::plan::{Options, Usage};
use data_encoding::HEXLOWER;
use ring::{digest, hmac};

/// Who hears one proof can try tokens without being noticed. So a token must be hard to guess.
const SHORTEST: usize = 16;

/// The variable of the environment for the token.
const VARIABLE: &str = "LARIAT_TOKEN";

/// Who proves that it knows the token. The proof of one side is none of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Controller,
    Agent,
}

/// The secret that controller and agents share.
#[derive(Clone)]
pub(crate) struct Token(hmac::Key);

impl Token {
    /// Returns the token of `--token`, or else of the environment.
    pub(crate) fn of(options: &Options) -> Result<Token, Usage> {
        let token = options.token.clone().or_else(|| std::env::var(VARIABLE).ok()).unwrap_or_default();
        Token::new(&token)
    }

    fn new(token: &str) -> Result<Token, Usage> {
        let what = match token.len() {
            0 => "--agent and --agents need a token",
            length if length < SHORTEST => "the token is too short",
            _ => return Ok(Token(hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()))),
        };
        Err(Usage(format!(
            "{what}: write {SHORTEST} characters or more into {VARIABLE}, the same on all hosts, such as those of `openssl rand -hex 16`"
        )))
    }

    /// Returns a proof that this side knows the token.
    pub(super) fn prove(&self, side: Side, about: &About<'_>) -> String {
        HEXLOWER.encode(hmac::sign(&self.0, about.text(side).as_bytes()).as_ref())
    }

    /// Checks the proof of a side. How long this takes does not tell how much of it is right.
    pub(super) fn accepts(&self, side: Side, about: &About<'_>, proof: &str) -> bool {
        let Ok(proof) = HEXLOWER.decode(proof.as_bytes()) else { return false };
        hmac::verify(&self.0, about.text(side).as_bytes(), &proof).is_ok()
    }
}

/// What a proof is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) agent_nonce: &'a str,
    pub(super) controller_nonce: &'a str,
    /// The digest of the request.
    pub(super) sha256: &'a str,
    pub(super) length: u64,
}

impl About<'_> {
    /// Each field begins with its length, so that no two texts are the same.
    fn text(&self, side: Side) -> String {
        let About { agent_nonce, controller_nonce, sha256, length } = self;
        let sized = |text: &str| format!("{}:{text}\n", text.len());
        let fields = [agent_nonce, controller_nonce, sha256].map(|field| sized(field)).concat();
        format!("lariat load --agent, {side:?}\n{fields}{length}\n")
    }
}

/// Returns a number that was never used before, in hexadecimal.
pub(super) fn nonce() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

/// Returns the SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'_> = About { agent_nonce: "a1", controller_nonce: "c1", sha256: "d1", length: 7 };

    #[test]
    fn a_proof_is_for_one_token_one_side_and_one_request() {
        let [token, other] = ["0123456789abcdef", "0123456789abcdeg"]
            .map(|text| Token::new(text).unwrap_or_else(|Usage(why)| panic!("{why}")));
        let proof = token.prove(Side::Controller, &ABOUT);
        assert!(token.accepts(Side::Controller, &ABOUT, &proof));
        assert!(!other.accepts(Side::Controller, &ABOUT, &proof));
        assert!(!token.accepts(Side::Agent, &ABOUT, &proof));
        for changed in [
            About { agent_nonce: "a2", ..ABOUT },
            About { controller_nonce: "c2", ..ABOUT },
            About { sha256: "d2", ..ABOUT },
            About { length: 8, ..ABOUT },
            // The same characters, divided in another way.
            About { agent_nonce: "a1c", controller_nonce: "1", ..ABOUT },
        ] {
            assert!(!token.accepts(Side::Controller, &changed, &proof), "{changed:?}");
        }
        for wrong in ["", "00", &proof[..62], &proof.to_uppercase(), "zz"] {
            assert!(!token.accepts(Side::Controller, &ABOUT, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_is_hard_to_guess() {
        for text in ["", "secret", "0123456789abcde"] {
            assert!(Token::new(text).is_err_and(|Usage(why)| why.contains("16 characters")), "{text:?}");
        }
        assert_ne!(nonce(), nonce());
        assert_eq!(sha256(b"")[..8], *"e3b0c442");
    }
}
