//! What a caller may do, beyond what everyone authenticated may.

use std::str::FromStr;

use naosu_engine::{Code, Error, model::Principal};

/// Role of an authenticated caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Diagnoses, plans and applies what is approved.
    Requester,
    /// The same, and approves and rejects.
    Approver,
    /// An AI assistant: a requester that can never become an approver.
    Assistant,
}

impl Role {
    /// The words for it in files.
    pub const NAMES: [&'static str; 3] = ["requester", "approver", "assistant"];

    /// Whether it may do less than another.
    pub fn is_below(self, other: Self) -> bool {
        let power = |role| match role {
            Self::Assistant => 0,
            Self::Requester => 1,
            Self::Approver => 2,
        };
        power(self) < power(other)
    }

    /// A principal of this role.
    pub fn principal(self, name: impl Into<String>) -> Principal {
        match self {
            Self::Requester | Self::Approver => Principal::person(name),
            Self::Assistant => Principal::assistant(name),
        }
    }

    /// Refuses decisions on plans to everyone but approvers.
    ///
    /// # Errors
    /// `approval_forbidden`.
    pub fn may_decide(self, name: &str) -> Result<(), Error> {
        match self {
            Self::Approver => Ok(()),
            Self::Requester => Err(Error::new(
                Code::ApprovalForbidden,
                format!("{name:?} has the role requester, which cannot approve or reject"),
                "let someone with the role approver decide",
            )),
            Self::Assistant => Err(Error::new(
                Code::ApprovalForbidden,
                format!("{name:?} is an assistant, and an assistant can never approve or reject"),
                "let a person with the role approver decide: `naosu plan show` prints the command",
            )),
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "requester" => Ok(Self::Requester),
            "approver" => Ok(Self::Approver),
            "assistant" => Ok(Self::Assistant),
            _ => Err(format!("{text:?} is not one of {}", Self::NAMES.join(", "))),
        }
    }
}
