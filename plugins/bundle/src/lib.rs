//! The first-party plugins, built as components for wasm32-wasip2.

include!("../guests.rs");

/// A component as it is shipped in the server.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// Id of the plugin: "nsg-allow-port".
    pub id: &'static str,
    /// The WebAssembly component.
    pub bytes: &'static [u8],
    /// SHA-256 of the bytes, "sha256:<64 hex digits>".
    pub digest: &'static str,
}

/// All first-party plugins.
pub const COMPONENTS: &[Component] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// A component that misbehaves on request, for the tests of the host.
#[cfg(feature = "hostile")]
pub const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));
