//! A TCP connection tried from a node.

use std::net::IpAddr;

use naosu_engine::model::{ClusterId, query::ProbeResult};

use super::{
    Finished, NodeDriver, NodeError,
    script::{Script, body},
};
use crate::drivers::text::{MESSAGE_LIMIT, printable};

/// The exit code of `timeout` when time was up.
const TIMED_OUT: i32 = 124;
/// Most hosts of one command, which tries sixteen at once.
const HOSTS_AT_MOST: usize = 128;

impl NodeDriver {
    /// Tries to connect from `node` to `host:port`.
    ///
    /// # Errors
    /// [`NodeError`] when the probe itself could not be made.
    pub async fn probe(
        &self,
        cluster: &ClusterId,
        node: &str,
        host: &str,
        port: u16,
    ) -> Result<ProbeResult, NodeError> {
        let results = self.probe_many(cluster, node, &[host], port).await?;
        results.into_iter().next().ok_or_else(|| absent(node))
    }

    /// Tries to connect from `node` to `port` of each host, in one command: starting
    /// one takes longer than many connections.
    ///
    /// # Errors
    /// [`NodeError`] when the probes themselves could not be made.
    pub async fn probe_many(
        &self,
        cluster: &ClusterId,
        node: &str,
        hosts: &[&str],
        port: u16,
    ) -> Result<Vec<ProbeResult>, NodeError> {
        if hosts.is_empty() || hosts.len() > HOSTS_AT_MOST {
            let count = hosts.len().to_string();
            return Err(NodeError::invalid("hosts", &count, "1 to 128 of them"));
        }
        for host in hosts {
            check_host(host)?;
        }
        let script = Script::new(
            body::TCP_PROBE,
            &[
                ("probe_hosts", &hosts.join(" ")),
                ("probe_port", &port.to_string()),
                (
                    "probe_seconds",
                    &self.config.probe_timeout_seconds.to_string(),
                ),
            ],
        )?;
        let instance = self.locate(cluster, node).await?;
        let finished = self.run(node, &instance, script, true).await?;
        let seconds = self.config.probe_timeout_seconds;
        (1..=hosts.len())
            .map(|number| result(node, seconds, number, &finished))
            .collect()
    }
}

fn absent(node: &str) -> NodeError {
    NodeError::Absent {
        node: node.to_owned(),
        what: "a TCP probe",
    }
}

fn check_host(host: &str) -> Result<(), NodeError> {
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        });
    if is_name || host.parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        Err(NodeError::invalid("host", host, "an address or a DNS name"))
    }
}

/// What the `number`th connection came to, from 1.
fn result(
    node: &str,
    seconds: u32,
    number: usize,
    finished: &Finished,
) -> Result<ProbeResult, NodeError> {
    let elapsed_ms = finished
        .section(&format!("elapsed_{number}"))
        .and_then(|section| section.stdout.trim().parse().ok())
        .unwrap_or_default();
    let connect = finished.section(&format!("connect_{number}"));
    let Some((exit, section)) = connect.and_then(|section| Some((section.exit?, section))) else {
        return Err(absent(node));
    };
    let error = match exit {
        0 => String::new(),
        TIMED_OUT => format!("timed out after {seconds} s"),
        125..=127 => {
            return Err(NodeError::Failed {
                node: node.to_owned(),
                what: "TCP probe".to_owned(),
                exit,
                stderr: printable(&section.stderr, MESSAGE_LIMIT),
                unchanged: true,
            });
        }
        _ => {
            // The last of bash's lines names the reason without the script's own.
            let line = section.stderr.lines().last().unwrap_or("it failed");
            let reason = line.rsplit(": ").next().unwrap_or(line);
            printable(reason, MESSAGE_LIMIT)
        }
    };
    let error = (exit != 0).then_some(error);
    Ok(ProbeResult::of_one_try(error, elapsed_ms))
}

#[cfg(test)]
mod tests {
    use super::{super::output::Section, *};

    fn finished(exit: Option<i32>, stderr: &str) -> Finished {
        Finished {
            exit: 0,
            sections: vec![
                Section {
                    name: "connect_1".into(),
                    exit,
                    stdout: String::new(),
                    stderr: stderr.into(),
                },
                Section {
                    name: "elapsed_1".into(),
                    exit: Some(0),
                    stdout: "17\n".into(),
                    stderr: String::new(),
                },
            ],
        }
    }

    #[test]
    fn the_reason_is_the_systems_own() {
        let refused = "10.0.0.5: connect: Connection refused\n10.0.0.5: line 1: /dev/tcp/10.0.0.5/10250: Connection refused\n";
        let seen = result("n", 5, 1, &finished(Some(1), refused)).unwrap();
        assert_eq!(
            (seen.reached, seen.error.as_str(), seen.elapsed_ms),
            (false, "Connection refused", 17)
        );
        assert!(result("n", 5, 1, &finished(Some(0), "")).unwrap().reached);
        assert_eq!(
            result("n", 5, 1, &finished(Some(124), "")).unwrap().error,
            "timed out after 5 s"
        );
    }

    #[test]
    fn a_probe_that_could_not_be_made_is_no_verdict() {
        assert!(result("n", 5, 1, &finished(None, "")).is_err());
        assert!(result("n", 5, 1, &finished(Some(127), "bash: not found")).is_err());
    }

    #[test]
    fn only_addresses_and_names_are_probed() {
        for good in ["10.224.0.5", "fd00::1", "aks.hcp.eastus.azmk8s.io"] {
            assert!(check_host(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "$(id)", "-x", "a/../b", "a..b", "é.example"] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
    }
}
