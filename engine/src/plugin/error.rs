//! How a plugin fails the host.

use crate::{
    error::{Code, Error},
    model::Capability,
};

/// A plugin that cannot be loaded, or a call of it that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// Not a WebAssembly component at all.
    #[error("{origin} is not a WebAssembly component: {reason}")]
    NotAComponent {
        /// Where the bytes came from.
        origin: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A component with other exports or types than the contract has.
    #[error("{origin} does not fit the world naosu:plugin/plugin: {reason}")]
    WrongWorld {
        /// Where the bytes came from.
        origin: String,
        /// What does not fit.
        reason: String,
    },
    /// It imports what the host does not give.
    #[error("{origin} imports {}, which the host does not give", imports.join(", "))]
    ImportUndeclared {
        /// Where the bytes came from.
        origin: String,
        /// The interfaces, by full name.
        imports: Vec<String>,
    },
    /// It asks for more than it is granted.
    #[error("plugin {id} asks for {}, not granted to it", names(capabilities))]
    CapabilityNotGranted {
        /// Its id.
        id: String,
        /// What is missing.
        capabilities: Vec<Capability>,
    },
    /// Too much time, memory or output, or too large a file.
    #[error("plugin {plugin}: {what}")]
    LimitExceeded {
        /// Its id, or where it came from.
        plugin: String,
        /// Which limit, and its value.
        what: String,
    },
    /// It crashed.
    #[error("plugin {plugin} crashed: {reason}")]
    Trapped {
        /// Its id, or where it came from.
        plugin: String,
        /// The trap.
        reason: String,
    },
    /// It returned something malformed or that it never declared.
    #[error("plugin {plugin} returned a malformed {field}: {reason}")]
    Misbehaved {
        /// Its id, or where it came from.
        plugin: String,
        /// Path of the wrong field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The sandbox itself cannot be set up.
    #[error("the plugin sandbox cannot be set up: {reason}")]
    Sandbox {
        /// Why.
        reason: String,
    },
}

fn names(capabilities: &[Capability]) -> String {
    let names: Vec<_> = capabilities.iter().map(|c| c.as_str()).collect();
    names.join(", ")
}

impl PluginError {
    /// Its stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotAComponent { .. } => Code::PluginNotAComponent,
            Self::WrongWorld { .. } => Code::PluginWrongWorld,
            Self::ImportUndeclared { .. } => Code::PluginImportUndeclared,
            Self::CapabilityNotGranted { .. } => Code::PluginCapabilityNotGranted,
            Self::LimitExceeded { .. } => Code::PluginLimitExceeded,
            Self::Trapped { .. } => Code::PluginTrapped,
            Self::Misbehaved { .. } => Code::PluginMisbehaved,
            Self::Sandbox { .. } => Code::Internal,
        }
    }

    fn next(&self) -> &'static str {
        match self {
            Self::NotAComponent { .. } => {
                "build it for wasm32-wasip2 with the crate naosu-plugin, and check that the file is whole"
            }
            Self::WrongWorld { .. } => "build it against naosu:plugin@0.1.0",
            Self::ImportUndeclared { .. } => {
                "remove what needs these interfaces; a plugin reads through naosu:plugin/observe only"
            }
            Self::CapabilityNotGranted { .. } => {
                "grant the capabilities to this plugin in the configuration, or do without it"
            }
            Self::LimitExceeded { .. } => {
                "look at the plugin's log lines; raise the limit only for a plugin you trust"
            }
            Self::Trapped { .. } | Self::Misbehaved { .. } => {
                "report it to the plugin's author with the diagnosis; nothing was written"
            }
            Self::Sandbox { .. } => "check the limits on memory and address space of this process",
        }
    }
}

impl From<PluginError> for Error {
    fn from(error: PluginError) -> Self {
        Self::new(error.code(), error.to_string(), error.next())
    }
}
