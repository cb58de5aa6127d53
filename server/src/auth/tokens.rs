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
    /// The user of the server's machine who is the same person, or whose assistant it
    /// is, where that user has another name.
    pub os_user: Option<String>,
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
    /// No user of a machine is called so.
    #[error("os_user {0:?} is not the name of a user; write it as `id -un` does")]
    OsUser(String),
}

impl Tokens {
    /// Adds a holder.
    ///
    /// # Errors
    /// When the digest is malformed or taken, the name is reserved, or the user's name
    /// is none.
    pub fn insert(&mut self, holder: TokenHolder, sha256: &str) -> Result<(), TokensError> {
        if holder.name.is_empty() || holder.name.contains(':') {
            return Err(TokensError::ReservedName(holder.name));
        }
        if let Some(user) = &holder.os_user
            && (user.is_empty() || user.contains(':'))
        {
            return Err(TokensError::OsUser(user.clone()));
        }
        let malformed = || TokensError::Digest(sha256.to_owned());
        let mut digest = [0; 32];
        hex::decode_to_slice(sha256, &mut digest).map_err(|_| malformed())?;
        if let Some(other) = self.by_digest.get(&digest) {
            return Err(TokensError::Shared(other.name.clone()));
        }
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

    fn holder(name: &str, role: Role) -> TokenHolder {
        TokenHolder {
            name: name.to_owned(),
            role,
            os_user: None,
        }
    }

    #[test]
    fn a_token_finds_its_holder_and_another_finds_nobody() {
        let mut tokens = Tokens::default();
        tokens
            .insert(holder("alice", Role::Approver), SECRET)
            .unwrap();
        assert_eq!(tokens.holder("secret").unwrap().name, "alice");
        assert_eq!(tokens.holder("Secret"), None);
        assert_eq!(tokens.holder(""), None);
    }

    #[test]
    fn shared_tokens_malformed_digests_and_reserved_names_are_refused() {
        let mut tokens = Tokens::default();
        tokens
            .insert(holder("alice", Role::Approver), SECRET)
            .unwrap();
        assert_eq!(
            tokens.insert(holder("bob", Role::Requester), SECRET),
            Err(TokensError::Shared("alice".into()))
        );
        assert!(matches!(
            tokens.insert(holder("bob", Role::Requester), "secret"),
            Err(TokensError::Digest(_))
        ));
        assert!(matches!(
            tokens.insert(holder("os-user:root", Role::Requester), SECRET),
            Err(TokensError::ReservedName(_))
        ));
        let nobody = TokenHolder {
            os_user: Some("os-user:bob".into()),
            ..holder("bob", Role::Requester)
        };
        let refused = tokens.insert(nobody, SECRET);
        assert_eq!(refused, Err(TokensError::OsUser("os-user:bob".into())));
    }
}
