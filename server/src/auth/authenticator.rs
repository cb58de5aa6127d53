//! From what a connection shows to who calls.

use std::{collections::BTreeMap, net::SocketAddr};

use naosu_engine::{Code, Error, model::Principal};

use super::{Role, Tokens, assistant_name, os_user_name};

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// A caller of this name and role.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self {
            principal: role.principal(name),
            role,
        }
    }

    /// An AI assistant of this caller's.
    pub fn assistant(&self) -> Self {
        Self::new(assistant_name(&self.principal.name), Role::Assistant)
    }

    /// The caller in a role that it asks for itself: never in a higher one, and as
    /// an assistant under an assistant's name.
    #[must_use]
    pub fn lowered_to(self, role: Role) -> Self {
        match role {
            Role::Assistant => self.assistant(),
            role if role.is_below(self.role) => Self { role, ..self },
            _ => self,
        }
    }
}

/// What is known of the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, by a Unix-domain socket; the kernel vouches for its user.
    Unix {
        /// User id.
        uid: u32,
    },
    /// A TCP connection.
    Tcp(SocketAddr),
    /// Nothing.
    Unknown,
}

/// Knows all callers.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// Bearer tokens.
    pub tokens: Tokens,
    /// Role of users of this machine, by name, over the Unix-domain socket.
    pub os_users: BTreeMap<String, Role>,
    /// Role of the users of this machine who are not named; none refuses them.
    pub other_os_users: Option<Role>,
    /// Role of whoever connects from this machine by TCP without a token; none
    /// refuses them.
    pub loopback: Option<Role>,
}

impl Authenticator {
    /// Tells who calls. A token that is given must be right, whatever else is known.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn authenticate(&self, authorization: Option<&str>, peer: Peer) -> Result<Caller, Error> {
        if let Some(header) = authorization {
            let token = header
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim())
                .ok_or_else(|| {
                    unauthenticated("the authorization is not of the form \"Bearer <token>\"")
                })?;
            let holder = self
                .tokens
                .holder(token)
                .ok_or_else(|| unauthenticated("nobody has the token that was given"))?;
            let caller = Caller::new(&holder.name, holder.role);
            let person = holder.os_user.as_deref();
            return Ok(Caller {
                principal: caller.principal.acting_for(person),
                ..caller
            });
        }
        match peer {
            Peer::Unix { uid } => {
                let name = os_user_name(uid);
                let user = name.strip_prefix("os-user:").unwrap_or(&name);
                let role = self.os_users.get(user).copied().or(self.other_os_users);
                let role = role.ok_or_else(|| {
                    unauthenticated(&format!("the operating system user {user:?} has no role"))
                })?;
                Ok(Caller::new(name, role))
            }
            Peer::Tcp(address) if address.ip().to_canonical().is_loopback() => {
                let role = self
                    .loopback
                    .ok_or_else(|| unauthenticated("no token was given"))?;
                Ok(Caller::new("loopback", role))
            }
            Peer::Tcp(_) | Peer::Unknown => Err(unauthenticated("no token was given")),
        }
    }
}

fn unauthenticated(message: &str) -> Error {
    Error::new(
        Code::Unauthenticated,
        message,
        "give a token by NAOSU_CLIENT__TOKEN_FILE or `client.token_file`, and its SHA-256 to the \
         server by `auth.tokens_file`; on the server's machine use its Unix-domain socket",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenHolder;

    /// `printf %s secret | sha256sum`
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn authenticator() -> Authenticator {
        let mut tokens = Tokens::default();
        let bot = TokenHolder {
            name: "bot".to_owned(),
            role: Role::Assistant,
            os_user: None,
        };
        tokens.insert(bot, SECRET).unwrap();
        Authenticator {
            tokens,
            os_users: BTreeMap::from([("root".to_owned(), Role::Approver)]),
            other_os_users: None,
            loopback: None,
        }
    }

    fn loopback() -> Peer {
        Peer::Tcp("127.0.0.1:5".parse().unwrap())
    }

    #[test]
    fn a_token_of_an_assistant_makes_an_assistant_that_cannot_decide() {
        let caller = authenticator()
            .authenticate(Some("bearer secret"), loopback())
            .unwrap();
        assert_eq!(caller.principal, Principal::assistant("bot"));
        let refusal = caller.role.may_decide("bot").unwrap_err();
        assert_eq!(refusal.code, Code::ApprovalForbidden);
    }

    #[test]
    fn a_caller_lowers_its_role_and_never_raises_it() {
        use Role::{Approver, Assistant, Requester};
        for (has, asks, gets) in [
            (Approver, Approver, Approver),
            (Approver, Requester, Requester),
            (Requester, Approver, Requester),
            (Requester, Requester, Requester),
            (Assistant, Approver, Assistant),
            (Assistant, Requester, Assistant),
        ] {
            let caller = Caller::new("alice", has).lowered_to(asks);
            assert_eq!(caller.role, gets, "{has:?} asks for {asks:?}");
            assert_eq!(caller.principal, has.principal("alice"));
        }
        for has in [Approver, Requester, Assistant] {
            let caller = Caller::new("alice", has).lowered_to(Assistant);
            assert_eq!(caller, Caller::new("mcp:alice", Assistant));
        }
    }

    #[test]
    fn a_wrong_token_is_refused_even_where_the_socket_alone_would_do() {
        for header in ["Bearer wrong", "secret", "Basic secret", "Bearer "] {
            let refusal = authenticator()
                .authenticate(Some(header), Peer::Unix { uid: 0 })
                .unwrap_err();
            assert_eq!(refusal.code, Code::Unauthenticated, "{header}");
        }
    }

    #[test]
    fn the_kernel_vouches_for_the_user_of_a_unix_socket() {
        let caller = authenticator()
            .authenticate(None, Peer::Unix { uid: 0 })
            .unwrap();
        assert_eq!(caller, Caller::new("os-user:root", Role::Approver));
        let stranger = Peer::Unix { uid: 4_000_000 };
        assert!(authenticator().authenticate(None, stranger).is_err());
    }

    #[test]
    fn loopback_without_a_token_is_refused_unless_it_has_a_role() {
        let mut authenticator = authenticator();
        assert!(authenticator.authenticate(None, loopback()).is_err());
        authenticator.loopback = Some(Role::Requester);
        let mapped = Peer::Tcp("[::ffff:127.0.0.1]:5".parse().unwrap());
        for peer in [loopback(), mapped] {
            let caller = authenticator.authenticate(None, peer).unwrap();
            assert_eq!(caller, Caller::new("loopback", Role::Requester));
        }
        let remote = Peer::Tcp("192.0.2.1:5".parse().unwrap());
        assert!(authenticator.authenticate(None, remote).is_err());
    }
}
