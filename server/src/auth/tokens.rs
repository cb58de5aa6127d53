//! The file of bearer tokens: for each holder the SHA-256 of the token, never
//! the token.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::Role;

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// Name of the principal.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// All holders, by the SHA-256 of their token.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    by_digest: HashMap<[u8; 32], TokenHolder>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// The digest is not one.
    #[error("sha256 {0:?} is not 64 hex digits; `printf %s \"$TOKEN\" | sha256sum` prints them")]
    Digest(String),
    /// Two holders share a token.
    #[error("has the same token as {0:?}: give each holder its own")]
    Shared(String),
    /// Nobody may be called like a principal that Naosu makes itself.
    #[error("{0:?} is a name that Naosu gives itself; use one without a colon")]
    ReservedName(String),
}

impl Tokens {
    /// Adds a holder.
    ///
    /// # Errors
    /// When the digest is malformed or taken, or the name is reserved.
    pub fn insert(&mut self, name: &str, sha256: &str, role: Role) -> Result<(), TokensError> {
        if name.is_empty() || name.contains(':') {
            return Err(TokensError::ReservedName(name.to_owned()));
        }
        let malformed = || TokensError::Digest(sha256.to_owned());
        let mut digest = [0; 32];
        hex::decode_to_slice(sha256, &mut digest).map_err(|_| malformed())?;
        if let Some(other) = self.by_digest.get(&digest) {
            return Err(TokensError::Shared(other.name.clone()));
        }
        let holder = TokenHolder {
            name: name.to_owned(),
            role,
        };
        self.by_digest.insert(digest, holder);
        Ok(())
    }

    /// The holder of `token`. What is compared is the digest, which a caller
    /// cannot steer, so the time it takes tells nothing of other tokens.
    pub fn holder(&self, token: &str) -> Option<&TokenHolder> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.by_digest.get(&digest)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s secret | sha256sum`
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_token_finds_its_holder_and_another_finds_nobody() {
        let mut tokens = Tokens::default();
        tokens.insert("alice", SECRET, Role::Approver).unwrap();
        assert_eq!(tokens.holder("secret").unwrap().name, "alice");
        assert_eq!(tokens.holder("Secret"), None);
        assert_eq!(tokens.holder(""), None);
    }

    #[test]
    fn shared_tokens_malformed_digests_and_reserved_names_are_refused() {
        let mut tokens = Tokens::default();
        tokens.insert("alice", SECRET, Role::Approver).unwrap();
        assert_eq!(
            tokens.insert("bob", SECRET, Role::Requester),
            Err(TokensError::Shared("alice".into()))
        );
        assert!(matches!(
            tokens.insert("bob", "secret", Role::Requester),
            Err(TokensError::Digest(_))
        ));
        assert!(matches!(
            tokens.insert("os-user:root", SECRET, Role::Requester),
            Err(TokensError::ReservedName(_))
        ));
    }
}
