//! The guest's side of the contract, generated from the WIT package.

#![allow(missing_docs, clippy::all)] // documented in plugins/wit

wit_bindgen::generate!({
    path: "../wit/0.1.0",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "naosu_plugin::contract",
    additional_derives: [PartialEq],
    generate_unused_types: true,
});
