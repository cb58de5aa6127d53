//! Reads `ufw status`, `ufw status verbose` and `ufw status numbered`.

use super::error::{UfwError, UfwErrorKind, excerpt, lines};
use super::rule::{
    UfwAction, UfwDirection, UfwRule, address, looks_like_ports, ports, put_address,
};
use crate::iptables::Family;

/// What ufw says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UfwStatus {
    /// There is no ufw on the node.
    Absent,
    /// It is there and does nothing.
    Inactive,
    /// It is in force.
    Active(UfwReport),
}

/// What an active ufw reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UfwReport {
    /// What happens to packets no rule decides; only `verbose` says.
    pub defaults: Option<UfwDefaults>,
    /// The rules in the order of the output. With `numbered` that is the order
    /// of their numbers, else inbound rules come before outbound ones.
    pub rules: Vec<UfwRule>,
    /// Whether the rules carried their numbers.
    pub numbered: bool,
}

/// The default policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UfwDefaults {
    /// For packets the node receives.
    pub incoming: UfwAction,
    /// For packets the node sends.
    pub outgoing: UfwAction,
    /// For packets the node passes on; none when it passes none on.
    pub routed: Option<UfwAction>,
}

impl UfwStatus {
    /// Reads ufw's output. A shell's "command not found" means that there is no
    /// ufw, which rules ufw out.
    ///
    /// # Errors
    /// Output that is not ufw's, not English, or malformed.
    pub fn parse(text: &str) -> Result<Self, UfwError> {
        let mut reader = lines(text);
        let (number, first) = loop {
            match reader.next().transpose()? {
                Some((_, line)) if line.is_empty() || line.starts_with("WARN:") => continue,
                Some(line) => break line,
                None => return Err(UfwErrorKind::Empty.at(1)),
            }
        };
        match first {
            "Status: inactive" => return Ok(Self::Inactive),
            "Status: active" => {}
            line if is_absent(line) => return Ok(Self::Absent),
            line if line.contains(':')
                && !line.starts_with("Status")
                && !line.starts_with("ERROR") =>
            {
                return Err(UfwErrorKind::NotEnglish {
                    text: excerpt(line),
                }
                .at(number));
            }
            line => return Err(UfwErrorKind::unreadable(line).at(number)),
        }
        let mut report = UfwReport::default();
        let mut in_table = false;
        for line in reader {
            let (number, line) = line?;
            if line.starts_with("--") || line.trim_start().starts_with("--  ") {
                in_table = true;
            } else if in_table && !line.is_empty() {
                report.line(line).map_err(|kind| kind.at(number))?;
            } else if let Some(defaults) = line.strip_prefix("Default: ") {
                let defaults = read_defaults(defaults).map_err(|kind| kind.at(number))?;
                report.defaults = Some(defaults);
            } else if !is_heading(line) {
                return Err(UfwErrorKind::NotEnglish {
                    text: excerpt(line),
                }
                .at(number));
            }
        }
        Ok(Self::Active(report))
    }
}

fn is_absent(line: &str) -> bool {
    line.contains("ufw")
        && (line.contains("not found") || line.contains("No such file or directory"))
}

fn is_heading(line: &str) -> bool {
    line.is_empty()
        || ["Logging: ", "New profiles: "]
            .iter()
            .any(|start| line.starts_with(start))
        || line.split_whitespace().eq(["To", "Action", "From"])
}

/// `deny (incoming), allow (outgoing), disabled (routed)`
fn read_defaults(text: &str) -> Result<UfwDefaults, UfwErrorKind> {
    let (mut incoming, mut outgoing, mut routed) = (None, None, None);
    for part in text.split(", ") {
        let Some((action, what)) = part.split_once(' ') else {
            return Err(UfwErrorKind::unreadable(text));
        };
        let parsed = UfwAction::from_word(action);
        match what {
            "(incoming)" => incoming = parsed,
            "(outgoing)" => outgoing = parsed,
            "(routed)" if action == "disabled" => routed = None,
            "(routed)" => routed = parsed,
            _ => return Err(UfwErrorKind::unreadable(text)),
        }
    }
    match (incoming, outgoing) {
        (Some(incoming), Some(outgoing)) => Ok(UfwDefaults {
            incoming,
            outgoing,
            routed,
        }),
        _ => Err(UfwErrorKind::unreadable(text)),
    }
}

impl UfwReport {
    fn line(&mut self, line: &str) -> Result<(), UfwErrorKind> {
        let mut rest = line;
        if let Some(numbered) = line.strip_prefix('[') {
            let Some((number, after)) = numbered.split_once(']') else {
                return Err(UfwErrorKind::unreadable(line));
            };
            let expected = self.rules.len() + 1;
            if number.trim().parse::<usize>().ok() != Some(expected) {
                return Err(UfwErrorKind::bad("rule number", number.trim()));
            }
            self.numbered = true;
            rest = after.trim_start();
        }
        self.rules.push(rule(rest)?);
        Ok(())
    }
}

