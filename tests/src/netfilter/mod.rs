//! The Linux kernel as the judge of rulesets: [`NetfilterHost`] is a network
//! namespace that loads generated rules and tells which packets they let pass.

mod generate;
mod host;
mod judge;
mod local_sender;
mod log;
mod sent_packet;

pub use generate::{Case, Generator, SETS, established};
pub use host::{ADDRESSES, HostError, IN_INTERFACE, LAST_SOURCES, NetfilterHost, OUT_INTERFACE};
pub use judge::{Judge, Tally};
pub use sent_packet::{PORTED, SentPacket, Transport};

use std::process::Command;

/// Why the kernel cannot be asked here, or nothing when it can.
pub fn missing(programs: &[&str]) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let absent: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !is_there(program))
        .collect();
    if absent.is_empty() {
        None
    } else {
        Some(format!("missing: {}", absent.join(", ")))
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
