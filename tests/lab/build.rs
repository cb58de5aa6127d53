//! Scenarios are part of the library: a new file is a reason to build it again.

fn main() {
    println!("cargo::rerun-if-changed=scenarios");
}
