//! The host's side of the contract, generated from the WIT package.

#![allow(missing_docs)] // documented in plugins/wit

wasmtime::component::bindgen!({
    path: "../plugins/wit/0.1.0",
    world: "plugin",
    imports: { default: async },
    exports: { default: async },
});
