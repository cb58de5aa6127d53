//! Which specifications of rules are given to `iptables-restore`. It takes the
//! options of the whole program in a rule's line, and one of them names a program
//! that is started as root.

use crate::drivers::node::NodeError;

/// Options of one letter that a rule has.
const SHORT: [&str; 9] = ["-s", "-d", "-i", "-o", "-p", "-f", "-m", "-j", "-g"];

/// Options of the program, not of a rule, that do not clash with those of any
/// module; and those of modules that name a file of the node. The library that reads
/// them takes any beginning of a name.
const REFUSED: [&str; 13] = [
    "--modprobe",
    "--table",
    "--append",
    "--insert",
    "--delete",
    "--delete-chain",
    "--replace",
    "--flush",
    "--new-chain",
    "--rename-chain",
    "--list-rules",
    "--wait-interval",
    "--object-pinned",
];

/// Shorter beginnings than this are those of options of rules as well.
const SHORTEST: usize = "--mo".len();

/// Options whose value is free text and may look like an option.
const WITH_TEXT: [&str; 5] = [
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--string",
    "--hex-string",
];

/// Refuses a specification that is more than one.
///
/// # Errors
/// [`NodeError::Invalid`] naming the word.
pub(super) fn check(specification: &str) -> Result<(), NodeError> {
    let mut is_text = false;
    for word in words(specification) {
        if !is_text && is_refused(&word) {
            return Err(NodeError::invalid(
                "specification",
                &word,
                "options of a rule only, none of the program or that reads a file",
            ));
        }
        is_text = WITH_TEXT.contains(&word.as_str());
    }
    Ok(())
}

fn is_refused(word: &str) -> bool {
    if let Some(long) = word.strip_prefix("--") {
        let name = word.split('=').next().unwrap_or_default();
        let is_beginning = name.len() >= SHORTEST && REFUSED.iter().any(|r| r.starts_with(name));
        return long.is_empty() || is_beginning;
    }
    // A number below zero is a value.
    let is_option = word.len() > 1
        && word.starts_with('-')
        && !word.chars().skip(1).all(|c| c.is_ascii_digit());
    is_option && !SHORT.contains(&word)
}

/// Splits as `iptables-restore` does. It hands quoted words on as it does others, so
/// that one which looks like an option is one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in line.chars() {
        match (is_quoted, is_escaped, c) {
            (true, false, '\\') => is_escaped = true,
            (_, false, '"') => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            (false, _, ' ' | '\t') => words.extend(word.take()),
            _ => {
                is_escaped = false;
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iptables_save_prints_is_taken() {
        for fine in [
            "-s 10.0.0.0/8 -p tcp -m tcp --dport 10250 -j DROP",
            "! -i lo -p tcp -m multiport --dports 1,2 -m comment --comment \"-M /x --table\" -j REJECT --reject-with tcp-reset",
            "-m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x8000/0x8000",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-m set --match-set agents src -j LOG --log-prefix \"[UFW BLOCK] \"",
            "-m recent --update --seconds 30 --name DEFAULT --mask 255.255.255.255 --rsource -j KUBE",
            "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1300",
            "-m policy --dir in --pol ipsec -j ACCEPT",
            "-m statistic --mode random --probability 0.5 -j X",
            "-m limit --limit 3/min --limit-burst 10 -j RETURN",
            "-f -j DROP",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn options_of_the_program_and_of_files_are_refused_however_they_are_written() {
        for bad in [
            "-p tcp -j DROP --modprobe=/tmp/x",
            "-p tcp -j DROP --modprobe /tmp/x",
            "-p tcp -j DROP --modp=/tmp/x",
            "-p tcp -j DROP --mo /tmp/x",
            "-p tcp -j DROP -M /tmp/x",
            "-p tcp -j DROP -M/tmp/x",
            "-p tcp -j DROP \"-M\" /tmp/x",
            "-p tcp -j DROP \"\"-M /tmp/x",
            "-t nat -j DROP",
            "-tnat -j DROP",
            "--table nat -j DROP",
            "--tab=nat -j DROP",
            "-j DROP -F",
            "-j DROP --flush",
            "-j DROP -- x",
            "-m bpf --object-pinned /sys/fs/bpf/x -j DROP",
            "-m comment --comment x -M /tmp/x -j DROP",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
