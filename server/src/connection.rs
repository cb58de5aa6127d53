//! What commands and the MCP server work on: a server elsewhere, or the engine
//! in this process. The same façade either way.

use std::sync::Arc;

use naosu_engine::{Error, Naosu};
use nix::unistd::Uid;

use crate::{
    auth::{Caller, Peer, Role, this_user_name},
    config::Config,
    embed::Embedded,
    grpc::client::Client,
};

/// An open connection.
pub struct Connection {
    /// The façade.
    pub naosu: Arc<dyn Naosu>,
    /// Who calls. A server elsewhere tells for itself.
    pub caller: Caller,
    embedded: Option<Embedded>,
}

impl Connection {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// As [`Client::new`], [`Embedded::start`], or `unauthenticated`.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        match &config.server {
            Some(address) => Ok(Self::to(Client::new(address)?)),
            None => Self::embedded(config).await,
        }
    }

    /// The same for an AI assistant of whoever calls. A server elsewhere is told
    /// so with each call; in this process the assistant's principal says it.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_for_assistant(config: &Config) -> Result<Self, Error> {
        match &config.server {
            Some(address) => Ok(Self::to(Client::of_assistant(address)?)),
            None => Self::embedded(config).await,
        }
    }

    fn to(client: Client) -> Self {
        Self {
            naosu: Arc::new(client),
            caller: Caller::new(this_user_name(), Role::Requester),
            embedded: None,
        }
    }

    async fn embedded(config: &Config) -> Result<Self, Error> {
        // The roles that the socket would give hold in this process as well.
        let peer = Peer::Unix {
            uid: Uid::current().as_raw(),
        };
        let caller = config.authenticator.authenticate(None, peer)?;
        let embedded = Embedded::start(config).await?;
        Ok(Self {
            naosu: embedded.naosu(),
            caller,
            embedded: Some(embedded),
        })
    }

    /// Whether the engine runs in this process, and stops with it.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Refuses decisions on plans to whoever may not make them. A server
    /// elsewhere decides for itself.
    ///
    /// # Errors
    /// `approval_forbidden`.
    pub fn may_decide(&self) -> Result<(), Error> {
        if self.is_embedded() {
            self.caller.role.may_decide(&self.caller.principal.name)
        } else {
            Ok(())
        }
    }

    /// Finishes the effect in flight, journals it, and ends.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.shutdown().await;
        }
    }
}
