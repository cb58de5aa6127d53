//! A bounded run of what the fuzz targets run without end: generated texts, and
//! real ones cut, doubled and scrambled.

#[path = "../fuzz/harness.rs"]
mod harness;

use std::{fs, path::Path, sync::LazyLock};

use harness::HARNESSES;
use proptest::prelude::*;

/// The texts that fuzzing begins with, as the systems write them.
static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut seeds = Vec::new();
    for (name, _) in HARNESSES {
        let files = fs::read_dir(folder.join(name)).expect("every target has seeds");
        let texts = files.map(|file| fs::read_to_string(file.expect("a file").path()));
        seeds.extend(texts.map(|text| text.expect("text")));
    }
    seeds.sort();
    seeds
});

fn run_all(text: &str) {
    for (_, harness) in HARNESSES {
        harness(text);
    }
}

#[test]
fn every_harness_takes_the_texts_it_is_for() {
    SEEDS.iter().for_each(|seed| run_all(seed));
    run_all("");
}

#[test]
fn every_harness_has_its_fuzz_target() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in HARNESSES {
        assert!(
            manifest.contains(&format!("fuzz_targets/{name}.rs")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), HARNESSES.len());
}

/// Changes a text the way damage does: bytes lost, repeated, swapped, replaced.
fn damaged(seed: &str, damage: &[(u8, prop::sample::Index, prop::sample::Index, char)]) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for (kind, from, to, c) in damage {
        if text.is_empty() {
            break;
        }
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let (first, last) = (from.min(to), from.max(to));
        match kind % 6 {
            0 => text.truncate(last),
            1 => drop(text.drain(first..last.min(first + 12))),
            2 => {
                let copy: Vec<char> = text[first..last.min(first + 200)].to_vec();
                text.splice(last..last, copy);
            }
            3 => text[first] = *c,
            4 => text.swap(first, last),
            _ => text.insert(first, *c),
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_texts_end_in_a_value_or_an_error(
        seed in any::<prop::sample::Index>(),
        damage in prop::collection::vec(
            (any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(),
             prop::sample::select(vec!['"', '\\', '!', '-', '\n', ' ', '0', '9', ':', '/', ',', '[', '\u{1b}', 'é', '\r'])),
            1..6,
        ),
    ) {
        let seed: &String = seed.get(SEEDS.as_slice());
        run_all(&damaged(seed, &damage));
    }

    #[test]
    fn scrambled_rules_end_in_a_value_or_an_error(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "-A", "INPUT", "U", "-s", "10.0.0.0/8", "-p", "tcp", "udp", "-m", "tcp", "multiport", "--dports",
                "--dport", "10250", "1:2", "!", "-j", "-g", "DROP", "ACCEPT", "LOG", "--log-prefix", "\"a b\"",
                "comment", "--comment", "conntrack", "--ctstate", "NEW", "mark", "--mark", "0x1/0x1", "-i", "lo",
                "weird", "--weird", "\"\"", "MARK", "--set-xmark", "-f", "addrtype", "--dst-type", "LOCAL", "'", "--syn",
            ]),
            0..14,
        ),
    ) {
        let rule = words.join(" ");
        run_all(&format!("*filter\n:INPUT ACCEPT [0:0]\n:U - [0:0]\n-A INPUT {rule}\nCOMMIT\n"));
    }

    #[test]
    fn any_text_ends_in_a_value_or_an_error(text in ".{0,400}") {
        run_all(&text);
    }
}
