//! The examples that `--help` shows.

use std::{fs::File, process::Command};

use crate::{sample, text};

/// The commands among the lines of a help page, each on one line.
fn examples(page: &str) -> Vec<String> {
    let joined = page.replace("\\\n", " ");
    let commands = joined.lines().filter_map(|line| {
        let start = line.find("naosu flow ")?;
        let before = line[..start].trim();
        (before.is_empty() || before == "iptables-save |").then(|| line[start..].to_owned())
    });
    commands.collect()
}

#[test]
fn every_example_of_the_help_answers() {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in [
        ("nsg.json", "nsg-open.json"),
        ("old.json", "nsg-closed.json"),
        ("new.json", "nsg-open.json"),
        ("admin.json", "admin-rules.json"),
        ("agents.json", "nsg-open.json"),
        ("agent-nic.json", "nsg-agents-out.json"),
        ("nodes.json", "nsg-open.json"),
        ("node-nic.json", "nsg-closed.json"),
        ("agent.save", "node.save"),
        ("node.save", "node.save"),
        ("old.save", "node.save"),
        ("new.save", "node-mended.save"),
        ("routes.json", "routes.json"),
        ("firewall.json", "firewall.json"),
        ("ufw.txt", "ufw-verbose.txt"),
        ("old.added", "ufw-before.added"),
        ("new.added", "ufw-after.added"),
    ] {
        std::fs::copy(sample(from), folder.path().join(name)).unwrap();
    }
    for (page, count) in [("explain", 7), ("delta", 4), ("place", 3)] {
        let page = text(&format!("{page} --help"));
        assert!(
            page.lines().all(|line| line.chars().count() <= 100),
            "{page}"
        );
        let examples = examples(&page);
        assert_eq!(examples.len(), count, "{examples:#?}");
        for example in examples {
            let output = Command::new(env!("CARGO_BIN_EXE_naosu"))
                .args(example.split_whitespace().skip(1))
                .current_dir(folder.path())
                .env_clear()
                .stdin(File::open(sample("node.save")).unwrap())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{example}: {said}");
        }
    }
}
