//! Who calls, and what that role may do.

mod authenticator;
mod role;
mod tokens;

pub use authenticator::{Authenticator, Caller, Peer};
pub use role::Role;
pub use tokens::{TokenHolder, Tokens, TokensError};

use nix::unistd::{Uid, User};

/// The name of an operating system user as a principal: `os-user:alice`, or
/// `os-user:1000` for a user id without a name.
pub fn os_user_name(uid: u32) -> String {
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    match name {
        Some(user) => format!("os-user:{}", user.name),
        None => format!("os-user:{uid}"),
    }
}

/// The principal of whoever runs this process.
pub fn this_user_name() -> String {
    os_user_name(Uid::current().as_raw())
}

/// The name of an AI assistant that works for someone: `mcp:os-user:alice`.
pub fn assistant_name(on_behalf_of: &str) -> String {
    format!("mcp:{on_behalf_of}")
}
