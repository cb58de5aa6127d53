//! Reads `/etc/ufw/user.rules` and `user6.rules`.

use super::error::{UfwError, UfwErrorKind, lines};
use super::rule::{UfwAction, UfwDirection, UfwRule, address, ports, put_address};
use crate::iptables::Family;

const TUPLE: &str = "### tuple ### ";

/// Reads the rules of a user rules file of one family, from the tuples ufw
/// itself reads back.
///
/// # Errors
/// A tuple that is malformed, or a file without its end: it was cut short.
pub fn parse_user_rules(family: Family, text: &str) -> Result<Vec<UfwRule>, UfwError> {
    let mut rules = Vec::new();
    let mut ended = false;
    let mut last = 1;
    for line in lines(text) {
        let (number, line) = line?;
        last = number;
        if let Some(tuple) = line.strip_prefix(TUPLE) {
            rules.push(rule(family, tuple).map_err(|kind| kind.at(number))?);
        }
        ended |= line == "COMMIT";
    }
    if !ended {
        return Err(UfwErrorKind::unreadable("the end of the file without COMMIT").at(last));
    }
    Ok(rules)
}

/// `action protocol dport destination sport source [dapp sapp] direction [comment=hex]`
fn rule(family: Family, tuple: &str) -> Result<UfwRule, UfwErrorKind> {
    let mut words: Vec<&str> = tuple.split_whitespace().collect();
    let comment = match words.last().and_then(|word| word.strip_prefix("comment=")) {
        Some(hex) => {
            words.pop();
            Some(text_of_hex(hex)?)
        }
        None => None,
    };
    let (fields, applications, direction) = match words.as_slice() {
        [
            action,
            protocol,
            dport,
            destination,
            sport,
            source,
            rest @ ..,
        ] => {
            let fields = [*action, *protocol, *dport, *destination, *sport, *source];
            match rest {
                [] => (fields, None, "in"),
                [direction] => (fields, None, *direction),
                [to, from] => (fields, Some((*to, *from)), "in"),
                [to, from, direction] => (fields, Some((*to, *from)), *direction),
                _ => return Err(UfwErrorKind::unreadable(tuple)),
            }
        }
        _ => return Err(UfwErrorKind::unreadable(tuple)),
    };
    let [action, protocol, dport, destination, sport, source] = fields;
    let (route, action) = match action.strip_prefix("route:") {
        Some(action) => (true, action),
        None => (false, action),
    };
    let (action, logged) = match action.split_once("_log") {
        Some((action, _)) => (action, true),
        None => (action, false),
    };
    let action = UfwAction::from_word(action).ok_or_else(|| UfwErrorKind::bad("action", action))?;
    let mut rule = UfwRule::new(action, UfwDirection::In);
    rule.logged = logged;
    rule.comment = comment;
    rule.set_family(family)?;
    rule.set_protocol(protocol)?;
    for (to, port, place) in [(true, dport, destination), (false, sport, source)] {
        let net = address(place).ok_or_else(|| UfwErrorKind::bad("address", place))?;
        put_address(&mut rule, to, net)?;
        let end = if to { &mut rule.to } else { &mut rule.from };
        if port != "any" {
            end.ports = ports(port)?;
        }
    }
    if let Some((to, from)) = applications {
        // The ports of the profile stand in the tuple, so the name adds nothing.
        let _ = (to, from);
    }
    interfaces(&mut rule, direction)?;
    if route {
        rule.direction = UfwDirection::Forward;
    }
    Ok(rule)
}

/// `in`, `out`, `in_eth0` or `in_eth0!out_eth1`
fn interfaces(rule: &mut UfwRule, text: &str) -> Result<(), UfwErrorKind> {
    for part in text.split('!') {
        let (word, name) = match part.split_once('_') {
            Some((word, name)) => (word, Some(name.to_owned())),
            None => (part, None),
        };
        match word {
            "in" => rule.in_interface = name,
            "out" => {
                rule.direction = UfwDirection::Out;
                rule.out_interface = name;
            }
            _ => return Err(UfwErrorKind::bad("direction", text)),
        }
    }
    Ok(())
}

fn text_of_hex(hex: &str) -> Result<String, UfwErrorKind> {
    let bad = || UfwErrorKind::bad("comment", hex);
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let digits = std::str::from_utf8(pair)
                .ok()
                .filter(|digits| digits.len() == 2)?;
            u8::from_str_radix(digits, 16).ok()
        })
        .collect();
    String::from_utf8(bytes.ok_or_else(bad)?).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(tuple: &str) -> Result<String, &'static str> {
        match parse_user_rules(Family::Ipv4, &format!("*filter\n{TUPLE}{tuple}\nCOMMIT\n")) {
            Ok(rules) => Ok(rules[0].to_string()),
            Err(error) => Err(error.code()),
        }
    }

    #[test]
    fn tuples_are_read_as_ufw_writes_them() {
        for (tuple, rule) in [
            (
                "allow any 10250 0.0.0.0/0 any 0.0.0.0/0 in",
                "allow in from 0.0.0.0/0 to 0.0.0.0/0 port 10250",
            ),
            (
                "allow tcp 10250 0.0.0.0/0 any 10.224.0.0/16 in comment=697422732078",
                "allow in from 10.224.0.0/16 to 0.0.0.0/0 port 10250 proto tcp",
            ),
            (
                "deny any any 0.0.0.0/0 any 1.2.3.4 in_eth0",
                "deny in on eth0 from 1.2.3.4 to 0.0.0.0/0",
            ),
            (
                "allow udp 53 8.8.8.8 any 0.0.0.0/0 out",
                "allow out from 0.0.0.0/0 to 8.8.8.8 port 53 proto udp",
            ),
            (
                "route:allow tcp 80 10.0.0.0/8 any 0.0.0.0/0 in_eth0!out_eth1",
                "route allow in on eth0 out on eth1 from 0.0.0.0/0 to 10.0.0.0/8 port 80 proto tcp",
            ),
            (
                "allow_log tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in",
                "allow in log from 0.0.0.0/0 to 0.0.0.0/0 port 8080 proto tcp",
            ),
            (
                "deny udp any 10.1.1.1 53 10.9.0.0/16 in",
                "deny in from 10.9.0.0/16 port 53 to 10.1.1.1 proto udp",
            ),
        ] {
            assert_eq!(one(tuple).as_deref(), Ok(rule));
        }
    }

    #[test]
    fn malformed_tuples_and_cut_files_are_refused() {
        for (tuple, code) in [
            ("allow tcp", "ufw_output_unreadable"),
            ("open tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", "ufw_bad_value"),
            (
                "allow tcp 220000 0.0.0.0/0 any 0.0.0.0/0 in",
                "ufw_bad_value",
            ),
            ("allow tcp 22 ::/0 any ::/0 in", "ufw_bad_value"),
            (
                "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 sideways",
                "ufw_bad_value",
            ),
            (
                "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=zz",
                "ufw_bad_value",
            ),
        ] {
            assert_eq!(one(tuple), Err(code), "{tuple}");
        }
        let cut = parse_user_rules(Family::Ipv4, "*filter\n").unwrap_err();
        assert_eq!(cut.code(), "ufw_output_unreadable");
    }
}
