//! Content addresses: SHA-256 over bytes, or over the canonical JSON (RFC 8785)
//! of a value.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in the form `sha256:<64 hex digits>`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(Sha256::digest(bytes))))
    }

    /// The digest of the canonical JSON (RFC 8785) of `value`.
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map with keys that are not text.
    pub fn of_value<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::of_bytes(&serde_json_canonicalizer::to_vec(value)?))
    }

    /// Reads `sha256:<64 lower-case hex digits>`; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (hex.len() == 64 && hex.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// The whole text, with its `sha256:` prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hex digits: enough for a person to compare.
    pub fn short(&self) -> &str {
        self.0
            .get("sha256:".len()..)
            .and_then(|hex| hex.get(..12))
            .unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_and_spacing_do_not_change_the_digest_of_a_value() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b": 1, "a": [true, 1.0]}"#).unwrap();
        let two: serde_json::Value = serde_json::from_str(r#"{"a":[true,1],"b":1}"#).unwrap();
        assert_eq!(
            Digest::of_value(&one).unwrap(),
            Digest::of_value(&two).unwrap()
        );
    }

    #[test]
    fn empty_bytes_have_the_published_sha256() {
        assert_eq!(
            Digest::of_bytes(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn only_a_full_lower_case_digest_parses() {
        let good = Digest::of_bytes(b"x");
        assert_eq!(Digest::parse(good.as_str()), Some(good.clone()));
        assert_eq!(Digest::parse(&good.as_str().to_uppercase()), None);
        assert_eq!(Digest::parse("sha256:12"), None);
    }
}
