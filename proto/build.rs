//! Generates the Rust types and services of `naosu/v1/*.proto`, and the
//! descriptor set for reflection. Needs no protoc.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=naosu/v1");
    let mut files = Vec::new();
    for entry in fs::read_dir("naosu/v1")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("naosu.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .out_dir(&out)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
