//! Who opens connections to where, counted.

use std::collections::{BTreeMap, BTreeSet};

/// Lines of "count process destination", most first. Of `established` (`ss -tnp`)
/// those count that no listening socket accepted; of `tracked` (source,
/// destination and port with a count before) all, with the source's address in
/// the place of the process: a pod's connections have no process on the node.
pub fn outbound(listening: &str, established: &str, tracked: &str) -> String {
    let ports: BTreeSet<&str> = listening
        .lines()
        .filter_map(|line| port_at(line, 3))
        .collect();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in established.lines() {
        let mut words = line.split_whitespace();
        let (Some(local), Some(peer)) = (words.nth(2), words.next()) else {
            continue;
        };
        let local_port = local.rsplit(':').next().unwrap_or_default();
        if ports.contains(local_port) {
            continue;
        }
        let process = words.next().and_then(process_name).unwrap_or("-");
        *counts
            .entry((process.to_owned(), peer.to_owned()))
            .or_default() += 1;
    }
    for line in tracked.lines() {
        let mut words = line.split_whitespace();
        let (Some(count), Some(source), Some(destination), Some(port)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(count) = count.parse::<u64>() else {
            continue;
        };
        let counted = counts
            .entry((source.to_owned(), format!("{destination}:{port}")))
            .or_default();
        *counted = counted.saturating_add(count);
    }
    let mut lines: Vec<(u64, String, String)> = counts
        .into_iter()
        .map(|((process, destination), count)| (count, process, destination))
        .collect();
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (&a.1, &a.2).cmp(&(&b.1, &b.2))));
    lines
        .into_iter()
        .map(|(count, process, destination)| format!("{count} {process} {destination}\n"))
        .collect()
}

fn port_at(line: &str, column: usize) -> Option<&str> {
    line.split_whitespace().nth(column)?.rsplit(':').next()
}

/// The name in `users:(("curl",pid=7,fd=3))`.
fn process_name(users: &str) -> Option<&str> {
    let (_, after) = users.split_once('"')?;
    let (name, _) = after.split_once('"')?;
    Some(name).filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepted_connections_do_not_count_and_equal_ones_are_added_up() {
        let listening = "LISTEN 0 128 *:10250 *:*\n";
        let established = "\
0 0 10.0.0.4:10250 10.0.0.9:5000 users:((\"kubelet\",pid=1,fd=2))
0 0 10.0.0.4:40001 1.2.3.4:443 users:((\"curl\",pid=7,fd=3))
0 0 10.0.0.4:40002 1.2.3.4:443 users:((\"curl\",pid=8,fd=3))
0 0 10.0.0.4:40003 1.2.3.5:443
";
        assert_eq!(
            outbound(listening, established, "7 10.244.0.3 1.2.3.4 443\n"),
            "7 10.244.0.3 1.2.3.4:443\n2 curl 1.2.3.4:443\n1 - 1.2.3.5:443\n"
        );
    }

    #[test]
    fn counts_that_no_node_has_do_not_overflow() {
        let most = u64::MAX;
        let tracked = format!("{most} 10.0.0.1 1.2.3.4 443\n1 10.0.0.1 1.2.3.4 443\n");
        assert_eq!(
            outbound("", "", &tracked),
            format!("{most} 10.0.0.1 1.2.3.4:443\n")
        );
    }

    proptest! {
        #[test]
        fn whatever_a_node_prints_is_counted_or_passed_over(
            listening in lines(), established in lines(), tracked in lines(),
        ) {
            for line in outbound(&listening, &established, &tracked).lines() {
                let (count, _) = line.split_once(' ').expect("a count");
                prop_assert!(count.parse::<u64>().is_ok(), "{}", line);
            }
        }
    }

    fn lines() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "0",
            "18446744073709551615",
            "-1",
            "10.0.0.4:1",
            "[::1]:443",
            ":",
            "*:*",
            "users:((\"",
            "users:((\"a\",pid=1))",
            "LISTEN",
            "\u{1b}[0m",
            "é",
            "\n",
            "\t",
        ]);
        prop::collection::vec(words, 0..40).prop_map(|words| words.join(" "))
    }
}
