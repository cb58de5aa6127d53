//! Errors as `google.rpc.Status` and back, exactly.

use std::collections::HashMap;

use naosu_engine::{Code, Error, error::Category};
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::wire::code_of_text;
use crate::error_text::bounded;

/// Domain of Naosu's reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "naosu";

/// Metadata key of the next step in `google.rpc.ErrorInfo`.
const NEXT: &str = "next";

/// Where each code has a page.
const DOCS: &str = "https://github.com/naosu/naosu/blob/main/docs/errors.md";

/// The status of an error: code by category, and details that a program can read.
pub fn status_of_error(error: Error) -> Status {
    let Error {
        code,
        message,
        next,
    } = bounded(error);
    let mut details = ErrorDetails::new();
    details.set_error_info(
        code.as_str(),
        DOMAIN,
        HashMap::from([(NEXT.to_owned(), next.clone())]),
    );
    details.add_help_link(next, format!("{DOCS}#{}", code.as_str()));
    match code.category() {
        Category::InvalidArgument => {
            details.add_bad_request_violation(code.as_str(), brief(&message));
        }
        Category::FailedPrecondition | Category::Aborted => {
            details.add_precondition_failure_violation(code.as_str(), DOMAIN, brief(&message));
        }
        Category::ResourceExhausted => {
            details.add_quota_failure_violation(DOMAIN, brief(&message));
        }
        Category::NotFound
        | Category::PermissionDenied
        | Category::Unauthenticated
        | Category::Unavailable
        | Category::DeadlineExceeded
        | Category::Internal => {}
    }
    Status::with_error_details(grpc_code(code.category()), message, details)
}

/// Whether Naosu made the status, not a layer in between.
pub(super) fn is_from_naosu(status: &Status) -> bool {
    status
        .get_details_error_info()
        .is_some_and(|info| info.domain == DOMAIN)
}

/// The error that a status was made of; for a status that Naosu did not make,
/// what comes nearest.
pub fn error_of_status(status: &Status) -> Error {
    let info = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN);
    if let Some(info) = info {
        let next = info.metadata.get(NEXT).cloned().unwrap_or_default();
        return match code_of_text(&info.reason) {
            Some(code) => Error::new(code, status.message(), next),
            None => Error::new(
                Code::Internal,
                format!("{}: {}", info.reason, status.message()),
                next,
            ),
        };
    }
    let said = format!("{}: {}", status.code().description(), status.message());
    match status.code() {
        GrpcCode::Unavailable | GrpcCode::Cancelled => Error::new(
            Code::ServerUnreachable,
            said,
            "check that `naosu serve` runs and that the setting `server` names its address",
        ),
        GrpcCode::Unauthenticated => Error::new(
            Code::Unauthenticated,
            said,
            "give a token that the server knows",
        ),
        GrpcCode::DeadlineExceeded => Error::new(
            Code::DeadlineExceeded,
            said,
            "try again, or give it more time",
        ),
        GrpcCode::Unimplemented => Error::new(
            Code::Unsupported,
            said,
            "use the same version of naosu on both sides",
        ),
        // A message larger than the peer accepts.
        GrpcCode::OutOfRange => Error::new(Code::InvalidParameter, said, "give less text"),
        _ => Error::new(Code::Internal, said, "see the log of the server"),
    }
}

fn grpc_code(category: Category) -> GrpcCode {
    match category {
        Category::InvalidArgument => GrpcCode::InvalidArgument,
        Category::NotFound => GrpcCode::NotFound,
        Category::FailedPrecondition => GrpcCode::FailedPrecondition,
        Category::PermissionDenied => GrpcCode::PermissionDenied,
        Category::Unauthenticated => GrpcCode::Unauthenticated,
        Category::ResourceExhausted => GrpcCode::ResourceExhausted,
        Category::Aborted => GrpcCode::Aborted,
        Category::Unavailable => GrpcCode::Unavailable,
        Category::DeadlineExceeded => GrpcCode::DeadlineExceeded,
        Category::Internal => GrpcCode::Internal,
    }
}

/// The details repeat the message for programs that show only those.
fn brief(message: &str) -> String {
    message.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire_with_its_message_and_next_step() {
        for code in Code::ALL {
            let error = Error::new(*code, "rule \"ä\"\n\u{1b}[31m", "do this");
            let status = status_of_error(error.clone());
            assert_eq!(error_of_status(&status), error);
            // As it arrives: through HTTP headers.
            let mut headers = http::HeaderMap::new();
            status.add_header(&mut headers).unwrap();
            let arrived = Status::from_header_map(&headers).unwrap();
            assert_eq!(error_of_status(&arrived), error);
        }
    }

    #[test]
    fn a_status_of_another_domain_is_not_taken_for_one_of_naosu() {
        let details = ErrorDetails::with_error_info("stale_digest", "other.example", []);
        let status = Status::with_error_details(GrpcCode::Unavailable, "gone", details);
        assert_eq!(error_of_status(&status).code, Code::ServerUnreachable);
    }

    #[test]
    fn a_very_long_message_is_cut_to_what_headers_carry() {
        let error = Error::new(Code::Internal, "ü".repeat(1_000_000), "x");
        let status = status_of_error(error.clone());
        assert_eq!(error_of_status(&status), bounded(error));
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let carried: usize = headers
            .iter()
            .map(|(k, v)| k.as_str().len() + v.len())
            .sum();
        assert!(carried < 32 * 1024, "{carried}");
    }

    #[test]
    fn the_help_link_of_every_code_leads_to_its_heading() {
        let page = include_str!("../../../docs/errors.md");
        for code in Code::ALL {
            let details = status_of_error(Error::new(*code, "m", "n")).get_error_details();
            let link = &details.help().unwrap().links[0].url;
            let anchor = link.strip_prefix(&format!("{DOCS}#")).unwrap();
            // The anchor that GitHub gives a heading of a word in backquotes.
            let heading = format!("### `{anchor}`");
            assert!(page.lines().any(|line| line == heading), "{link}");
        }
    }

    #[test]
    fn details_fit_the_category() {
        let details = |code| status_of_error(Error::new(code, "m", "n")).get_error_details();
        assert!(details(Code::InvalidResourceId).bad_request().is_some());
        assert!(details(Code::StaleDigest).precondition_failure().is_some());
        assert!(details(Code::Drift).precondition_failure().is_some());
        assert!(details(Code::AzureThrottled).quota_failure().is_some());
        assert!(details(Code::PlanNotFound).bad_request().is_none());
    }
}
