//! Builds the first-party plugins for wasm32-wasip2.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use sha2::{Digest as _, Sha256};

include!("guests.rs");

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";
const HOSTILE: &str = "hostile";

/// Variables of the outer build that would change what the guests are built with.
const FOREIGN_VARIABLES: [&str; 9] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "LLVM_PROFILE_FILE",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "TARGET",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set {name}"))
}

fn build() -> Result<(), String> {
    let bundle = variable("CARGO_MANIFEST_DIR")?;
    let out = variable("OUT_DIR")?;
    let root = bundle
        .ancestors()
        .nth(2)
        .ok_or("plugins/bundle is not two folders below the workspace")?
        .to_owned();
    let mut guests: Vec<&str> = GUESTS.to_vec();
    if env::var_os("CARGO_FEATURE_HOSTILE").is_some() {
        guests.push(HOSTILE);
    }
    watch(&root, &guests);
    check_target()?;
    let target_directory = target_directory(&out, &root);
    compile(&root, &target_directory, &guests)?;
    let built = target_directory.join(TARGET).join(PROFILE);
    for guest in &guests {
        let file = format!("naosu_{}.wasm", guest.replace('-', "_"));
        let (from, to) = (built.join(&file), out.join(format!("{guest}.wasm")));
        fs::copy(&from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    write_list(&out)
}

/// Rebuilds when, and only when, something changed that guests are made of.
fn watch(root: &Path, guests: &[&str]) {
    let shared = [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "engine/flow/Cargo.toml",
        "engine/flow/src",
        "plugins/bundle/build.rs",
        "plugins/bundle/guests.rs",
        "plugins/sdk/Cargo.toml",
        "plugins/sdk/src",
        "plugins/wit",
    ];
    for path in shared {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for guest in guests {
        let guest = root.join("plugins").join(guest);
        for path in ["Cargo.toml", "src"] {
            println!("cargo::rerun-if-changed={}", guest.join(path).display());
        }
    }
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn check_target() -> Result<(), String> {
    let found = rustc()
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|e| format!("rustc cannot be run: {e}"))?;
    let directory = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if found.status.success() && directory.is_dir() {
        return Ok(());
    }
    Err(format!(
        "the plugins are built for {TARGET}, which is not installed: \
         run `rustup target add {TARGET}`, or `make setup`"
    ))
}

/// A target directory of the guests' own, so that the cargo that is running
/// and the one that is started never wait for each other. One a workspace:
/// several checkouts may share a target directory.
fn target_directory(out: &Path, root: &Path) -> PathBuf {
    let of_workspace = out
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out);
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    of_workspace
        .join("guests")
        .join(format!("{:016x}", hasher.finish()))
}

fn compile(root: &Path, target_directory: &Path, guests: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(target_directory);
    for guest in guests {
        cargo.args(["--package", &format!("naosu-{guest}")]);
    }
    for variable in FOREIGN_VARIABLES {
        cargo.env_remove(variable);
    }
    let output = cargo
        .output()
        .map_err(|e| format!("cargo cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in errors.lines() {
        println!("cargo::error={line}");
    }
    Err(format!("the plugins cannot be built: {}", output.status))
}

fn write_list(out: &Path) -> Result<(), String> {
    let entry = |guest: &&str| {
        let path = out.join(format!("{guest}.wasm"));
        let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        Ok(format!(
            "Component {{ id: {guest:?}, bytes: include_bytes!({path:?}), digest: {digest:?} }},"
        ))
    };
    let entries = GUESTS
        .iter()
        .map(entry)
        .collect::<Result<String, String>>()?;
    let list = format!("&[{entries}]");
    let path = out.join("components.rs");
    fs::write(&path, list).map_err(|e| format!("{}: {e}", path.display()))
}