/// `TO   ACTION [DIRECTION]   FROM   [(remark)]… [# comment]`
fn rule(line: &str) -> Result<UfwRule, UfwErrorKind> {
    let (to, action, rest) = split_at_action(line)?;
    let (rest, comment) = match rest.split_once(" # ") {
        Some((rest, comment)) => (rest, Some(comment.to_owned())),
        None => (rest, None),
    };
    let (direction, rest) = match rest.split_whitespace().next() {
        Some("IN") => (UfwDirection::In, rest.trim_start().get(2..)),
        Some("OUT") => (UfwDirection::Out, rest.trim_start().get(3..)),
        Some("FWD") => (UfwDirection::Forward, rest.trim_start().get(3..)),
        _ => (UfwDirection::In, Some(rest)),
    };
    let mut from = rest.unwrap_or_default().trim();
    let mut rule = UfwRule::new(action, direction);
    rule.comment = comment;
    loop {
        let before = from;
        for remark in ["(out)", "(log)", "(log-all)"] {
            if let Some(rest) = from.strip_suffix(remark) {
                rule.logged |= remark != "(out)";
                from = rest.trim_end();
            }
        }
        // Remarks share one pair of parentheses when there are several.
        if let Some(rest) = from
            .strip_suffix("(log, out)")
            .or_else(|| from.strip_suffix("(log-all, out)"))
        {
            rule.logged = true;
            from = rest.trim_end();
        }
        if from == before {
            break;
        }
    }
    end(&mut rule, to, true)?;
    end(&mut rule, from, false)?;
    if rule.family.is_none() {
        // Without "(v6)" a line stands for IPv4 alone.
        rule.family = Some(Family::Ipv4);
    }
    Ok(rule)
}

/// Splits at the first action that stands on its own after the first column.
fn split_at_action(line: &str) -> Result<(&str, UfwAction, &str), UfwErrorKind> {
    for word in ["ALLOW", "DENY", "REJECT", "LIMIT"] {
        let Some(at) = line.find(&format!(" {word} ")) else {
            continue;
        };
        let (Some(to), Some(rest)) = (line.get(..at), line.get(at + 1 + word.len()..)) else {
            continue;
        };
        let earlier = ["ALLOW", "DENY", "REJECT", "LIMIT"]
            .iter()
            .any(|other| to.contains(&format!(" {other} ")));
        if let (false, false, Some(action)) =
            (earlier, to.trim().is_empty(), UfwAction::from_word(word))
        {
            return Ok((to.trim(), action, rest));
        }
    }
    Err(UfwErrorKind::unreadable(line))
}

/// `[address][/protocol] [ports[/protocol]] [(v6)] [on interface]`, an
/// application's name, or `Anywhere`.
fn end(rule: &mut UfwRule, text: &str, to: bool) -> Result<(), UfwErrorKind> {
    let mut text = text;
    if let Some((before, interface)) = text.rsplit_once(" on ") {
        let out = match rule.direction {
            UfwDirection::In => false,
            UfwDirection::Out => true,
            UfwDirection::Forward => to,
        };
        let slot = if out {
            &mut rule.out_interface
        } else {
            &mut rule.in_interface
        };
        *slot = Some(interface.trim().to_owned());
        text = before.trim_end();
    }
    if let Some(before) = text.strip_suffix("(v6)") {
        rule.set_family(Family::Ipv6)?;
        text = before.trim_end();
    }
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if let Some(first) = words.first().copied() {
        let (place, protocol) = match first.rsplit_once('/') {
            Some((place, name)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                (place, Some(name))
            }
            _ => (first, None),
        };
        let net = address(place);
        if place == "Anywhere" || net.is_some() && !looks_like_ports(place) {
            if let Some(net) = net {
                put_address(rule, to, net)?;
            }
            if let Some(protocol) = protocol {
                rule.set_protocol(protocol)?;
            }
            words.remove(0);
        }
    }
    match words.as_slice() {
        [] => Ok(()),
        [only] => {
            let (list, protocol) = only.split_once('/').unwrap_or((only, "any"));
            if !looks_like_ports(list) {
                return application(rule, only, to);
            }
            rule.set_protocol(protocol)?;
            let list = ports(list)?;
            let end = if to { &mut rule.to } else { &mut rule.from };
            end.ports = list;
            Ok(())
        }
        several => application(rule, &several.join(" "), to),
    }
}

