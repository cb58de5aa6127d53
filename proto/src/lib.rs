//! The wire form of Naosu's words: messages, clients and servers of `naosu.v1`,
//! generated from the `.proto` files beside this crate. Conversion to and from
//! the model of the engine is the server's.

/// Version 1 of the API.
pub mod v1 {
    #![allow(missing_docs, clippy::all, rustdoc::all)] // generated

    tonic::include_proto!("naosu.v1");

    /// All descriptors, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/naosu.v1.bin"));
}
