//! ufw: what it says of itself, as rules and as a policy.
//!
//! Where the kernel's ruleset is known it decides, see
//! [`NodeFirewall`](crate::iptables::NodeFirewall): a user may have changed
//! ufw's files, and an inactive ufw leaves its chains behind.

mod command;
mod error;
mod files;
mod insert;
mod kernel;
mod policy;
mod rule;
mod start;
mod status;
mod user_rules;

#[cfg(test)]
mod tests;

pub use command::parse_added;
pub use error::{UfwError, UfwErrorKind};
pub use files::UfwRules;
pub use insert::InsertPlace;
pub use kernel::{UfwChange, UfwKernelError, ufw_change};
pub use policy::{UFW_POLICY_NAME, UfwPolicy};
pub use rule::{UfwAction, UfwDirection, UfwEnd, UfwRule};
pub use status::{UfwDefaults, UfwReport, UfwStatus};
pub use user_rules::parse_user_rules;
