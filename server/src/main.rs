//! The binary `naosu`.

use std::process::ExitCode;

fn main() -> ExitCode {
    naosu_server::cli::main()
}
