//! ETags and the conditional writes that use them.

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::error::ArmError;
use super::reply::Family;

/// The version of a resource. The network provider writes `W/"guid"`, the
/// compute provider a counter, AKS a bare guid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// The first version of a new resource.
    pub fn first(family: Family) -> Self {
        match family {
            Family::Compute => Self("1".to_owned()),
            _ => Self(Uuid::new_v4().to_string()),
        }
    }

    /// The version after this one.
    pub fn next(&self, family: Family) -> Self {
        match family {
            Family::Compute => {
                let counter: u64 = self.0.parse().unwrap_or(0);
                Self((counter + 1).to_string())
            }
            _ => Self::first(family),
        }
    }

    /// As it is written in bodies and headers.
    pub fn render(&self, family: Family) -> String {
        match family {
            Family::Network => format!("W/\"{}\"", self.0),
            Family::Compute => format!("\"{}\"", self.0),
            _ => self.0.clone(),
        }
    }

    fn is(&self, written: &str) -> bool {
        opaque(written) == self.0
    }
}

/// The tag without weakness mark and quotes, which Azure does not insist on.
fn opaque(written: &str) -> &str {
    let written = written.trim();
    let written = written.strip_prefix("W/").unwrap_or(written);
    written.trim_matches('"')
}

/// Checks `If-Match` and `If-None-Match` against the version that is there.
pub fn check(
    family: Family,
    id: &str,
    current: Option<&Etag>,
    if_match: Option<&str>,
    if_none_match: Option<&str>,
) -> Result<(), ArmError> {
    if let Some(wanted) = if_match {
        let matches = match current {
            Some(etag) => wanted.trim() == "*" || etag.is(wanted),
            None => false,
        };
        if !matches {
            return Err(mismatch(family, id, current, opaque(wanted)));
        }
    }
    if let (Some("*"), Some(_)) = (if_none_match.map(str::trim), current) {
        return Err(mismatch(family, id, current, "*"));
    }
    Ok(())
}

fn mismatch(family: Family, id: &str, current: Option<&Etag>, wanted: &str) -> ArmError {
    let current = current.map(|etag| etag.render(family)).unwrap_or_default();
    let status = StatusCode::PRECONDITION_FAILED;
    match family {
        Family::Compute => ArmError::new(
            status,
            "PreconditionFailed",
            format!(
                "Etag provided in if-match header \"{wanted}\" does not match etag {current} of resource."
            ),
        ),
        Family::ContainerService => ArmError::new(
            status,
            "EtagMismatch",
            "Operation is not allowed: Etag in the If-Match header does not match the one of the resource",
        )
        .with_details(vec![json!({
            "code": "Unspecified",
            "message": "rpc error: code = FailedPrecondition desc = Etag mismatched",
        })])
        .without_envelope(),
        _ => ArmError::new(status, "PreconditionFailed", "Precondition failed.").with_details(vec![
            json!({
                "code": "PreconditionFailedEtagMismatch",
                "message": format!(
                    "Etag provided in if-match header W/\"{wanted}\" does not match etag {current} of resource {id} in NRP data store."
                ),
            }),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_with_and_without_weakness_mark_and_quotes() {
        let etag = Etag("abc".to_owned());
        for written in ["W/\"abc\"", "\"abc\"", "abc", "*"] {
            assert!(check(Family::Network, "/x", Some(&etag), Some(written), None).is_ok());
        }
        let error = check(Family::Network, "/x", Some(&etag), Some("W/\"old\""), None).unwrap_err();
        assert_eq!(error.status, StatusCode::PRECONDITION_FAILED);
        assert!(
            error.details.unwrap()[0]["message"]
                .as_str()
                .unwrap()
                .contains("W/\"old\" does not match etag W/\"abc\"")
        );
    }

    #[test]
    fn a_condition_on_what_is_not_there_fails() {
        assert!(check(Family::Network, "/x", None, Some("*"), None).is_err());
        assert!(check(Family::Network, "/x", None, None, Some("*")).is_ok());
        let etag = Etag::first(Family::Compute);
        assert!(check(Family::Compute, "/x", Some(&etag), None, Some("*")).is_err());
        assert_eq!(etag.next(Family::Compute).render(Family::Compute), "\"2\"");
    }
}
