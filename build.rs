//! Compiles the protocol with protox, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 9] = [
    "bundle",
    "identity",
    "ledger",
    "log",
    "recovery",
    "share",
    "statement",
    "stream",
    "timestamp",
];

fn main() -> Result<(), Box<dyn Error>> {
    let files = FILES.map(|name| format!("proto/escrow/vault/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // For reflection; without comments, which clients have in the files.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