fn application(rule: &mut UfwRule, name: &str, to: bool) -> Result<(), UfwErrorKind> {
    let end = if to { &mut rule.to } else { &mut rule.from };
    end.application = Some(name.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> String {
        let text = format!("Status: active\n\nTo  Action  From\n--  ------  ----\n{line}\n");
        match UfwStatus::parse(&text).unwrap() {
            UfwStatus::Active(report) => report.rules[0].to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_shape_of_a_line_is_read() {
        for (line, rule) in [
            (
                "1111                       ALLOW       Anywhere",
                "allow in from 0.0.0.0/0 to 0.0.0.0/0 port 1111",
            ),
            (
                "10250/tcp (v6)             DENY IN     Anywhere (v6)",
                "deny in from ::/0 to ::/0 port 10250 proto tcp",
            ),
            (
                "80,443/tcp                 REJECT IN   10.0.0.0/8   # a # b",
                "reject in from 10.0.0.0/8 to 0.0.0.0/0 port 80,443 proto tcp",
            ),
            (
                "Anywhere on eth0           DENY IN     1.2.3.4",
                "deny in on eth0 from 1.2.3.4 to 0.0.0.0/0",
            ),
            (
                "[ 1] 8.8.8.8 53/udp        ALLOW OUT   Anywhere                   (out)",
                "allow out from 0.0.0.0/0 to 8.8.8.8 port 53 proto udp",
            ),
            (
                "10.0.0.0/8 80/tcp on eth1  ALLOW FWD   Anywhere on eth0",
                "route allow in on eth0 out on eth1 from 0.0.0.0/0 to 10.0.0.0/8 port 80 proto tcp",
            ),
            (
                "Anywhere                   ALLOW IN    1.1.1.1/esp",
                "allow in from 1.1.1.1 to 0.0.0.0/0 proto esp",
            ),
            (
                "10.1.1.1                   DENY        10.9.0.0/16 53/udp",
                "deny in from 10.9.0.0/16 port 53 to 10.1.1.1 proto udp",
            ),
            (
                "9000:9010/tcp              ALLOW       2001:db8::/32",
                "allow in from 2001:db8::/32 to ::/0 port 9000:9010 proto tcp",
            ),
            (
                "8080/tcp                   LIMIT IN    Anywhere                   (log)",
                "limit in log from 0.0.0.0/0 to 0.0.0.0/0 port 8080 proto tcp",
            ),
            (
                "Nginx Full                 ALLOW       Anywhere",
                "allow in from 0.0.0.0/0 to 0.0.0.0/0 app 'Nginx Full'",
            ),
        ] {
            assert_eq!(only(line), rule);
        }
    }

    #[test]
    fn absent_inactive_and_defaults_are_told_apart() {
        for text in [
            "sh: 1: ufw: not found\n",
            "bash: line 1: ufw: command not found",
            "/usr/sbin/ufw: No such file or directory",
        ] {
            assert_eq!(UfwStatus::parse(text), Ok(UfwStatus::Absent));
        }
        assert_eq!(
            UfwStatus::parse("Status: inactive\n"),
            Ok(UfwStatus::Inactive)
        );
        let text = "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), disabled (routed)\nNew profiles: skip\n";
        let UfwStatus::Active(report) = UfwStatus::parse(text).unwrap() else {
            panic!()
        };
        let defaults = report.defaults.unwrap();
        assert_eq!(
            (defaults.incoming, defaults.outgoing, defaults.routed),
            (UfwAction::Deny, UfwAction::Allow, None)
        );
    }

    #[test]
    fn bad_output_is_refused_with_its_line() {
        let table = "Status: active\n\nTo  Action  From\n--  ------  ----\n";
        for (text, line, code) in [
            (String::new(), 1, "ufw_output_empty"),
            ("État : actif\n".to_owned(), 1, "ufw_output_translated"),
            ("Status: aktiv\n".to_owned(), 1, "ufw_output_unreadable"),
            (
                "ERROR: You need to be root to run this script\n".to_owned(),
                1,
                "ufw_output_unreadable",
            ),
            (
                "Status: active\nVorgabe: verweigern\n".to_owned(),
                2,
                "ufw_output_translated",
            ),
            (
                format!("{table}22/tcp AUTORISER Anywhere\n"),
                5,
                "ufw_output_unreadable",
            ),
            (
                format!("{table}70000/tcp  ALLOW  Anywhere\n"),
                5,
                "ufw_bad_value",
            ),
            (
                format!("{table}22/xyz  ALLOW  Anywhere\n"),
                5,
                "ufw_bad_value",
            ),
            (
                format!("{table}[ 2] 22/tcp  ALLOW IN  Anywhere\n"),
                5,
                "ufw_bad_value",
            ),
            (format!("{table}10.0.0.1  ALLOW  ::1\n"), 5, "ufw_bad_value"),
            (
                format!("{table}{}\n", "x".repeat(1_000_000)),
                5,
                "line_too_long",
            ),
        ] {
            let error = UfwStatus::parse(&text).unwrap_err();
            assert_eq!((error.line, error.code()), (line, code), "{:.60}", text);
        }
    }
}
